"""How old a whole node's answers may be, and what it answers while a store is away."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from testbed.hdfs import Hdfs
from testbed.seaweed import Seaweed
from tests.doors.s3_door import Answer, Client
from tests.fakes.content_store import content
from tests.fakes.whole_node import WholeNode

pytestmark = [pytest.mark.slow, pytest.mark.service]

MEBIBYTE = 1 << 20
SYNC_SECONDS = 1.0

Put = Callable[[str, bytes], None]


WAYS = {
    "second": {"sync": "1s"},
    "always": {"sync": "always"},
    "never": {"sync": "never"},
    "slow": {"sync": "1s", "budget.bandwidth": "16MiB/s"},
}
"""How each store is mounted, all at once, and what the mount is called."""


class Source:
    """A store as somebody else uses it, past Forebay, and where it is mounted."""

    def __init__(self, put: Put, remove: Callable[[str], None], kind: str) -> None:
        self.put = put
        self.remove = remove
        self.second, self.always, self.never, self.slow = (f"/{kind}-{way}" for way in WAYS)


@pytest.fixture
def cloud(whole_lake: WholeNode, seaweed: Seaweed, bucket: str) -> Iterator[Source]:
    client = seaweed.client()
    for way, options in WAYS.items():
        whole_lake.mount_seaweed(f"/cloud-{way}", seaweed, bucket, **options)

    def put(key: str, body: bytes) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=body)

    yield Source(put, lambda key: client.delete_object(Bucket=bucket, Key=key), "cloud")
    client.close()
    for way in WAYS:
        whole_lake.node.delete("/v1/mounts", path=f"/cloud-{way}")


@pytest.fixture
def onprem(whole_lake: WholeNode, hdfs: Hdfs, hdfs_directory: str) -> Iterator[Source]:
    common = {"user": hdfs.superuser, "webhdfs": hdfs.webhdfs}
    for way, options in WAYS.items():
        whole_lake.mount(f"/onprem-{way}", f"{hdfs.uri}{hdfs_directory}", **common, **options)
    with hdfs.files() as files:
        yield Source(
            lambda key, body: files.put(f"{hdfs_directory}/{key}", body),
            lambda key: files.delete(f"{hdfs_directory}/{key}"),
            "onprem",
        )
    for way in WAYS:
        whole_lake.node.delete("/v1/mounts", path=f"/onprem-{way}")


@pytest.fixture(params=["cloud", "onprem"])
def source(request: pytest.FixtureRequest) -> Source:
    """Each kind of store."""
    found: Source = request.getfixturevalue(request.param)
    return found


def wait_out(moment: float, seconds: float = SYNC_SECONDS) -> None:
    """Return when `seconds` have passed since `moment`."""
    time.sleep(max(0.0, moment + seconds + 0.05 - time.monotonic()))


def body_of(version: int, size: int) -> bytes:
    return content(version, 0, size)


# --- changes at the source


def test_what_was_overwritten_at_the_source_is_read_anew_after_the_interval(
    whole_lake: WholeNode, source: Source
) -> None:
    source.put("file", body_of(1, 300_000))
    before = whole_lake.ask(f"{source.second}/file")
    read_at = time.monotonic()
    assert before.body == body_of(1, 300_000)

    source.put("file", body_of(2, 200_001))
    wait_out(read_at)
    after = whole_lake.ask(f"{source.second}/file")

    assert after.body == body_of(2, 200_001)
    assert after.headers["etag"] != before.headers["etag"]
    assert after.headers["x-forebay-age"] == "0"
    assert after.headers["x-forebay-cache"] == "miss"
    old = {"if-match": before.headers["etag"]}
    assert whole_lake.ask(f"{source.second}/file", headers=old).status == 412


def test_content_of_the_same_length_is_told_apart(whole_lake: WholeNode, source: Source) -> None:
    etags = set()
    for version in range(5):
        source.put("same", body_of(version, 70_000))
        answer = whole_lake.ask(f"{source.always}/same")
        assert answer.body == body_of(version, 70_000)
        etags.add(answer.headers["etag"])

    assert len(etags) == 5


def test_what_the_mount_never_asks_again_stays_as_it_was(
    whole_lake: WholeNode, source: Source
) -> None:
    source.put("kept", body_of(1, 100_000))
    before = whole_lake.ask(f"{source.never}/kept")
    source.put("kept", body_of(2, 100_000))

    again = whole_lake.ask(f"{source.never}/kept")

    assert again.body == body_of(1, 100_000)
    assert again.headers["etag"] == before.headers["etag"]
    assert again.headers["x-forebay-cache"] == "hit"
    # The store is one: what another mount of it learns is known here too.
    assert whole_lake.ask(f"{source.always}/kept").body == body_of(2, 100_000)
    assert whole_lake.ask(f"{source.never}/kept").body == body_of(2, 100_000)


def test_what_was_deleted_at_the_source_is_gone_after_the_interval(
    whole_lake: WholeNode, source: Source
) -> None:
    source.put("d/doomed", body_of(1, 5000))
    source.put("d/other", b"other")
    assert whole_lake.ask(f"{source.second}/d/doomed").status == 200
    assert whole_lake.names_in(source.second[1:]) == ["d/doomed", "d/other"]
    read_at = time.monotonic()

    source.remove("d/doomed")
    wait_out(read_at)

    gone = whole_lake.ask(f"{source.second}/d/doomed")
    assert (gone.status, gone.code) == (404, "NoSuchKey")
    assert whole_lake.ask(f"{source.second}/d/doomed", method="HEAD").status == 404
    assert whole_lake.names_in(source.second[1:]) == ["d/other"]


def test_a_file_that_appears_is_seen_within_a_second(whole_lake: WholeNode, source: Source) -> None:
    source.put("e/first", b"first")
    assert whole_lake.ask(f"{source.never}/e/new").status == 404
    told_at = time.monotonic()
    source.put("e/new", b"new")

    wait_out(told_at)

    # Even where statuses are never asked for again: that is not said of absence.
    assert whole_lake.ask(f"{source.never}/e/new").body == b"new"


def test_the_age_grows_until_the_interval_ends(whole_lake: WholeNode, source: Source) -> None:
    source.put("aging", b"aging")
    assert whole_lake.ask(f"{source.never}/aging").headers["x-forebay-age"] == "0"
    read_at = time.monotonic()

    wait_out(read_at, 1.0)
    old = whole_lake.ask(f"{source.never}/aging")
    renewed = whole_lake.ask(f"{source.second}/aging")

    assert 1 <= int(old.headers["x-forebay-age"]) <= 1 + time.monotonic() - read_at
    assert old.headers["x-forebay-cache"] == "hit"
    assert (renewed.headers["x-forebay-age"], renewed.body) == ("0", b"aging")
    # The content is the same: it was not fetched again.
    assert renewed.headers["x-forebay-cache"] == "hit"


# --- a reader and a writer at once


def test_a_reader_across_an_overwrite_is_cut_and_given_nothing_of_the_new_content(
    whole_lake: WholeNode, source: Source
) -> None:
    # More than two seconds' worth: the last bytes are not asked for yet when the file changes.
    size = 48 * MEBIBYTE
    source.put("large", body_of(1, size))
    with Client(whole_lake.port) as client:
        status, headers = client.send(whole_lake.request(f"{source.slow}/large")).head()
        assert (status, int(headers["content-length"])) == (200, size)
        received = bytearray(client.buffer)
        received += client.socket.recv(1 << 16)

        source.put("large", body_of(2, size))

        while len(received) < size and (piece := received_piece(client)):
            received += piece
    # What had not been asked for is to be had nowhere.
    assert len(received) < size
    assert received == body_of(1, size)[: len(received)]
    assert whole_lake.ask(f"{source.always}/large").body == body_of(2, size)


def received_piece(client: Client) -> bytes:
    """The next bytes; none at the end, however it came."""
    client.socket.settimeout(30)
    try:
        return client.socket.recv(1 << 20)
    except ConnectionError:
        return b""


class Watcher:
    """Reads the same path again and again, and says what it was given.

    Attributes:
        seen: the versions by ETag.
        faults: answers that no state of the file explains.
    """

    def __init__(self, node: WholeNode, path: str, size: int) -> None:
        self.seen: dict[str, set[int]] = {}
        self.faults: list[object] = []
        self._node = node
        self._path = path
        self._size = size
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.is_set():
            try:
                self._judge(self._node.ask(self._path))
            except (EOFError, ConnectionError):
                # Cut in the middle: the client knows that it has not got it all.
                continue

    def _judge(self, answer: Answer) -> None:
        if answer.status != 200:
            if answer.status not in {404, 412, 503}:
                self.faults.append((answer.status, answer.body))
            return
        # HDFS itself shows a file that is being written, empty at first.
        version = VERSIONS.get(answer.body[8:16], -1)
        if answer.body and answer.body != body_of(version, self._size):
            self.faults.append((version, len(answer.body)))
        self.seen.setdefault(answer.headers["etag"], set()).add(version)


MOST_VERSIONS = 200
VERSIONS = {content(version, 8, 16): version for version in range(MOST_VERSIONS + 1)}
"""The version by what its second word is."""


@pytest.mark.parametrize("size", [1000, 1_500_000])
def test_readers_among_overwrites_never_get_a_mixture(
    whole_lake: WholeNode, source: Source, size: int
) -> None:
    source.put("busy", body_of(0, size))
    paths = [f"{source.always}/busy", f"{source.second}/busy"] * 2
    watchers = [Watcher(whole_lake, path, size) for path in paths]
    ends_at = time.monotonic() + 2.5
    version = 0
    while time.monotonic() < ends_at and version < MOST_VERSIONS:
        version += 1
        source.put("busy", body_of(version, size))
    for watcher in watchers:
        watcher.end()

    assert [fault for watcher in watchers for fault in watcher.faults] == []
    for watcher in watchers:
        assert all(len(versions) == 1 for versions in watcher.seen.values())
    assert len(watchers[0].seen) > 1
    assert whole_lake.ask(f"{source.always}/busy").body == body_of(version, size)
