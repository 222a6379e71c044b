"""The object store on a real S3 server: what it asks, what it refuses, and large files."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from awscrt.checksums import crc64nvme

from forebay.model.conditions import IfAbsent, IfUnchanged
from forebay.model.errors import (
    ConditionFailed,
    FileMissing,
    GenerationGone,
    StoreLied,
    StoreMissing,
    StoreRefused,
)
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.ranges import BLOCK_BYTES, ByteRange, whole
from forebay.stores.contract import WriteOptions, pieces, read
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.store import ObjectStore, open_object_store
from testbed.seaweed import Seaweed
from tests.fakes.counting_proxy import CountingProxy

pytestmark = pytest.mark.service

KEY = StoreKey("d/a b+é")
PLAIN = WriteOptions()
LARGE = 40 << 20


def patterned(seed: int, size: int) -> bytes:
    """Content of which each part looks like no other part, the same in each run."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - no secret


def options_of(seaweed: Seaweed, bucket: str, **changed: str) -> S3Options:
    given = {
        "endpoint": seaweed.endpoint,
        "access_key_id": seaweed.access_key,
        "secret_access_key": seaweed.secret_key,
        **changed,
    }
    return S3Options(bucket=bucket, read_timeout=timedelta(seconds=10), **given)  # type: ignore[arg-type]


@pytest.fixture
async def store(seaweed: Seaweed, bucket: str) -> AsyncIterator[ObjectStore]:
    opened = open_object_store(options_of(seaweed, bucket), {})
    yield opened
    await opened.close()


@pytest.fixture
async def proxy(seaweed: Seaweed) -> AsyncIterator[CountingProxy]:
    address = urlsplit(seaweed.endpoint)
    assert address.hostname is not None
    assert address.port is not None
    async with CountingProxy(address.hostname, address.port) as standing:
        yield standing


@pytest.fixture
async def counted(
    seaweed: Seaweed, bucket: str, proxy: CountingProxy
) -> AsyncIterator[ObjectStore]:
    opened = open_object_store(options_of(seaweed, bucket, endpoint=proxy.endpoint), {})
    yield opened
    await opened.close()


async def test_a_cold_block_costs_one_ranged_get_and_no_head(
    counted: ObjectStore, proxy: CountingProxy
) -> None:
    content = patterned(1, 3 * BLOCK_BYTES)
    await counted.write(KEY, pieces(content), PLAIN)
    (listed,) = (await counted.list(StoreKey("d"))).entries
    proxy.take()

    reader = await counted.open(listed)
    assert proxy.take() == []
    span = ByteRange(BLOCK_BYTES, 2 * BLOCK_BYTES)
    arrived = b"".join([bytes(chunk) async for chunk in reader.stream(span)])
    await reader.verify()
    await reader.close()

    assert arrived == content[span.start : span.end]
    (request,) = proxy.take()
    assert request.method == "GET"
    assert request.headers["range"] == f"bytes={span.start}-{span.end - 1}"
    assert request.headers["if-match"] == listed.etag


async def test_what_each_verb_costs(counted: ObjectStore, proxy: CountingProxy) -> None:
    async def cost(call: object) -> list[str]:
        proxy.take()
        await call  # type: ignore[misc]
        return [request.method for request in proxy.take()]

    assert await cost(counted.write(KEY, pieces(b"x"), PLAIN)) == ["PUT", "HEAD"]
    assert await cost(counted.stat(KEY)) == ["HEAD"]
    assert await cost(counted.stat(StoreKey("d"))) == ["HEAD", "GET"]
    assert await cost(counted.stat(STORE_ROOT)) == []
    assert await cost(counted.digest(KEY)) == ["HEAD"]
    assert await cost(counted.copy(KEY, StoreKey("b"))) == ["HEAD", "PUT", "HEAD"]
    assert await cost(counted.delete(KEY)) == ["HEAD", "DELETE"]


async def test_a_wrong_secret_is_refused(seaweed: Seaweed, bucket: str) -> None:
    store = open_object_store(options_of(seaweed, bucket, secret_access_key="wrong-secret"), {})
    status = None
    for call in (store.check(), store.stat(KEY), store.list(STORE_ROOT)):
        with pytest.raises(StoreRefused) as caught:
            await call
        assert "wrong-secret" not in repr(caught.value)
        status = caught.value.advice
    assert status
    await store.close()


async def test_an_unknown_key_is_refused_for_bytes_too(
    seaweed: Seaweed, bucket: str, store: ObjectStore
) -> None:
    status = await store.write(KEY, pieces(b"x"), PLAIN)
    stranger = open_object_store(options_of(seaweed, bucket, access_key_id="NOBODY"), {})
    with pytest.raises(StoreRefused):
        await read(stranger, status, whole(1))
    await stranger.close()


async def test_a_missing_bucket_is_said_and_not_taken_for_a_missing_file(
    seaweed: Seaweed,
) -> None:
    store = open_object_store(options_of(seaweed, "no-such-bucket"), {})
    for call in (store.check(), store.stat(KEY), store.list(STORE_ROOT), store.delete(KEY)):
        with pytest.raises(StoreMissing):
            await call
    await store.close()


async def test_keys_of_the_environment_open_the_store(seaweed: Seaweed, bucket: str) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": seaweed.access_key,
        "AWS_SECRET_ACCESS_KEY": seaweed.secret_key,
        "AWS_ENDPOINT_URL_S3": seaweed.endpoint,
    }
    store = open_object_store(S3Options(bucket=bucket), environment)
    facts = await store.check()
    assert facts["keys"] == "from the environment"
    assert seaweed.secret_key not in str(facts)
    await store.close()


async def test_a_large_write_goes_up_in_parts_with_the_digest_of_the_whole(
    store: ObjectStore,
) -> None:
    content = patterned(2, LARGE)
    options = WriteOptions(
        size=LARGE, content_type="x/y", metadata={"Name": "Grüße ", "plain": "a b"}
    )
    chunks = (content[start : start + 1_000_003] for start in range(0, LARGE, 1_000_003))
    written = await store.write(KEY, pieces(*chunks), options)
    assert written == await store.stat(KEY)
    assert (written.size, written.content_type) == (LARGE, "x/y")
    assert dict(written.metadata) == {"name": "Grüße ", "plain": "a b"}
    digest = await store.digest(KEY)
    assert digest is not None
    assert digest.value == f"{crc64nvme(content):016x}"
    assert await read(store, written, whole(LARGE)) == content


async def test_a_large_write_whose_body_breaks_leaves_nothing(store: ObjectStore) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        for _ in range(35):
            yield bytes(1 << 20)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(KEY, breaking(), PLAIN)
    with pytest.raises(StoreLied):
        await store.write(KEY, pieces(bytes(LARGE)), WriteOptions(size=LARGE + 1))
    with pytest.raises(FileMissing):
        await store.stat(KEY)
    assert await store.list_uploads(STORE_ROOT) == []


async def test_a_large_write_that_is_cancelled_leaves_nothing(store: ObjectStore) -> None:
    stalled = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        for _ in range(35):
            yield bytes(1 << 20)
        stalled.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.write(KEY, stalling(), PLAIN))
    await stalled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.list_uploads(STORE_ROOT) == []


async def test_a_large_write_obeys_its_condition(store: ObjectStore) -> None:
    old = await store.write(KEY, pieces(b"old"), PLAIN)
    with pytest.raises(ConditionFailed):
        await store.write(KEY, pieces(bytes(LARGE)), WriteOptions(condition=IfAbsent()))
    assert await read(store, await store.stat(KEY), whole(3)) == b"old"
    assert await store.list_uploads(STORE_ROOT) == []
    unchanged = WriteOptions(condition=IfUnchanged(old.fingerprint))
    assert (await store.write(KEY, pieces(bytes(LARGE)), unchanged)).size == LARGE


async def test_a_large_part_streams_through_with_its_digest(store: ObjectStore) -> None:
    content = patterned(3, (17 << 20) + 5)
    upload = await store.create_upload(KEY, PLAIN)
    part = await store.write_part(KEY, upload, 1, pieces(content), len(content))
    with pytest.raises(StoreLied):
        await store.write_part(KEY, upload, 2, pieces(content), len(content) + 1)
    with pytest.raises(StoreLied):
        await store.write_part(KEY, upload, 2, pieces(content), len(content) - 1)
    assert await store.list_parts(KEY, upload) == [part]
    status = await store.complete_upload(KEY, upload, [part], PLAIN)
    assert await read(store, status, whole(len(content))) == content
    digest = await store.digest(KEY)
    assert digest is not None
    assert digest.value == f"{crc64nvme(content):016x}"


async def test_a_conditional_copy_keeps_content_type_metadata_and_digest(
    store: ObjectStore,
) -> None:
    kept = WriteOptions(content_type="x/y", metadata={"a": "b"})
    source = await store.write(KEY, pieces(b"content"), kept)
    target = StoreKey("copy")
    copied = await store.copy(KEY, target, IfAbsent())
    assert (copied.size, copied.content_type, dict(copied.metadata)) == (7, "x/y", {"a": "b"})
    assert await store.digest(target) == await store.digest(KEY)
    with pytest.raises(ConditionFailed):
        await store.copy(KEY, target, IfAbsent())
    await store.copy(KEY, target, IfUnchanged(copied.fingerprint))
    assert source == await store.stat(KEY)


async def test_a_reader_of_a_replaced_file_never_gets_the_new_bytes(store: ObjectStore) -> None:
    old = await store.write(KEY, pieces(b"old"), PLAIN)
    reader = await store.open(old)
    await store.write(KEY, pieces(b"new"), PLAIN)
    with pytest.raises(GenerationGone):
        async for _ in reader.stream(whole(3)):
            pass
    await reader.close()


async def test_uploads_below_a_directory_are_listed_and_no_others(store: ObjectStore) -> None:
    uploads = [await store.create_upload(StoreKey(text), PLAIN) for text in ("d/a", "d/b/c", "dd")]
    found = await store.list_uploads(StoreKey("d"))
    assert [(upload.key.text, upload.upload_id) for upload in found] == [
        ("d/a", uploads[0]),
        ("d/b/c", uploads[1]),
    ]
