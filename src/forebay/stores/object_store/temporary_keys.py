"""Temporary keys: fetched from the service that vouches for the pod, container or instance.

Sources: "AssumeRoleWithWebIdentity" in the AWS STS API reference, "Container credential provider"
in the AWS SDKs reference guide, "Use the Instance Metadata Service" in the EC2 user guide.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
import msgspec

from forebay.model.errors import StoreAway, StoreLied, StoreRefused
from forebay.stores.object_store.documents import Element, parsed
from forebay.stores.object_store.profile import Profile

_CONTAINER_HOST: Final = "http://169.254.170.2"
_INSTANCE_HOST: Final = "http://169.254.169.254"
# Addresses that ECS and EKS give their credential services; besides them only loopback and https.
_CONTAINER_ADDRESSES: Final = frozenset(("169.254.170.2", "169.254.170.23", "fd00:ec2::23"))
# The services are on the host itself; on a host without them nobody answers.
_PATIENCE: Final = httpx.Timeout(2.0)
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"


@dataclass(frozen=True, slots=True)
class TemporaryKeys:
    """A pair of keys with its session token, and when they end."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: datetime | None


Fetch = Callable[[], Awaitable[TemporaryKeys]]


class _Answer(msgspec.Struct, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str | None = None
    expiration: datetime | None = None


def web_identity_keys(
    client: httpx.AsyncClient,
    environment: Mapping[str, str],
    profile: Profile,
    chosen: tuple[str, str, str],
) -> Fetch:
    """Fetches keys from STS with the token of a pod. `chosen`: token file, role, session name."""
    token_file, role, session = chosen
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    region = region or profile.region
    usual = f"https://sts.{region}.amazonaws.com" if region else "https://sts.amazonaws.com"
    service = environment.get("AWS_ENDPOINT_URL_STS") or usual

    async def fetch() -> TemporaryKeys:
        try:
            # Read anew each time: the token file is rotated.
            token = await asyncio.to_thread(Path(token_file).read_text, encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise StoreRefused(token_file, "the web identity token cannot be read") from error
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": session,
            "WebIdentityToken": token.strip(),
        }
        answer = await _asked(client, "POST", service, form=form, headers={})
        keys = parsed(answer, service).find("AssumeRoleWithWebIdentityResult/Credentials")
        if keys is None:
            raise StoreLied(service, "its answer holds no keys")
        return _of_element(keys, service)

    return fetch


def container_keys(client: httpx.AsyncClient, environment: Mapping[str, str]) -> Fetch | None:
    """Fetches keys from the service of the container that we run in; None outside of one."""
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if relative:
        url = _CONTAINER_HOST + relative
    if not url:
        return None
    service = url

    async def fetch() -> TemporaryKeys:
        _must_be_container_service(service)
        token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        token_file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        if token_file:
            try:
                token = await asyncio.to_thread(Path(token_file).read_text, encoding="ascii")
            except (OSError, UnicodeError) as error:
                raise StoreRefused(token_file, "the token file cannot be read") from error
        headers = {"authorization": token.strip()} if token else {}
        return _of_json(await _asked(client, "GET", service, headers=headers), service)

    return fetch


def instance_keys(client: httpx.AsyncClient, environment: Mapping[str, str]) -> Fetch:
    """Fetches keys from the metadata service of the instance that we run on."""
    service = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _INSTANCE_HOST
    disabled = environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"

    async def fetch() -> TemporaryKeys:
        if disabled:
            raise _no_keys()
        base = service.rstrip("/")
        asks = {"x-aws-ec2-metadata-token-ttl-seconds": "21600"}
        try:
            token = await _asked(client, "PUT", f"{base}/latest/api/token", headers=asks)
        except StoreAway as error:
            # No such service: this host is no instance. Asking again would not help.
            raise _no_keys() from error
        shown = {"x-aws-ec2-metadata-token": token.decode("ascii", "replace")}
        roles = await _asked(client, "GET", base + _ROLES, headers=shown)
        role = roles.decode("utf-8", "replace").partition("\n")[0].strip()
        if not role:
            raise _no_keys()
        return _of_json(await _asked(client, "GET", base + _ROLES + role, headers=shown), base)

    return fetch


def _no_keys() -> StoreRefused:
    return StoreRefused(
        "credentials",
        "there are none: not in the mount's options, the environment, a web identity, the AWS "
        "profile, nor at a container or instance service",
    )


async def _asked(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None = None,
) -> bytes:
    service = url.partition("?")[0]
    try:
        answer = await client.request(method, url, headers=headers, data=form, timeout=_PATIENCE)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreAway(service, "the service that hands out keys does not answer") from error
    if answer.is_server_error:
        raise StoreAway(service, f"the service that hands out keys answers {answer.status_code}")
    if not answer.is_success:
        raise StoreRefused(service, f"it hands out no keys: it answers {answer.status_code}")
    return answer.content


def _of_json(answer: bytes, service: str) -> TemporaryKeys:
    try:
        keys = msgspec.json.decode(answer, type=_Answer)
    except msgspec.MsgspecError:
        # Without the cause: it may quote the answer.
        raise StoreLied(service, "its answer holds no keys") from None
    return TemporaryKeys(keys.access_key_id, keys.secret_access_key, keys.token, keys.expiration)


def _of_element(keys: Element, service: str) -> TemporaryKeys:
    key_id, secret = keys.text("AccessKeyId"), keys.text("SecretAccessKey")
    ends = keys.moment("Expiration")
    if not key_id or not secret:
        raise StoreLied(service, "its answer holds no keys")
    return TemporaryKeys(key_id, secret, keys.text("SessionToken") or None, ends)


def _must_be_container_service(url: str) -> None:
    """Refuse to send the container's token to anybody else."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise StoreRefused("AWS_CONTAINER_CREDENTIALS_FULL_URI", "is no URL") from error
    if parts.scheme == "https" or parts.host in _CONTAINER_ADDRESSES or parts.host == "localhost":
        return
    try:
        if ipaddress.ip_address(parts.host).is_loopback:
            return
    except ValueError:
        pass
    raise StoreRefused(parts.host, "is no credential service of a container")
