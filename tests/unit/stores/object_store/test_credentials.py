"""Keys come from the options or the usual AWS chain, are renewed in time, and never shown."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from forebay.model.errors import BadOption, StoreAway, StoreLied, StoreRefused
from forebay.stores.object_store.credentials import Credentials, CredentialSource, credential_source
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.profile import read_profile
from forebay.stores.object_store.store import open_object_store
from tests.fakes.scripted_server import RESET, ScriptedServer, answer

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
SECRET = "secret-that-must-not-show"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Chain:
    """Finds the source of keys, with one client for all."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    def __call__(
        self, environment: Mapping[str, str], clock: Clock | None = None, **given: str
    ) -> CredentialSource:
        options = S3Options(bucket="lake", **given)  # type: ignore[arg-type]
        profile = read_profile(environment)
        return credential_source(options, environment, profile, self._client, clock or Clock())


@pytest.fixture
async def source_of() -> AsyncIterator[Chain]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Chain(client)


def keys_document(key_id: str, ends: datetime) -> bytes:
    document = {
        "Code": "Success",
        "AccessKeyId": key_id,
        "SecretAccessKey": SECRET,
        "Token": "token",
        "Expiration": ends.isoformat().replace("+00:00", "Z"),
    }
    return json.dumps(document).encode()


async def test_given_keys_win_and_take_no_token_from_elsewhere(source_of: Chain) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
    }
    source = source_of(environment, access_key_id="mine", secret_access_key=SECRET)
    assert await source.current() == Credentials("mine", SECRET)


async def test_half_a_pair_is_refused(source_of: Chain) -> None:
    with pytest.raises(BadOption):
        source_of({}, access_key_id="mine")
    with pytest.raises(BadOption):
        source_of({}, secret_access_key=SECRET)


async def test_the_environment_comes_before_the_profile(tmp_path: Path, source_of: Chain) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(f"[default]\naws_access_key_id=profiled\naws_secret_access_key={SECRET}\n")
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(keys), "HOME": str(tmp_path)}
    assert (await source_of(files).current()).access_key_id == "profiled"
    both = {**files, "AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert (await source_of(both).current()).access_key_id == "env"


async def test_a_named_profile_is_read_from_both_files(tmp_path: Path, source_of: Chain) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(
        "[profile far]\nregion = eu-west-3\nservices = local\n"
        "[services local]\ns3 =\n  endpoint_url = http://far:1\n"
    )
    (tmp_path / ".aws/credentials").write_text(
        f"[far]\naws_access_key_id = k\naws_secret_access_key = {SECRET}\naws_session_token = t\n"
    )
    environment = {"HOME": str(tmp_path), "AWS_PROFILE": "far"}
    profile = read_profile(environment)
    assert (profile.region, profile.endpoint) == ("eu-west-3", "http://far:1")
    assert await source_of(environment).current() == Credentials("k", SECRET, "t")


def test_a_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused):
        read_profile({"HOME": str(tmp_path), "AWS_PROFILE": "none"})


def test_a_broken_file_is_refused_without_showing_its_lines(tmp_path: Path) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(f"[default]\n{SECRET}\n")
    with pytest.raises(StoreRefused) as caught:
        read_profile({"AWS_SHARED_CREDENTIALS_FILE": str(keys)})
    assert SECRET not in f"{caught.value!r}{caught.value.__cause__}"


async def test_a_profile_with_a_source_that_we_have_not_says_so(
    tmp_path: Path, source_of: Chain
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\ncredential_process = /bin/true\n")
    with pytest.raises(StoreRefused, match="credential_process"):
        source_of({"AWS_CONFIG_FILE": str(config)})


async def test_keys_of_an_instance_are_fetched_with_a_token_and_renewed_before_they_end(
    source_of: Chain,
) -> None:
    clock = Clock()
    first = keys_document("first", NOON + timedelta(hours=1))
    second = keys_document("second", NOON + timedelta(hours=7))
    script = [answer("200 OK", body) for body in (b"imds", b"role\n", first, b"imds", b"role")]
    async with ScriptedServer(*script, answer("200 OK", second)) as server:
        source = source_of({"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.endpoint}, clock)
        assert (await source.current()).access_key_id == "first"
        clock.now += timedelta(minutes=54)
        assert (await source.current()).access_key_id == "first"
        assert len(server.heard) == 3
        clock.now += timedelta(minutes=2)
        assert (await source.current()).access_key_id == "second"
        assert server.heard[0].startswith("PUT /latest/api/token ")
        assert "x-aws-ec2-metadata-token: imds" in server.heard[2]


async def test_no_keys_anywhere_is_a_clear_refusal(source_of: Chain) -> None:
    async with ScriptedServer(RESET) as server:
        environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.endpoint}
        with pytest.raises(StoreRefused, match="there are none"):
            await source_of(environment).current()
    with pytest.raises(StoreRefused, match="there are none"):
        await source_of({"AWS_EC2_METADATA_DISABLED": "true"}).current()


async def test_keys_of_a_container_are_asked_for_with_its_token(
    tmp_path: Path, source_of: Chain
) -> None:
    token = tmp_path / "token"
    token.write_text("pod-token\n")
    async with ScriptedServer(answer("200 OK", keys_document("pod", NOON))) as server:
        environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.endpoint}/keys",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        assert (await source_of(environment).current()).access_key_id == "pod"
        assert "authorization: pod-token" in server.heard[0].lower()


async def test_the_token_of_a_container_goes_to_no_stranger(source_of: Chain) -> None:
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://stranger.example.org/keys",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": SECRET,
    }
    with pytest.raises(StoreRefused, match="no credential service"):
        await source_of(environment).current()


async def test_a_web_identity_is_exchanged_for_keys(tmp_path: Path, source_of: Chain) -> None:
    token = tmp_path / "token"
    token.write_text("web-token")
    document = (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>web</AccessKeyId>"
        f"<SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>t</SessionToken>"
        "<Expiration>2024-05-06T13:00:00Z</Expiration></Credentials>"
        "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
    async with ScriptedServer(answer("200 OK", document.encode())) as server:
        environment = {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
            "AWS_ENDPOINT_URL_STS": server.endpoint,
        }
        found = await source_of(environment).current()
        assert "WebIdentityToken=web-token" in server.heard[0]
    assert found == Credentials("web", SECRET, "t", NOON + timedelta(hours=1))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("403 Forbidden", b"", StoreRefused),
        ("500 Oops", b"", StoreAway),
        ("200 OK", b"{}", StoreLied),
        ("200 OK", b'{"SecretAccessKey":"' + SECRET.encode() + b'"', StoreLied),
    ],
)
async def test_a_service_that_gives_no_keys_is_said(
    status: str, body: bytes, error: type[Exception], source_of: Chain
) -> None:
    async with ScriptedServer(answer(status, body)) as server:
        environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.endpoint}
        with pytest.raises(error) as caught:
            await source_of(environment).current()
    assert SECRET not in f"{caught.value!r}{caught.value.__cause__!r}"


async def test_nothing_shows_a_secret(source_of: Chain) -> None:
    options = S3Options("lake", "http://h:1", None, "k", SECRET, SECRET)
    store = open_object_store(options, {})
    shown = [options, await source_of({}, access_key_id="k", secret_access_key=SECRET).current()]
    assert SECRET not in f"{shown!r}{shown}{store!r}{vars(store)!r}"
    await store.close()
