"""The HDFS store against a real cluster: identity, counts, open files, uploads, clocks."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hdfs_native import Client
from hdfs_native import WriteOptions as NativeWriteOptions

from forebay.model.conditions import IfAbsent
from forebay.model.errors import BadPath, ConditionFailed, GenerationGone, StoreAway, StoreRefused
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange, whole
from forebay.model.status import FileStatus
from forebay.stores.contract import PartStatus, WriteOptions, pieces, read
from forebay.stores.hdfs.address import HdfsOptions
from forebay.stores.hdfs.store import HdfsStore, open_hdfs
from testbed.hdfs import Hdfs
from testbed.ports import free_ports

pytestmark = pytest.mark.service

MEBIBYTE = 1 << 20
PLAIN = WriteOptions()


class Counting(httpx.AsyncHTTPTransport):
    """Counts the operations that it carries."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._counts[request.url.params["op"]] += 1
        return await super().handle_async_request(request)


def options_of(hdfs: Hdfs) -> HdfsOptions:
    authority = hdfs.uri.removeprefix("hdfs://")
    return HdfsOptions(authority, hdfs.superuser, (hdfs.webhdfs,), insists=True)


@pytest.fixture
def counts() -> Counter[str]:
    return Counter()


@pytest.fixture
async def store(hdfs: Hdfs, counts: Counter[str]) -> AsyncIterator[HdfsStore]:
    opened = await open_hdfs(options_of(hdfs), lambda: Counting(counts))
    yield opened
    await opened.close()


@pytest.fixture
def key(hdfs_directory: str) -> StoreKey:
    return StoreKey(f"{hdfs_directory.strip('/')}/file")


@pytest.fixture
def native(hdfs: Hdfs) -> Client:
    return Client(hdfs.uri)


async def put(store: HdfsStore, key: StoreKey, content: bytes) -> FileStatus:
    return await store.write(key, pieces(content), PLAIN)


async def until(answers: Callable[[], bool]) -> None:
    """Wait for what HDFS does in its own time."""
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(answers):
            await asyncio.to_thread(threading.Event().wait, 0.05)


# --- identity


async def test_a_truncated_and_regrown_file_is_noticed_though_its_status_is_the_same(
    hdfs: Hdfs, store: HdfsStore, key: StoreKey, native: Client
) -> None:
    path = f"/{key}"
    await put(store, key, b"A" * 1000)
    native.set_times(path, 1000, 1000)
    status = await store.stat(key)
    reader = await store.open(status)
    first = b"".join([bytes(piece) async for piece in reader.stream(ByteRange(0, 100))])
    await reader.verify()

    with hdfs.files() as files:
        await until(lambda: files.ask("POST", path, "TRUNCATE", newlength="500") != {})
        await until(lambda: _appended(hdfs, path, b"B" * 500))
    native.set_times(path, 1000, 1000)

    assert first == b"A" * 100
    assert (await store.stat(key)).fingerprint == status.fingerprint
    with pytest.raises(GenerationGone):
        await reader.verify()
    await reader.close()


def _appended(hdfs: Hdfs, path: str, content: bytes) -> bool:
    with hdfs.files() as files:
        try:
            files.append(path, content)
        except Exception:  # noqa: BLE001 - the truncation is still going on
            return False
        return True


async def test_an_appended_file_is_another_generation(
    hdfs: Hdfs, store: HdfsStore, key: StoreKey
) -> None:
    status = await put(store, key, b"hello")
    reader = await store.open(status)
    with hdfs.files() as files:
        files.append(f"/{key}", b" world")
    with pytest.raises(GenerationGone):
        await reader.verify()
    with pytest.raises(GenerationGone):
        await store.open(status)
    await reader.close()


async def test_an_overwrite_of_equal_length_and_time_is_another_generation(
    store: HdfsStore, key: StoreKey, native: Client
) -> None:
    old = await put(store, key, b"old")
    native.set_times(f"/{key}", 1000, 1000)
    old = await store.stat(key)
    await put(store, key, b"new")
    native.set_times(f"/{key}", 1000, 1000)
    new = await store.stat(key)
    assert (old.size, old.modified_at) == (new.size, new.modified_at)
    assert old.fingerprint != new.fingerprint
    with pytest.raises(GenerationGone):
        await read(store, old, whole(3))


async def test_a_renamed_file_keeps_its_fingerprint(store: HdfsStore, key: StoreKey) -> None:
    status = await put(store, key, b"hello")
    await store.rename(key, key.parent / "other")
    moved = await store.stat(key.parent / "other")
    assert moved.fingerprint == status.fingerprint
    assert moved.fingerprint.text.startswith("hdfs:")
    assert moved.fingerprint.text.split(":")[2] == "5"


async def test_a_file_replaced_while_it_is_read_gives_old_bytes_or_an_error(
    store: HdfsStore, key: StoreKey
) -> None:
    old, new = b"o" * (8 * MEBIBYTE), b"n" * (8 * MEBIBYTE)
    status = await put(store, key, old)
    reader = await store.open(status)
    stream = reader.stream(whole(status.size))
    found = [bytes(await anext(stream))]
    await put(store, key, new)
    with pytest.raises(GenerationGone):  # noqa: PT012 - wherever it is noticed
        found.extend([bytes(piece) async for piece in stream])
        await reader.verify()
    assert set(b"".join(found)) == {ord("o")}
    await reader.close()


async def test_a_file_whose_blocks_are_gone_is_gone(
    hdfs: Hdfs, store: HdfsStore, key: StoreKey
) -> None:
    status = await put(store, key, b"x" * MEBIBYTE)
    reader = await store.open(status)
    await store.delete(key)
    blocks = Path(hdfs.directory)
    await until(lambda: not _block_files(blocks, MEBIBYTE))
    with pytest.raises(GenerationGone):
        [bytes(piece) async for piece in reader.stream(whole(status.size))]
    await reader.close()


def _block_files(directory: Path, size: int) -> list[Path]:
    return [
        file
        for file in directory.glob("data-*/**/blk_*")
        if file.suffix != ".meta" and file.exists() and file.stat().st_size == size
    ]


async def test_a_file_that_is_being_written_is_read_up_to_its_length(
    store: HdfsStore, key: StoreKey, native: Client
) -> None:
    writer = native.create(f"/{key}", NativeWriteOptions(create_parent=True))
    writer.write(b"visible")
    writer.hsync()
    status = await store.stat(key)
    reader = await store.open(status)
    found = b"".join([bytes(piece) async for piece in reader.stream(whole(status.size))])
    await reader.verify()
    writer.write(b" and more")
    writer.close()
    assert found == b"visible"
    with pytest.raises(GenerationGone):
        await reader.verify()
    await reader.close()
    closed = await store.stat(key)
    assert await read(store, closed, whole(closed.size)) == b"visible and more"


# --- counts


async def test_a_cold_read_costs_a_status_and_a_block_list_before_and_after(
    store: HdfsStore, key: StoreKey, counts: Counter[str]
) -> None:
    status = await put(store, key, b"x" * 100_000)
    counts.clear()
    assert len(await read(store, status, whole(status.size))) == 100_000
    assert counts == {"GETFILESTATUS": 2, "GET_BLOCK_LOCATIONS": 2}


async def test_several_ranges_share_one_proof(
    store: HdfsStore, key: StoreKey, counts: Counter[str]
) -> None:
    status = await put(store, key, b"x" * 100_000)
    counts.clear()
    reader = await store.open(status)
    for span in whole(status.size).split(10_000):
        assert sum([len(piece) async for piece in reader.stream(span)]) == len(span)
    await reader.verify()
    await reader.close()
    assert counts == {"GETFILESTATUS": 2, "GET_BLOCK_LOCATIONS": 2}


async def test_a_status_and_a_small_listing_cost_one_request_each(
    store: HdfsStore, key: StoreKey, counts: Counter[str]
) -> None:
    await put(store, key, b"x")
    counts.clear()
    await store.stat(key)
    await store.list(key.parent)
    assert counts == {"GETFILESTATUS": 1, "LISTSTATUS_BATCH": 1}


async def test_a_write_costs_one_create_and_one_status(
    store: HdfsStore, key: StoreKey, counts: Counter[str]
) -> None:
    await put(store, key, b"x")
    counts.clear()
    await put(store, key, b"y")
    # The NameNode is asked where to, then the DataNode is sent the bytes: both are CREATE.
    assert counts == {"CREATE": 2, "GETFILESTATUS": 1}


# --- what it holds on to


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough


async def test_abandoned_streams_leave_no_threads_and_no_descriptors(
    hdfs: Hdfs, store: HdfsStore, key: StoreKey
) -> None:
    status = await put(store, key, b"x" * (4 * MEBIBYTE))

    async def abandon() -> None:
        reader = await store.open(status)
        stream = reader.stream(whole(status.size))
        await anext(stream)
        await reader.close()
        await stream.aclose()  # type: ignore[attr-defined]

    await abandon()
    before = descriptors()
    for _ in range(40):
        await abandon()
    assert descriptors() <= before + 8
    ours = [thread for thread in threading.enumerate() if thread.name == "hdfs-native"]
    assert len(ours) <= options_of(hdfs).threads


async def test_a_closed_store_has_no_threads(hdfs: Hdfs) -> None:
    before = set(threading.enumerate())
    opened = await open_hdfs(options_of(hdfs))
    await opened.close()
    await until(lambda: set(threading.enumerate()) <= before | {threading.current_thread()})


# --- what it tells


async def test_its_clock_and_digest_and_hosts_are_hdfs_s_own(
    store: HdfsStore, key: StoreKey
) -> None:
    status = await put(store, key, b"hello")
    assert list(await store.hosts(status)) == ["127.0.0.1"]
    moment = await store.now()
    assert moment is not None
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)
    digest = await store.digest(key)
    assert digest is not None
    assert digest.algorithm == "MD5-of-0MD5-of-512CRC32C"
    assert len(digest.value) == 32
    empty = await put(store, key, b"")
    found = await store.digest(empty.key)
    assert found is not None
    assert found.value == "70bc8f4b72a86921468bf8e8441dce51"


async def test_owners_and_modes_are_reported(store: HdfsStore, key: StoreKey, hdfs: Hdfs) -> None:
    status = await put(store, key, b"hello")
    assert status.ownership is not None
    assert (status.ownership.owner, status.ownership.mode) == (hdfs.superuser, 0o644)


async def test_a_name_that_hdfs_cannot_have_is_a_bad_path(store: HdfsStore, key: StoreKey) -> None:
    with pytest.raises(BadPath):
        await put(store, key.parent / "a:b", b"x")


# --- uploads


async def test_an_upload_that_was_joined_but_got_no_name_is_completed_later(
    store: HdfsStore, key: StoreKey, counts: Counter[str]
) -> None:
    upload = await store.create_upload(key, PLAIN)
    parts: list[PartStatus] = [
        await store.write_part(key, upload, number, pieces(content), len(content))
        for number, content in ((1, b"one"), (2, b""), (3, b"three"))
    ]
    await put(store, key, b"in the way")
    with pytest.raises(ConditionFailed):
        await store.complete_upload(key, upload, parts, WriteOptions(condition=IfAbsent()))
    assert counts["CONCAT"] == 1
    await store.delete(key)

    status = await store.complete_upload(key, upload, parts, WriteOptions(condition=IfAbsent()))
    assert await read(store, status, whole(8)) == b"onethree"
    assert counts["CONCAT"] == 1
    assert await store.list_uploads(key.parent) == []


async def test_many_parts_are_joined_by_hdfs_itself(
    store: HdfsStore, key: StoreKey, counts: Counter[str]
) -> None:
    upload = await store.create_upload(key, PLAIN)
    parts = await asyncio.gather(
        *(
            store.write_part(key, upload, number, pieces(b"%03d" % number), 3)
            for number in range(1, 121)
        )
    )
    counts.clear()
    status = await store.complete_upload(key, upload, parts, WriteOptions(size=360))
    assert counts["CONCAT"] == 2
    expected = b"".join(b"%03d" % number for number in range(1, 121))
    assert await read(store, status, whole(360)) == expected
    assert await store.digest(key) is not None


# --- where its own files go


async def test_all_that_is_ours_is_below_home_and_nothing_stays(hdfs: Hdfs, key: StoreKey) -> None:
    home = key.parent / "home"
    options = HdfsOptions(options_of(hdfs).authority, hdfs.superuser, (hdfs.webhdfs,), home=home)
    opened = await open_hdfs(options)
    await put(opened, key, b"x")
    upload = await opened.create_upload(key, PLAIN)
    with hdfs.files() as files:
        named = files.ask("GET", f"/{home}/.forebay", "LISTSTATUS")["FileStatuses"]["FileStatus"]
        assert {entry["pathSuffix"] for entry in named} == {"tmp", "mpu"}
        await opened.abort_upload(key, upload)
        task = asyncio.create_task(opened.write(key, _stalled(), PLAIN))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await opened.close()
        for name in ("tmp", "mpu"):
            left = files.ask("GET", f"/{home}/.forebay/{name}", "LISTSTATUS")
            assert left["FileStatuses"]["FileStatus"] == []


async def test_who_may_not_write_below_forebay_is_told_of_home(hdfs: Hdfs, key: StoreKey) -> None:
    owner = await open_hdfs(options_of(hdfs))
    await put(owner, key, b"old")
    await owner.close()
    options = HdfsOptions(options_of(hdfs).authority, "stranger", (hdfs.webhdfs,))
    opened = await open_hdfs(options)
    with pytest.raises(StoreRefused, match="'home'"):
        await put(opened, key, b"new")
    await opened.close()


async def _stalled() -> AsyncIterator[bytes]:
    yield b"half"
    await asyncio.Event().wait()


# --- without WebHDFS


async def test_without_webhdfs_it_opens_with_fewer_abilities_and_says_so(
    hdfs: Hdfs, key: StoreKey
) -> None:
    (dead,) = free_ports(1)
    authority = options_of(hdfs).authority
    opened = await open_hdfs(HdfsOptions(authority, hdfs.superuser, (f"http://127.0.0.1:{dead}",)))
    facts = await opened.check()
    assert "not reachable" in facts["webhdfs"]
    assert opened.abilities.digest is None
    status = await put(opened, key, b"hello")
    assert status.fingerprint.text.startswith("hdfs:-:5:")
    assert await read(opened, status, whole(5)) == b"hello"
    await opened.close()


async def test_webhdfs_that_was_asked_for_by_name_must_be_there(hdfs: Hdfs) -> None:
    (dead,) = free_ports(1)
    options = HdfsOptions(
        options_of(hdfs).authority, hdfs.superuser, (f"http://127.0.0.1:{dead}",), insists=True
    )
    with pytest.raises(StoreAway):
        await open_hdfs(options)


async def test_a_store_that_is_not_there_does_not_open() -> None:
    rpc, http = free_ports(2)
    deadline = timedelta(seconds=2)
    options = HdfsOptions(
        f"127.0.0.1:{rpc}", "nobody", (f"http://127.0.0.1:{http}",), deadline=deadline
    )
    with pytest.raises(StoreAway):
        await open_hdfs(options)


@asynccontextmanager
async def redirecting(hdfs: Hdfs, place: str) -> AsyncIterator[HdfsStore]:
    """A store whose NameNode names `place` instead of a DataNode."""

    class Redirecting(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.params["op"] in ("CREATE", "GETFILECHECKSUM"):
                assert request.url.port == hdfs.http_port, "the redirect was followed"
                return httpx.Response(307, headers={"location": place})
            return await super().handle_async_request(request)

    opened = await open_hdfs(options_of(hdfs), Redirecting)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data?op=CREATE",
        "http://[fd00:ec2::254]/?op=CREATE",
        "http://[::ffff:169.254.169.254]/?op=CREATE",
        "file:///etc/passwd?op=CREATE",
    ],
)
async def test_a_redirect_to_a_metadata_service_is_refused(
    hdfs: Hdfs, key: StoreKey, place: str
) -> None:
    async with redirecting(hdfs, place) as opened:
        with pytest.raises(StoreRefused):
            await put(opened, key, b"x")
        with pytest.raises(StoreRefused):
            await opened.digest(key)
