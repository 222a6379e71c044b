"""A whole node whose store hangs or is dead: what it holds is served, the rest is unknown."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from testbed.hdfs import Hdfs
from testbed.seaweed import Seaweed
from tests.doors.s3_door import Answer, eventually
from tests.fakes.content_store import content
from tests.fakes.whole_node import WholeNode

pytestmark = [pytest.mark.slow, pytest.mark.service]

BLOCK = 64 << 10
SIZE = 5 * BLOCK
BODY = content(1, 0, SIZE)
HEAD = {"range": f"bytes=0-{2 * BLOCK - 1}"}
TAIL = {"range": f"bytes={3 * BLOCK}-"}

# Long enough for a healthy store on a busy machine, short enough for a test.
IMPATIENT = {"budget.deadline": "1500ms"}
LONG, SHORT = {"sync": "10m", **IMPATIENT}, {"sync": "1s", **IMPATIENT}


@pytest.fixture(scope="module")
def frail_seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 store that may be frozen and killed."""
    with Seaweed(tmp_path_factory.mktemp("frail-seaweed")) as store:
        yield store


@pytest.fixture(scope="module")
def frail_hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """A cluster whose servers may be frozen and killed."""
    with Hdfs(tmp_path_factory.mktemp("frail-hdfs")) as cluster:
        yield cluster


@pytest.fixture
def cloud(whole_lake: WholeNode, frail_seaweed: Seaweed) -> Iterator[None]:
    """Files of a bucket at /long and, the same, at /short; some bytes are cached."""
    bucket = frail_seaweed.make_bucket()
    client = frail_seaweed.client()
    for key in ("d/cached", "d/partly", "d/unread"):
        client.put_object(Bucket=bucket, Key=key, Body=BODY)
    client.close()
    whole_lake.mount_seaweed("/long", frail_seaweed, bucket, **LONG)
    whole_lake.mount_seaweed("/short", frail_seaweed, bucket, **SHORT)
    with remembered(whole_lake):
        yield


@pytest.fixture
def onprem(whole_lake: WholeNode, frail_hdfs: Hdfs) -> Iterator[None]:
    """The same in HDFS."""
    base = f"/{uuid.uuid4().hex}"
    with frail_hdfs.files() as files:
        for key in ("d/cached", "d/partly", "d/unread"):
            files.put(f"{base}/{key}", BODY)
    common = {"user": frail_hdfs.superuser, "webhdfs": frail_hdfs.webhdfs}
    common |= {"deadline": "1s", "stall": "1s"}
    whole_lake.mount("/long", frail_hdfs.uri + base, **common, **LONG)
    whole_lake.mount("/short", frail_hdfs.uri + base, **common, **SHORT)
    with remembered(whole_lake):
        yield


@contextmanager
def remembered(node: WholeNode) -> Iterator[None]:
    try:
        assert node.names_in("long", "d/") == ["d/cached", "d/partly", "d/unread"]
        assert node.ask("/long/d/cached").body == BODY
        assert node.ask("/long/d/partly", headers=HEAD).status == 206
        assert node.ask("/long/d/unread", method="HEAD").status == 200
        yield
    finally:
        for path in ("/long", "/short"):
            node.node.delete("/v1/mounts", path=path)


def what_is_held_is_served(node: WholeNode) -> None:
    """Inside the interval nothing is missing of what was read, listed and asked before."""
    whole = node.ask("/long/d/cached")
    assert (whole.status, whole.body) == (200, BODY)
    assert whole.headers["x-forebay-cache"] == "hit"
    assert node.ask("/long/d/partly", headers=HEAD).body == BODY[: 2 * BLOCK]
    assert node.ask("/long/d/unread", method="HEAD").headers["content-length"] == str(SIZE)
    assert node.names_in("long", "d/") == ["d/cached", "d/partly", "d/unread"]


def is_slow_down(answer: Answer) -> bool:
    """Whether the client is told to come back: neither gone, nor empty, nor refused."""
    return (
        answer.status == 503
        and answer.code in {"SlowDown", ""}
        and int(answer.headers["retry-after"]) >= 1
        and answer.headers["x-forebay-cache"] == "miss"
    )


def bytes_not_held_are_unknown(node: WholeNode) -> None:
    all_slow_down(
        lambda: node.ask("/long/d/partly", headers=TAIL), lambda: node.ask("/long/d/unread")
    )


def old_statuses_are_unknown(node: WholeNode) -> None:
    """Beyond the interval, and of what was never asked, nothing is said."""
    time.sleep(1.05)
    all_slow_down(
        lambda: node.ask("/short/d/cached"),
        lambda: node.ask("/short/d/cached", method="HEAD"),
        lambda: node.ask("/short", query={"list-type": "2", "prefix": "d/"}),
        lambda: node.ask("/short", query={"list-type": "2", "delimiter": "/"}),
        lambda: node.ask("/long/never-asked"),
    )


def all_slow_down(*questions: Callable[[], Answer]) -> None:
    """Ask all at once: each answer takes as long as the store may."""
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(lambda question: question(), questions))
    assert [answer for answer in answers if not is_slow_down(answer)] == []
    assert [answer for answer in answers if answer.texts("Key") + answer.texts("Prefix")] == []


def nothing_was_dropped(node: WholeNode) -> None:
    """The store is back: all is right, and only what was never fetched is fetched."""
    assert eventually(lambda: node.ask("/short/d/cached").status == 200, seconds=30)
    before = node.ufs("/long")
    again = node.ask("/short/d/cached")
    assert (again.body, again.headers["x-forebay-cache"]) == (BODY, "hit")
    assert node.ask("/long/d/cached").headers["x-forebay-cache"] == "hit"
    rest = node.ask("/long/d/partly")
    assert (rest.body, rest.headers["x-forebay-cache"]) == (BODY, "partial")
    assert node.ask("/long/d/unread").body == BODY
    assert node.ufs("/long")["fetched"] - before["fetched"] == (SIZE - 2 * BLOCK) + SIZE
    assert node.names_in("short", "d/") == ["d/cached", "d/partly", "d/unread"]


@contextmanager
def broken(harm: Callable[[], None], heal: Callable[[], None]) -> Iterator[None]:
    harm()
    try:
        yield
    finally:
        heal()


@pytest.mark.usefixtures("cloud")
def test_a_hanging_s3_store_hides_nothing_that_is_held_and_makes_nothing_vanish(
    whole_lake: WholeNode, frail_seaweed: Seaweed
) -> None:
    with broken(frail_seaweed.freeze, frail_seaweed.thaw):
        what_is_held_is_served(whole_lake)
        bytes_not_held_are_unknown(whole_lake)
        old_statuses_are_unknown(whole_lake)
        what_is_held_is_served(whole_lake)

    nothing_was_dropped(whole_lake)


@pytest.mark.usefixtures("cloud")
def test_a_dead_s3_store_hides_nothing_that_is_held_and_makes_nothing_vanish(
    whole_lake: WholeNode, frail_seaweed: Seaweed
) -> None:
    with broken(frail_seaweed.kill, frail_seaweed.start):
        what_is_held_is_served(whole_lake)
        bytes_not_held_are_unknown(whole_lake)
        old_statuses_are_unknown(whole_lake)
        told = whole_lake.node.get("/v1/why", subject="/short/d/cached")
        assert "store-away" in str(told)
        findings = whole_lake.node.get("/v1/doctor")["findings"]
        wrong = [finding["subject"] for finding in findings if finding["verdict"] == "wrong"]
        assert [name for name in wrong if "/long" in name]

    nothing_was_dropped(whole_lake)


def takes_files(hdfs: Hdfs) -> bool:
    with hdfs.files() as files:
        try:
            files.put("/probe", b"probe")
        except httpx.HTTPError:
            return False
    return True


@pytest.mark.usefixtures("onprem")
def test_a_dead_namenode_hides_nothing_that_is_held_and_makes_nothing_vanish(
    whole_lake: WholeNode, frail_hdfs: Hdfs
) -> None:
    def heal() -> None:
        frail_hdfs.restart_namenode()
        # The DataNode still holds the old connection; its first answer says so.
        assert eventually(lambda: takes_files(frail_hdfs), seconds=30)

    with broken(frail_hdfs.kill_namenode, heal):
        what_is_held_is_served(whole_lake)
        bytes_not_held_are_unknown(whole_lake)
        old_statuses_are_unknown(whole_lake)

    nothing_was_dropped(whole_lake)


@pytest.mark.usefixtures("onprem")
def test_a_hanging_datanode_hides_only_what_was_never_fetched(
    whole_lake: WholeNode, frail_hdfs: Hdfs
) -> None:
    with broken(frail_hdfs.freeze_datanode, frail_hdfs.thaw_datanode):
        what_is_held_is_served(whole_lake)
        bytes_not_held_are_unknown(whole_lake)
        time.sleep(1.05)
        # Statuses are the NameNode's.
        fresh = whole_lake.ask("/short/d/cached")
        assert (fresh.status, fresh.body) == (200, BODY)
        assert fresh.headers["x-forebay-age"] == "0"
        assert whole_lake.ask("/short/none").status == 404

    nothing_was_dropped(whole_lake)


def test_a_node_that_starts_while_its_store_is_away_keeps_its_mounts_and_serves_what_it_holds(
    tmp_path: Path, frail_seaweed: Seaweed
) -> None:
    bucket = frail_seaweed.make_bucket()
    client = frail_seaweed.client()
    client.put_object(Bucket=bucket, Key="d/cached", Body=BODY)
    client.close()
    node = WholeNode(tmp_path)
    node.start()
    try:
        node.mount_seaweed("/long", frail_seaweed, bucket, **LONG)
        assert node.ask("/long/d/cached").body == BODY
        node.stop()

        with broken(frail_seaweed.kill, frail_seaweed.start):
            node.start()
            held = node.ask("/long/d/cached")
            assert (held.body, held.headers["x-forebay-cache"]) == (BODY, "hit")
            assert is_slow_down(node.ask("/long/d/never-asked"))
            assert is_slow_down(node.ask("/long", query={"list-type": "2"}))

        assert eventually(lambda: node.ask("/long/d/never-asked").status == 404, seconds=30)
        assert node.names_in("long") == ["d/cached"]
    finally:
        node.stop()
