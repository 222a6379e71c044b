"""What a whole node asks its stores: exact counts, with witnesses outside of it."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from testbed.hdfs import Hdfs
from testbed.seaweed import Seaweed
from tests.doors.s3_door import Client, eventually
from tests.fakes.content_store import content
from tests.fakes.counting_proxy import CountingProxy, SeenRequest
from tests.fakes.hdfs_witness import HdfsCounts, counted
from tests.fakes.standing_proxy import standing_proxy
from tests.fakes.whole_node import WholeNode

pytestmark = [pytest.mark.slow, pytest.mark.service]

BLOCK = 64 << 10
MEBIBYTE = 1 << 20
READERS = 200


@pytest.fixture(scope="module")
def proxy(seaweed: Seaweed) -> Iterator[CountingProxy]:
    """Stands between the node and SeaweedFS."""
    with standing_proxy(seaweed.endpoint) as standing:
        yield standing


@pytest.fixture
def cloud(
    whole_lake: WholeNode, seaweed: Seaweed, bucket: str, proxy: CountingProxy
) -> Iterator[Any]:
    """A boto3 client of the bucket that is mounted, through the proxy, at /counted-s3."""
    whole_lake.mount_seaweed("/counted-s3", seaweed, bucket, endpoint=proxy.endpoint)
    client = seaweed.client()
    yield client
    client.close()
    whole_lake.node.delete("/v1/mounts", path="/counted-s3")


@pytest.fixture
def onprem(whole_lake: WholeNode, hdfs: Hdfs, hdfs_directory: str) -> Iterator[str]:
    """An HDFS directory, which is mounted at /counted-hdfs."""
    options = {"user": hdfs.superuser, "webhdfs": hdfs.webhdfs}
    whole_lake.mount("/counted-hdfs", f"{hdfs.uri}{hdfs_directory}", **options)
    yield hdfs_directory
    whole_lake.node.delete("/v1/mounts", path="/counted-hdfs")


def methods(requests: list[SeenRequest]) -> list[str]:
    return [request.method for request in requests]


def put(client: Any, bucket: str, key: str, body: bytes) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=body)


def test_a_cold_block_of_an_s3_object_costs_one_head_and_one_ranged_get(
    whole_lake: WholeNode, cloud: Any, bucket: str, proxy: CountingProxy
) -> None:
    body = content(1, 0, 4 * BLOCK)
    put(cloud, bucket, "cold", body)
    before = whole_lake.store_requests("/counted-s3")
    proxy.take()

    status = whole_lake.ask("/counted-s3/cold", method="HEAD")
    assert methods(proxy.take()) == ["HEAD"]
    first = whole_lake.ask("/counted-s3/cold", headers={"range": f"bytes={BLOCK}-{BLOCK + 99}"})

    (get,) = proxy.take()
    assert get.method == "GET"
    assert get.headers["range"] == f"bytes={BLOCK}-{2 * BLOCK - 1}"
    assert get.headers["if-match"].strip('"') in str(cloud.head_object(Bucket=bucket, Key="cold"))
    assert (first.status, first.body) == (206, body[BLOCK : BLOCK + 100])
    assert first.headers["x-forebay-cache"] == "miss"
    assert first.headers["etag"] == status.headers["etag"]
    asked = whole_lake.store_requests("/counted-s3") - before
    assert asked == Counter(stat=1, read=1)


def test_a_warm_read_asks_the_store_nothing(
    whole_lake: WholeNode, cloud: Any, bucket: str, proxy: CountingProxy
) -> None:
    body = content(2, 0, 5 * BLOCK + 17)
    put(cloud, bucket, "warm", body)
    whole_lake.ask("/counted-s3/warm")
    before = whole_lake.store_requests("/counted-s3"), whole_lake.ufs("/counted-s3")
    proxy.take()

    for number in range(20):
        start = number * 1000
        wish = {"range": f"bytes={start}-"} if number else {}
        answer = whole_lake.ask("/counted-s3/warm", headers=wish)
        assert answer.body == body[start:]
        assert answer.headers["x-forebay-cache"] == "hit"
        assert whole_lake.ask("/counted-s3/warm", method="HEAD").status == 200

    assert proxy.take() == []
    after = whole_lake.store_requests("/counted-s3"), whole_lake.ufs("/counted-s3")
    assert after[0] == before[0]
    assert after[1]["reads"] == before[1]["reads"]
    assert after[1]["status requests"] == before[1]["status requests"]
    assert after[1]["fetched"] == before[1]["fetched"]
    served = sum(len(body) - number * 1000 for number in range(20))
    assert after[1]["from cache"] - before[1]["from cache"] == served


def test_a_warm_read_is_answered_by_the_hot_path(
    whole_lake: WholeNode, cloud: Any, bucket: str
) -> None:
    put(cloud, bucket, "hot", content(3, 0, BLOCK + 5))
    whole_lake.ask("/counted-s3/hot")

    # Blocks and statuses are entered together with others, a moment later.
    assert eventually(lambda: whole_lake.ask("/counted-s3/hot").is_hot)
    assert whole_lake.ask("/counted-s3/hot").body == content(3, 0, BLOCK + 5)


def test_an_object_is_fetched_once_in_ranges_that_join_missing_blocks(
    whole_lake: WholeNode, cloud: Any, bucket: str, proxy: CountingProxy
) -> None:
    body = content(4, 0, 3 * MEBIBYTE + 1)
    put(cloud, bucket, "joined", body)
    hole = {"range": f"bytes={MEBIBYTE}-{MEBIBYTE}"}
    assert whole_lake.ask("/counted-s3/joined", headers=hole).status == 206
    proxy.take()

    answer = whole_lake.ask("/counted-s3/joined")

    assert answer.body == body
    assert answer.headers["x-forebay-cache"] == "partial"
    ranges = sorted(span_of(request) for request in proxy.take())
    assert ranges == [(0, MEBIBYTE), (MEBIBYTE + BLOCK, len(body))]


def test_a_remembered_directory_is_listed_without_the_store(
    whole_lake: WholeNode, cloud: Any, bucket: str, proxy: CountingProxy
) -> None:
    for number in range(5):
        put(cloud, bucket, f"dir/{number}", b"x" * number)
    # From its first listing the node learns in which order this store lists.
    assert whole_lake.names_in("counted-s3")
    proxy.take()

    keys = [f"dir/{number}" for number in range(5)]
    with standing_still(whole_lake, "/counted-s3"):
        for _ in range(5):
            assert whole_lake.names_in("counted-s3", "dir/") == keys
            listed = whole_lake.node.get("/v1/fs/list", path="/counted-s3/dir")
            assert [entry["size"] for entry in listed["entries"]] == [0, 1, 2, 3, 4]
            assert whole_lake.node.get("/v1/fs/usage", path="/counted-s3/dir")["bytes"] == 10

    assert proxy.take() == []


def test_a_name_that_a_listing_of_a_moment_ago_lacks_is_not_asked_for(
    whole_lake: WholeNode, cloud: Any, bucket: str, proxy: CountingProxy
) -> None:
    put(cloud, bucket, "lacking/a", b"a")
    assert whole_lake.names_in("counted-s3", "lacking/") == ["lacking/a"]
    proxy.take()

    assert whole_lake.ask("/counted-s3/lacking/b").code == "NoSuchKey"

    assert proxy.take() == []


@contextmanager
def standing_still(node: WholeNode, mount: str) -> Iterator[None]:
    """The node counts no request to the store of the mount inside."""
    before = node.store_requests(mount)
    yield
    assert node.store_requests(mount) == before


def test_two_hundred_first_readers_of_one_object_cost_each_byte_once(
    whole_lake: WholeNode, cloud: Any, bucket: str, proxy: CountingProxy
) -> None:
    body = content(5, 0, 16 * MEBIBYTE)
    put(cloud, bucket, "crowd", body)
    before = whole_lake.ufs("/counted-s3")
    proxy.take()
    outcomes = crowd(whole_lake, "/counted-s3/crowd", body)

    assert outcomes == Counter({"right": READERS})
    requests = proxy.take()
    assert methods(requests).count("HEAD") == 1
    spans = sorted(span_of(request) for request in requests if request.method == "GET")
    assert spans[0][0] == 0
    assert spans[-1][1] == len(body)
    # Each range begins where the one before it ends: no byte twice, none left out.
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    after = whole_lake.ufs("/counted-s3")
    assert after["fetched"] - before["fetched"] == len(body)
    assert after["asked"] - before["asked"] == READERS * len(body)


def crowd(node: WholeNode, path: str, body: bytes) -> Counter[str]:
    """What became of so many readers that begin at once."""
    outcomes: Counter[str] = Counter()
    start = threading.Barrier(READERS)
    request = [node.request(path) for _ in range(READERS)]

    def read(number: int) -> None:
        outcome = "broken"
        try:
            with Client(node.port, timeout=60) as client:
                start.wait()
                outcome = "right" if reads_right(client.send(request[number]), body) else "wrong"
        finally:
            outcomes[outcome] += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def reads_right(client: Client, body: bytes) -> bool:
    """Whether the answer is `body`; it is compared as it comes, not kept."""
    status, headers = client.head()
    if status != 200 or int(headers["content-length"]) != len(body):
        return False
    at, whole, room = len(client.buffer), memoryview(body), bytearray(256 << 10)
    right = whole[:at] == client.buffer
    while right and at < len(body):
        count = client.socket.recv_into(room)
        right = count > 0 and whole[at : at + count] == memoryview(room)[:count]
        at += count
    return right


def span_of(request: SeenRequest) -> tuple[int, int]:
    """The bytes that a ranged GET asks for."""
    first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
    return int(first), int(last) + 1


def test_a_cold_block_in_hdfs_costs_one_read_with_its_identity_asked_before_and_after(
    whole_lake: WholeNode, hdfs: Hdfs, onprem: str
) -> None:
    body = content(6, 0, 4 * BLOCK)
    with hdfs.files() as files:
        files.put(f"{onprem}/cold", body)
    before = whole_lake.store_requests("/counted-hdfs")

    with counted(hdfs) as status:
        assert whole_lake.ask("/counted-hdfs/cold", method="HEAD").status == 200
    with counted(hdfs) as read:
        answer = whole_lake.ask(
            "/counted-hdfs/cold", headers={"range": f"bytes={BLOCK}-{BLOCK + 99}"}
        )

    assert answer.body == body[BLOCK : BLOCK + 100]
    assert status == HdfsCounts(statuses=1)
    # The native reader that reads the block asks for a block list of its own.
    assert read == HdfsCounts(statuses=2, block_lists=3, block_reads=1)
    asked = whole_lake.store_requests("/counted-hdfs") - before
    assert asked == Counter(stat=1, open=1, read=1, verify=1)
    assert whole_lake.ufs("/counted-hdfs")["fetched"] == BLOCK


def test_a_warm_read_of_an_hdfs_file_asks_hdfs_nothing(
    whole_lake: WholeNode, hdfs: Hdfs, onprem: str
) -> None:
    body = content(7, 0, 3 * BLOCK + 1)
    with hdfs.files() as files:
        files.put(f"{onprem}/d/warm", body)
    assert whole_lake.ask("/counted-hdfs/d/warm").body == body
    assert whole_lake.names_in("counted-hdfs", "d/") == ["d/warm"]

    with counted(hdfs) as warm:
        for _ in range(20):
            answer = whole_lake.ask("/counted-hdfs/d/warm")
            assert (answer.body, answer.headers["x-forebay-cache"]) == (body, "hit")
            assert whole_lake.names_in("counted-hdfs", "d/") == ["d/warm"]

    assert warm == HdfsCounts()
    assert warm.bytes_read == 0


def test_two_hundred_first_readers_of_one_hdfs_file_cost_each_block_once(
    whole_lake: WholeNode, hdfs: Hdfs, onprem: str
) -> None:
    body = content(8, 0, 4 * MEBIBYTE)
    with hdfs.files() as files:
        files.put(f"{onprem}/crowd", body)

    with counted(hdfs) as during:
        outcomes = crowd(whole_lake, "/counted-hdfs/crowd", body)

    assert outcomes == Counter({"right": READERS})
    checksums = len(body) // 512 * 4
    assert during.bytes_read <= len(body) + checksums + 64 * during.block_reads
    assert whole_lake.ufs("/counted-hdfs")["fetched"] == len(body)


def test_the_report_and_the_metrics_tell_the_same(
    whole_lake: WholeNode, cloud: Any, bucket: str
) -> None:
    put(cloud, bucket, "told", b"t" * 100)
    whole_lake.ask("/counted-s3/told")

    row = whole_lake.ufs("/counted-s3")
    asked = whole_lake.store_requests("/counted-s3")
    assert row["reads"] == asked["read"]
    assert row["status requests"] == asked["stat"] + asked["list"]
    labels = {"mount": "/counted-s3"}
    assert row["fetched"] == whole_lake.sample("forebay_store_fetched_bytes_total", **labels)
    assert row["asked"] == whole_lake.sample("forebay_mount_asked_bytes_total", **labels)
    assert row["from cache"] == whole_lake.sample("forebay_mount_cached_bytes_total", **labels)
    assert json.loads(json.dumps(row)) == row
