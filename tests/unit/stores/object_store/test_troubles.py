"""A store in trouble is told apart: away, busy, lying, refusing, or right that it is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic

import pytest

from forebay.model.conditions import IfUnchanged
from forebay.model.errors import (
    BadOption,
    ConditionFailed,
    FileMissing,
    ForebayError,
    GenerationGone,
    NoRoom,
    NotAFile,
    StoreAway,
    StoreBusy,
    StoreLied,
    StoreMissing,
    StoreRefused,
)
from forebay.model.generation import Fingerprint
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus, Kind
from forebay.stores.contract import WriteOptions, fingerprint_of_etag, pieces, read
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.store import ObjectStore, open_object_store
from tests.fakes.scripted_server import HANG, RESET, Scripted, ScriptedServer, answer, error

KEY = StoreKey("d/a")
SPAN = ByteRange(0, 10)
STATUS = FileStatus(KEY, Kind.FILE, 100, None, fingerprint_of_etag('"e"'), '"e"')
MODIFIED = "Last-Modified: Mon, 06 May 2024 07:08:09 GMT"
ETAG = 'ETag: "e"'


def partial(
    body: bytes = b"0123456789",
    *,
    shown: str = "0-9/100",
    etag: str = ETAG,
    length: int | None = None,
    then: str = "stay",
) -> Scripted:
    headers = (f"Content-Range: bytes {shown}", etag, MODIFIED)
    return answer("206 Partial Content", body, *headers, length=length, then=then)


@asynccontextmanager
async def store_at(endpoint: str) -> AsyncIterator[ObjectStore]:
    options = S3Options(
        "lake",
        endpoint,
        access_key_id="k",
        secret_access_key="s",
        connect_timeout=timedelta(milliseconds=500),
        read_timeout=timedelta(milliseconds=300),
    )
    store = open_object_store(options, {"HTTP_PROXY": "http://127.0.0.1:1"})
    yield store
    await store.close()


async def test_a_range_is_one_get_with_range_and_if_match() -> None:
    async with ScriptedServer(partial()) as server, store_at(server.endpoint) as store:
        assert await read(store, STATUS, SPAN) == b"0123456789"
        (head,) = server.heard
        assert head.startswith("GET /lake/d/a ")
        assert "range: bytes=0-9\r\n" in head
        assert 'if-match: "e"\r\n' in head


async def test_proxies_of_the_environment_are_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with ScriptedServer(partial()) as server:
        # By name too: proxies are excluded by another rule there.
        named = server.endpoint.replace("127.0.0.1", "localhost")
        async with store_at(named) as store:
            assert await read(store, STATUS, SPAN) == b"0123456789"


async def test_settings_of_the_environment_do_not_reach_the_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "stranger")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    async with ScriptedServer(partial()) as server, store_at(server.endpoint) as store:
        assert await read(store, STATUS, SPAN) == b"0123456789"
        assert "Credential=k/" in server.heard[0]
        assert "stranger" not in server.heard[0]


@pytest.mark.parametrize(
    ("scripted", "trouble"),
    [
        (answer("200 OK", b"0123456789", ETAG, MODIFIED), StoreLied),
        (partial(b"01234", shown="0-4/100"), StoreLied),
        (partial(shown="5-14/100"), StoreLied),
        (partial(b"01234"), StoreLied),
        (partial(b"0123456789abc"), StoreLied),
        (partial(b"01234", length=10, then="end"), StoreLied),
        (partial(b"01234", length=10, then="hang"), StoreAway),
        (partial(etag='ETag: "other"'), GenerationGone),
        (partial(shown="0-9/11"), GenerationGone),
        (error("412 Precondition Failed", "PreconditionFailed"), GenerationGone),
        (error("416 Range", "InvalidRange"), GenerationGone),
        (error("404 Not Found", "NoSuchKey"), FileMissing),
        (error("404 Not Found", "NoSuchBucket"), StoreMissing),
        (error("403 Forbidden", "SignatureDoesNotMatch"), StoreRefused),
        (error("503 Slow Down", "SlowDown"), StoreBusy),
        (error("500 Oops", "InternalError"), StoreAway),
        (answer("502 Bad Gateway", b"<html>"), StoreAway),
        (HANG, StoreAway),
        (RESET, StoreAway),
    ],
)
async def test_a_read_in_trouble_is_one_of_our_errors_and_is_not_repeated(
    scripted: Scripted, trouble: type[ForebayError]
) -> None:
    async with ScriptedServer(scripted) as server, store_at(server.endpoint) as store:
        with pytest.raises(trouble):
            await read(store, STATUS, SPAN)
        assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("scripted", "trouble"),
    [
        (error("403 Forbidden", "InvalidAccessKeyId"), StoreRefused),
        (error("403 Forbidden", "RequestTimeTooSkewed"), StoreRefused),
        (error("400 Bad Request", "ExpiredToken"), StoreRefused),
        (error("404 Not Found", "NoSuchBucket"), StoreMissing),
        (error("409 Conflict", "OperationAborted"), StoreBusy),
        (error("429 Too Many Requests", ""), StoreBusy),
        (error("503 Slow Down", "SlowDown"), StoreBusy),
        (error("507 Full", "QuotaExceeded"), NoRoom),
        (answer("500 Oops"), StoreAway),
        (answer("200 OK", b"<ListBucketResult"), StoreLied),
        (answer("200 OK", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), StoreLied),
        (answer("200 OK", b"<a/>", length=99, then="end"), StoreAway),
        (HANG, StoreAway),
        (RESET, StoreAway),
    ],
)
async def test_a_listing_in_trouble_is_one_of_our_errors_and_is_not_repeated(
    scripted: Scripted, trouble: type[ForebayError]
) -> None:
    async with ScriptedServer(scripted) as server, store_at(server.endpoint) as store:
        with pytest.raises(trouble):
            await store.list(STORE_ROOT)
        assert len(server.heard) == 1


async def test_an_unreachable_host_is_away_and_soon() -> None:
    async with store_at("http://127.0.0.1:1") as store:
        begun = monotonic()
        for call in (store.check(), store.stat(KEY), read(store, STATUS, SPAN)):
            with pytest.raises(StoreAway):
                await call
        assert monotonic() - begun < 5


async def test_a_host_that_no_resolver_knows_is_away() -> None:
    async with store_at("http://no-such-host.invalid") as store:
        with pytest.raises(StoreAway):
            await store.check()


async def test_a_check_refuses_an_address_that_no_mount_may_use() -> None:
    async with store_at("http://169.254.169.254") as store:
        with pytest.raises(StoreRefused, match="no mount may use"):
            await store.check()


async def test_a_redirect_is_not_followed_and_takes_no_credentials_along() -> None:
    async with ScriptedServer(answer("200 OK", b"<a/>")) as stranger:
        elsewhere = stranger.endpoint.replace("127.0.0.1", "localhost")
        away = answer("307 Temporary Redirect", b"", f"Location: {elsewhere}/lake")
        async with ScriptedServer(away) as server, store_at(server.endpoint) as store:
            with pytest.raises(StoreRefused, match="elsewhere"):
                await store.list(STORE_ROOT)
            with pytest.raises(StoreRefused, match="elsewhere"):
                await store.stat(KEY)
            assert stranger.heard == []
            with pytest.raises(ForebayError):
                await read(store, STATUS, SPAN)
            assert not any("authorization" in head.lower() for head in stranger.heard)


async def test_a_copy_that_failed_after_it_said_success_has_failed() -> None:
    found = answer("200 OK", b"", ETAG, MODIFIED)
    failed = answer("200 OK", b"<Error><Code>SlowDown</Code><Message>m</Message></Error>")
    async with ScriptedServer(found, failed) as server, store_at(server.endpoint) as store:
        with pytest.raises(StoreBusy):
            await store.copy(KEY, StoreKey("b"))


async def test_a_written_file_is_written_whatever_the_status_says_afterwards() -> None:
    written = answer("200 OK", b"", ETAG)
    async with (
        ScriptedServer(written, error("503 Slow Down", "SlowDown")) as server,
        store_at(server.endpoint) as store,
    ):
        status = await store.write(KEY, pieces(b"abc"), WriteOptions(size=3))
        assert (status.size, status.etag) == (3, '"e"')
        assert [head.split(" ")[0] for head in server.heard] == ["PUT", "HEAD"]
        assert "x-amz-checksum-crc64nvme" in server.heard[0]


async def test_a_body_of_another_length_is_never_sent() -> None:
    async with ScriptedServer(RESET) as server, store_at(server.endpoint) as store:
        for size in (2, 4):
            with pytest.raises(StoreLied):
                await store.write(KEY, pieces(b"abc"), WriteOptions(size=size))
        assert server.heard == []


@pytest.mark.parametrize(
    "options",
    [
        WriteOptions(content_type="text/plain\r\nx-amz-acl: public-read"),
        WriteOptions(content_type="tëxt"),
        WriteOptions(content_type=""),
        WriteOptions(metadata={"a b": "c"}),
        WriteOptions(metadata={"a:\r\nb": "c"}),
    ],
)
async def test_what_no_header_can_hold_is_refused_and_not_sent(options: WriteOptions) -> None:
    async with ScriptedServer(RESET) as server, store_at(server.endpoint) as store:
        with pytest.raises(BadOption):
            await store.write(KEY, pieces(b"abc"), options)
        assert server.heard == []


async def test_a_fingerprint_of_another_kind_of_store_never_matches() -> None:
    foreign = IfUnchanged(Fingerprint("hdfs:1:2:3"))
    async with ScriptedServer(RESET) as server, store_at(server.endpoint) as store:
        with pytest.raises(ConditionFailed):
            await store.write(KEY, pieces(b"abc"), WriteOptions(condition=foreign))
        with pytest.raises(GenerationGone):
            await store.open(FileStatus(KEY, Kind.FILE, 1, None, Fingerprint("hdfs:1:2:3")))
        with pytest.raises(NotAFile):
            await store.open(FileStatus(KEY, Kind.DIRECTORY))
        assert server.heard == []


async def test_an_empty_range_asks_nothing() -> None:
    async with ScriptedServer(RESET) as server, store_at(server.endpoint) as store:
        assert await read(store, STATUS, ByteRange(5, 5)) == b""
        assert server.heard == []


async def test_a_cancelled_request_ends_at_once() -> None:
    async with ScriptedServer(HANG) as server, store_at(server.endpoint) as store:
        for call in (store.stat(KEY), read(store, STATUS, SPAN)):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
