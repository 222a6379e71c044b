"""The HDFS store while servers hang, die and come back: every call ends, and nothing is torn."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from forebay.model.errors import FileMissing, StoreAway
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.ranges import whole
from forebay.model.status import FileStatus
from forebay.stores.contract import WriteOptions, pieces, read
from forebay.stores.hdfs.address import HdfsOptions
from forebay.stores.hdfs.store import HdfsStore, open_hdfs
from testbed.hdfs import Hdfs
from testbed.hdfs import HdfsOptions as ClusterOptions

pytestmark = [pytest.mark.service, pytest.mark.slow]

MEBIBYTE = 1 << 20
PLAIN = WriteOptions()
DEADLINE = timedelta(seconds=2)
STALL = timedelta(seconds=3)
SLACK = 3.0  # what two busy cores may add
THREADS = 6


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    with Hdfs(tmp_path_factory.mktemp("failing-hdfs"), ClusterOptions(datanodes=2)) as started:
        yield started


@pytest.fixture
def options(cluster: Hdfs) -> HdfsOptions:
    return HdfsOptions(
        cluster.uri.removeprefix("hdfs://"),
        cluster.superuser,
        (cluster.webhdfs,),
        insists=True,
        deadline=DEADLINE,
        stall=STALL,
        threads=THREADS,
    )


@pytest.fixture
async def store(options: HdfsOptions) -> AsyncIterator[HdfsStore]:
    opened = await open_hdfs(options)
    yield opened
    await opened.close()


@contextmanager
def hanging_datanodes(cluster: Hdfs, *numbers: int) -> Iterator[None]:
    for number in numbers:
        cluster.freeze_datanode(number)
    try:
        yield
    finally:
        for number in numbers:
            cluster.thaw_datanode(number)


@contextmanager
def hanging_namenode(cluster: Hdfs) -> Iterator[None]:
    cluster.freeze_namenode()
    try:
        yield
    finally:
        cluster.thaw_namenode()


async def away(call: Awaitable[object], most: timedelta) -> None:
    """The call says StoreAway, and in time."""
    begun = time.monotonic()
    with pytest.raises(StoreAway):
        await call
    assert time.monotonic() - begun < most.total_seconds() + SLACK


async def put(store: HdfsStore, text: str, content: bytes) -> FileStatus:
    return await store.write(StoreKey(text), pieces(content), PLAIN)


async def until(answers: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(40):
        while not await answers():
            await asyncio.to_thread(threading.Event().wait, 0.1)


async def test_a_datanode_that_hangs_is_away_within_the_stall_and_the_reader_goes_on_after(
    cluster: Hdfs, store: HdfsStore
) -> None:
    content = b"x" * (2 * MEBIBYTE)
    status = await put(store, "frozen/a", content)
    reader = await store.open(status)

    async def streamed() -> bytes:
        return b"".join([bytes(piece) async for piece in reader.stream(whole(status.size))])

    with hanging_datanodes(cluster, 0, 1):
        # hdfs-native passes over a DataNode that hangs; with no other, we ask whether the file is
        # still what it was.
        await away(streamed(), STALL + DEADLINE)
    assert await streamed() == content
    await reader.verify()
    await reader.close()


async def test_a_write_to_a_datanode_that_hangs_is_away_and_leaves_the_old_file(
    cluster: Hdfs, store: HdfsStore
) -> None:
    await put(store, "frozen/b", b"old")
    with hanging_datanodes(cluster, 0, 1):
        await away(put(store, "frozen/b", b"new"), STALL + DEADLINE)
    status = await store.stat(StoreKey("frozen/b"))
    assert await read(store, status, whole(3)) == b"old"


async def test_a_dead_datanode_is_away_at_once_and_the_reader_goes_on_when_it_is_back(
    cluster: Hdfs, store: HdfsStore
) -> None:
    status = await put(store, "killed/a", b"x" * MEBIBYTE)
    reader = await store.open(status)

    async def streamed() -> int:
        return sum([len(piece) async for piece in reader.stream(whole(status.size))])

    cluster.kill_datanode(0)
    cluster.kill_datanode(1)
    try:
        await away(streamed(), DEADLINE)
    finally:
        cluster.restart_datanode(0)
        cluster.restart_datanode(1)
    assert await streamed() == MEBIBYTE
    await reader.verify()
    await reader.close()


async def test_a_second_replica_is_read_when_the_first_one_hangs(
    cluster: Hdfs, store: HdfsStore
) -> None:
    content = b"y" * MEBIBYTE
    status = await put(store, "replicas/a", content)
    with cluster.files() as files:
        files.ask("PUT", "/replicas/a", "SETREPLICATION", replication="2")
        await until(lambda: _has_two_replicas(cluster, "/replicas/a"))
    for number in (0, 1):
        with hanging_datanodes(cluster, number):
            assert await read(store, status, whole(status.size)) == content


async def _has_two_replicas(cluster: Hdfs, path: str) -> bool:
    with cluster.files() as files:
        answer = files.ask("GET", path, "GET_BLOCK_LOCATIONS", offset="0", length="1")
        (block,) = answer["LocatedBlocks"]["locatedBlocks"]
        return len(block["locations"]) == 2


async def test_a_namenode_that_hangs_is_away_for_every_verb_within_the_deadline(
    cluster: Hdfs, store: HdfsStore
) -> None:
    key = StoreKey("namenode/a")
    status = await put(store, key.text, b"hello")
    upload = await store.create_upload(key, PLAIN)
    with hanging_namenode(cluster):
        calls: list[Awaitable[object]] = [
            store.stat(key),
            store.list(key.parent),
            store.open(status),
            put(store, "namenode/b", b"new"),
            store.rename(key, StoreKey("namenode/c")),
            store.delete(StoreKey("namenode/none")),
            store.make_directory(StoreKey("namenode/d")),
            store.list_parts(key, upload),
            store.digest(key),
            store.now(),
            store.check(),
        ]
        await asyncio.gather(*(away(call, DEADLINE) for call in calls))
    # What had been asked for before it hung may have been done.
    await until(lambda: _answers(store))
    found = await store.list(StoreKey("namenode"))
    assert [status.key.name for status in found.entries if status.is_file] in (["a"], ["c"])


async def _answers(store: HdfsStore) -> bool:
    try:
        await store.check()
    except StoreAway:
        return False
    return True


async def test_calls_that_hang_keep_a_bounded_number_of_threads(
    cluster: Hdfs, store: HdfsStore
) -> None:
    before = threading.active_count()
    with hanging_namenode(cluster):
        for _ in range(3):
            calls = (store.make_directory(StoreKey(f"hung/{number}")) for number in range(5))
            await asyncio.gather(*(away(call, DEADLINE) for call in calls))
        assert threading.active_count() <= before + THREADS
    await until(lambda: _answers(store))
    await store.make_directory(StoreKey("hung/after"))


async def test_a_dead_namenode_is_away_and_all_goes_on_when_it_is_back(
    cluster: Hdfs, store: HdfsStore
) -> None:
    status = await put(store, "dead/a", b"hello")
    cluster.kill_namenode()
    try:
        await away(store.stat(status.key), DEADLINE)
        await away(store.open(status), DEADLINE)
        await away(store.make_directory(StoreKey("dead/d")), DEADLINE)
        await away(put(store, "dead/b", b"new"), DEADLINE)
    finally:
        cluster.restart_namenode()
    await until(lambda: _answers(store))
    assert await read(store, status, whole(5)) == b"hello"
    with pytest.raises(FileMissing):
        await store.stat(StoreKey("dead/b"))
    assert (await store.stat(STORE_ROOT)).is_directory
