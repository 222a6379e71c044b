"""A whole node whose cache has little room: the quota holds, and a full disk ends no read."""

import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.doors.s3_door import eventually
from tests.fakes.content_store import content
from tests.fakes.whole_node import WholeNode, whole_node

pytestmark = pytest.mark.slow

MEBIBYTE = 1 << 20
SLACK = 32 << 10
"""What a file system may need to manage a file with holes."""


# --- the quota


QUOTA = 16 * MEBIBYTE
SIZES = [(number * 700_001) % (6 * MEBIBYTE) + 1 for number in range(1, 25)]


class Watch:
    """Looks at the disk, again and again, from outside of the node.

    Attributes:
        most_on_disk: the most bytes that segment files took; unlinked ones that are open count.
        most_told: the most bytes that the node said it used.
        most_files: the most files seen at once.
        looks: how often it looked.
    """

    def __init__(self, node: WholeNode) -> None:
        self.most_on_disk = self.most_told = self.most_files = self.looks = 0
        self._node = node
        self._segments = node.data / "shelf" / "0" / "segments"
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            taken = self._taken_at_one_moment()
            self.most_on_disk = max(self.most_on_disk, sum(taken.values()))
            self.most_files = max(self.most_files, len(taken))
            held = self._node.samples("forebay_cache_held_bytes")
            self.most_told = max(self.most_told, int(sum(value for _, value in held)))
            self.looks += 1

    def _taken_at_one_moment(self) -> dict[int, int]:
        """What is taken while the node stands still: else one file goes while another is looked at.

        Bytes of disk by inode.
        """
        process = self._node.process
        process.freeze()
        try:
            while "T (stopped)" not in Path(f"/proc/{process.pid}/status").read_text():
                pass
            return self._taken()
        finally:
            process.thaw()

    def _taken(self) -> dict[int, int]:
        """Of the files by name, and of those that are open only."""
        descriptors = Path(f"/proc/{self._node.pid}/fd").iterdir()
        mine = [link for link in descriptors if str(self._segments) in target_of(link)]
        taken = {}
        for place in [*self._segments.glob("*/*"), *mine]:
            with suppress(FileNotFoundError):
                told = place.stat()
                taken[told.st_ino] = told.st_blocks * 512
        return taken


def target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def test_the_quota_is_never_exceeded_however_many_read(tmp_path: Path) -> None:
    with whole_node(tmp_path, {"cache": {"quota": str(QUOTA), "reserve": "0"}}) as node:
        for number, size in enumerate(SIZES):
            node.put(str(number), content(number, 0, size))
        node.mount("/files", f"file://{node.lake}")
        wrong: list[object] = []

        def read(seed: int) -> None:
            chance = random.Random(seed)  # noqa: S311 - a seeded load
            for _ in range(40):
                number = chance.randrange(len(SIZES))
                answer = node.ask(f"/files/{number}")
                if answer.body != content(number, 0, SIZES[number]):
                    wrong.append((number, answer.status, len(answer.body)))

        watch = Watch(node)
        readers = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        watch.end()

        assert wrong == []
        assert watch.looks > 20
        assert QUOTA // 2 < watch.most_told <= QUOTA
        assert QUOTA // 2 < watch.most_on_disk <= QUOTA + SLACK * watch.most_files
        assert node.sample("forebay_cache_evictions_total") > 10
        capacity = node.node.get("/v1/report/capacity")["tables"][0]["rows"][0]["values"]
        assert QUOTA in capacity


# --- a full disk


ROOM = 48 * MEBIBYTE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with little room."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


class Hog:
    """Somebody else who takes all room of a disk, and takes what becomes free."""

    def __init__(self, disk: Path) -> None:
        self._file = (disk / "hog").open("ab", buffering=0)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._take)
        self.take_all()
        self._thread.start()

    def take_all(self) -> None:
        """Write until nothing fits."""
        for step in (MEBIBYTE, 4096):
            with suppress(OSError):
                while self._file.write(bytes(step)):
                    pass

    def go(self, disk: Path) -> None:
        self._is_over.set()
        self._thread.join()
        self._file.close()
        (disk / "hog").unlink()

    def _take(self) -> None:
        while not self._is_over.wait(0.002):
            self.take_all()


@contextmanager
def hogged(disk: Path) -> Iterator[Hog]:
    hog = Hog(disk)
    try:
        yield hog
    finally:
        hog.go(disk)


def test_a_disk_filled_by_somebody_else_ends_no_read(tmp_path: Path, small_disk: Path) -> None:
    place = tmp_path / "node"
    # More than there is room for: it is the disk that says no.
    cache = {"directory": str(small_disk / "shelf"), "quota": "256MiB", "reserve": "0"}
    size = 3 * MEBIBYTE + 5
    with whole_node(place, {"cache": cache}) as node:
        for number in range(8):
            node.put(str(number), content(number, 0, size))
        node.mount("/files", f"file://{node.lake}")
        for number in range(2):
            assert node.ask(f"/files/{number}").body == content(number, 0, size)

        with hogged(small_disk):
            for _ in range(3):
                for number in range(8):
                    answer = node.ask(f"/files/{number}")
                    assert (answer.status, answer.body) == (200, content(number, 0, size))
                    listed = node.ask("/files", query={"list-type": "2"})
                    assert len(listed.texts("Key")) == 8
            assert [f for f in node.node.get("/v1/doctor")["findings"] if is_about_room(f)]

        def is_cached_again() -> bool:
            answer = node.ask("/files/5")
            assert answer.body == content(5, 0, size)
            return answer.headers["x-forebay-cache"] == "hit"

        # The node waits half a minute before it tries the disk again.
        assert eventually(is_cached_again, seconds=60)
        assert not disk_refuses_writes(node)
        assert not [f for f in node.node.get("/v1/doctor")["findings"] if is_about_room(f)]


def is_about_room(finding: dict[str, str]) -> bool:
    return finding["verdict"] == "wrong" and "cache" in finding["subject"]


def disk_refuses_writes(node: WholeNode) -> bool:
    facts = node.node.get("/v1/report/capacity")["facts"]
    return bool({fact["name"]: fact["value"] for fact in facts}["disk refuses writes"])
