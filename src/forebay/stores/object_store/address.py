"""The address of a bucket: endpoint, bucket and region, and the URLs and the identity they make."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from forebay.model.errors import BadOption, StoreAway, StoreRefused
from forebay.model.generation import StoreIdentity
from forebay.model.sigv4 import escape
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.profile import Profile

DEFAULT_REGION: Final = "us-east-1"
AWS_HOST: Final = "amazonaws.com"

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
# Metadata services that are not link-local: AWS over IPv6 and Alibaba Cloud.
_METADATA: Final = frozenset(
    (ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200"))
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where one bucket is."""

    scheme: str
    host: str
    port: int
    bucket: str
    region: str
    path_style: bool
    is_aws: bool

    @property
    def service(self) -> str:
        """The host, with its port where that is not the usual one, as a Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def authority(self) -> str:
        """What requests to the bucket name as their host."""
        return self.service if self.path_style else f"{self.bucket}.{self.service}"

    @property
    def wire_host(self) -> str:
        """The host that requests to the bucket connect to."""
        return self.host if self.path_style else f"{self.bucket}.{self.host}"

    @property
    def endpoint(self) -> str:
        """The URL that keys (path style: bucket and key) are appended to."""
        return f"{self.scheme}://{self.authority}"

    @property
    def identity(self) -> StoreIdentity:
        """The same for every node that names this bucket."""
        host = AWS_HOST if self.is_aws else f"{self.host}:{self.port}"
        return StoreIdentity(f"s3://{host}/{self.bucket}")

    def path_of(self, key: str) -> str:
        """The escaped path of `key`; '' is the bucket itself."""
        return f"/{self.bucket}/{escape(key)}" if self.path_style else f"/{escape(key)}"


def address_of(options: S3Options, environment: Mapping[str, str], profile: Profile) -> Address:
    """The address that options, environment and profile together name.

    Raises:
        BadOption: one of them is no bucket, endpoint or region.
    """
    if _BUCKET.fullmatch(options.bucket) is None:
        raise BadOption("bucket", f"{options.bucket!r} is no bucket name")
    region = _region(options, environment, profile)
    endpoint = options.endpoint
    if endpoint is None:
        endpoint = _configured_endpoint(environment, profile)
    is_aws = endpoint is None
    scheme, host, port = _parts_of(
        f"https://s3.{region}.{AWS_HOST}" if endpoint is None else endpoint
    )
    # A dot in the bucket would not match the certificate of `*.s3.….amazonaws.com`.
    path_style = not is_aws or "." in options.bucket
    return Address(
        scheme=scheme,
        host=host,
        port=port,
        bucket=options.bucket,
        region=region,
        path_style=path_style if options.path_style is None else options.path_style,
        is_aws=is_aws,
    )


def _region(options: S3Options, environment: Mapping[str, str], profile: Profile) -> str:
    named = (
        options.region,
        environment.get("AWS_REGION"),
        environment.get("AWS_DEFAULT_REGION"),
        profile.region,
    )
    region = next((name for name in named if name), DEFAULT_REGION)
    if _REGION.fullmatch(region) is None:
        raise BadOption("region", f"{region!r} is no region")
    return region


def _configured_endpoint(environment: Mapping[str, str], profile: Profile) -> str | None:
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    named = (
        environment.get("AWS_ENDPOINT_URL_S3"),
        environment.get("AWS_ENDPOINT_URL"),
        profile.endpoint,
    )
    return next((url for url in named if url), None)


def _parts_of(endpoint: str) -> tuple[str, str, int]:
    try:
        url = urlsplit(endpoint)
        port = url.port
    except ValueError as error:
        raise BadOption("endpoint", "is no URL") from error
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        raise BadOption("endpoint", "must be http://host:port or https://host:port")
    if url.path not in ("", "/") or url.query or url.fragment or url.username is not None:
        raise BadOption("endpoint", "must be a host and a port, and nothing else")
    return url.scheme, url.hostname, _DEFAULT_PORTS[url.scheme] if port is None else port


def refuse_forbidden(host: str, addresses: Iterable[str]) -> None:
    """Return if none of the resolved `addresses` of `host` is forbidden.

    Link-local addresses and those of cloud metadata services hand out the host's own credentials:
    no mount may read from them.

    Raises:
        StoreRefused: one of them is.
    """
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        real = address if mapped is None else mapped
        if real.is_link_local or real.is_unspecified or real in _METADATA:
            raise StoreRefused(host, f"resolves to {real}, an address that no mount may use")


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of `host`, by the resolver of this machine.

    Raises:
        StoreAway: it has none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StoreAway(host, "the host name cannot be resolved") from error
    return sorted({str(entry[4][0]) for entry in found})
