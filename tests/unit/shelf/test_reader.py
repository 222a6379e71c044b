"""The reader: kept records are never staler than the index."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
import pytest

from forebay.model.errors import NodeAway, NodeRunning
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.ranges import SEGMENT_BYTES
from forebay.model.status import Kind
from forebay.shelf.blocks import HeldFile
from forebay.shelf.blocks_writer import Entered
from forebay.shelf.names import NameRecord
from forebay.shelf.names_writer import Drop, Put
from forebay.shelf.reader import ShelfReader
from forebay.shelf.run import read_run, write_run
from forebay.shelf.shelf import Shelf, open_shelf
from forebay.shelf.snapshot import MountPoint, MountSnapshot
from forebay.shelf.sums import sums_of
from tests.fakes.content_store import content
from tests.fakes.small_cache import SMALL_SHELF, blocks, flip_a_bit

STORE = StoreIdentity("s3://host:1/bucket")
SIZE = blocks(3) + 5
GENERATION = bytes(range(16))
NAME = b"/lake/a"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def text_of(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def publish(shelf: Shelf, sync: float | None = 30.0) -> None:
    mount = MountPoint("/lake", STORE.text, "below", sync)
    shelf.names_writer.publish(MountSnapshot([mount]))


def remember(shelf: Shelf, checked: float = 1000, generation: bytes = GENERATION) -> None:
    record = NameRecord(Kind.FILE, SIZE, 7, int(checked * 1000), generation, "etag:x")
    shelf.names_writer.write([Put(STORE, StoreKey("below/a"), record)])


def hold(shelf: Shelf, file: int, held: range, generation: bytes = GENERATION) -> None:
    path = Path(shelf.layout.segment(file))
    is_first = not path.exists()
    path.write_bytes(content(1, 0, SIZE))
    sums = dict(enumerate(sums_of(content(1, 0, SIZE))))
    chosen = {block: sums[block] for block in held}
    entered = Entered(file, generation, 0, SIZE, SIZE, chosen, first=is_first)
    assert shelf.blocks_writer.enter([entered]) == []


def evict(shelf: Shelf, file: int, generation: bytes = GENERATION) -> None:
    shelf.blocks_writer.drop([HeldFile(file, generation, 0, SIZE)])
    Path(shelf.layout.segment(file)).unlink()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = open_shelf(tmp_path / "0", SMALL_SHELF, write=True, now=time.time)
    publish(opened)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(shelf: Shelf, clock: Clock) -> ShelfReader:
    return ShelfReader(shelf, text_of, clock)


def test_a_name_is_found_as_long_as_it_is_fresh(
    shelf: Shelf, reader: ShelfReader, clock: Clock
) -> None:
    remember(shelf)
    entry = reader.find(NAME)
    assert entry is not None
    assert (entry.path, entry.size, entry.modified_ms) == ("/lake/a", SIZE, 7)
    assert entry.etag == b'"000102030405060708090a0b0c0d0e0f-1"'
    assert (entry.checked, entry.fresh_until) == (1000.0, 1030.0)
    clock.at = 1030.0
    assert reader.find(NAME) is entry
    clock.at = 1030.1
    assert reader.find(NAME) is None

    remember(shelf, 1030)
    assert reader.find(NAME) is not None


@pytest.mark.parametrize("name", [b"/lake/b", b"/other/a", b"\xff", b"/", b"", b"/lake"])
def test_what_is_not_remembered_is_not_found(
    shelf: Shelf, reader: ShelfReader, name: bytes
) -> None:
    remember(shelf)
    assert reader.find(name) is None


def test_every_change_is_seen_at_once(shelf: Shelf, reader: ShelfReader) -> None:
    remember(shelf)
    first = reader.find(NAME)
    assert first is not None
    first.tail = b"header lines"
    hold(shelf, 1, range(1))
    second = reader.find(NAME)
    assert second is not None
    assert second.tail == b"header lines"
    remember(shelf, 1001, bytes(16))
    third = reader.find(NAME)
    assert third is not None
    assert (third.generation, third.tail) == (bytes(16), None)
    publish(shelf, sync=0)
    assert reader.find(NAME) is not None
    publish(shelf, sync=None)
    fourth = reader.find(NAME)
    assert fourth is not None
    assert fourth.fresh_until == float("inf")
    shelf.names_writer.write(drops=[Drop(STORE, StoreKey("below/a"))])
    assert reader.find(NAME) is None


def test_extents_are_of_what_is_held_and_nothing_else(shelf: Shelf, reader: ShelfReader) -> None:
    remember(shelf)
    entry = reader.find(NAME)
    assert entry is not None
    assert entry.extent(0, 10) is None

    hold(shelf, 1, range(1, 3))
    entry = reader.find(NAME)
    assert entry is not None
    assert entry.extent(0, 10) is None
    assert reader.whole(entry) is None
    found = entry.extent(blocks(1) + 3, SIZE)
    assert found is not None
    handle, offset, count = found
    assert (offset, count) == (blocks(1) + 3, blocks(2) - 3)
    assert os.pread(handle.fd, count, offset) == content(1, offset, offset + count)

    hold(shelf, 1, range(4))
    entry = reader.find(NAME)
    assert entry is not None
    found = entry.extent(SIZE - 1, 100)
    assert found is not None
    assert found[1:] == (SIZE - 1, 1)
    assert entry.extent(SIZE, 1) is None
    whole = reader.whole(entry)
    assert whole is not None
    assert os.fstat(whole.fd).st_size == SIZE


def test_a_reader_marks_what_it_reads_for_the_eviction(shelf: Shelf, reader: ShelfReader) -> None:
    remember(shelf)
    hold(shelf, 5, range(4))
    entry = reader.find(NAME)
    assert entry is not None
    assert entry.extent(0, 1) is not None
    shelf.touched[5] = 0
    assert entry.extent(0, 1) is not None
    assert shelf.touched[5] == 1


def test_who_has_a_handle_reads_on_after_an_eviction_and_nobody_else(
    shelf: Shelf, reader: ShelfReader
) -> None:
    remember(shelf)
    hold(shelf, 1, range(4))
    entry = reader.find(NAME)
    assert entry is not None
    found = entry.extent(0, SIZE)
    assert found is not None
    evict(shelf, 1)
    shelf.unlinked(1)

    assert entry.extent(0, SIZE) is None
    assert os.pread(found[0].fd, SIZE, 0) == content(1, 0, SIZE)
    hold(shelf, 2, range(4))
    again = entry.extent(0, SIZE)
    assert again is not None
    assert again[0].file == 2
    assert shelf.files.count(1) == 1
    del found
    assert shelf.files.count(1) == 0


def test_the_sweep_lets_go_of_what_other_processes_evicted(
    shelf: Shelf, reader: ShelfReader
) -> None:
    remember(shelf)
    hold(shelf, 1, range(4))
    entry = reader.find(NAME)
    assert entry is not None
    assert entry.extent(0, 1) is not None
    reader.sweep()
    assert reader.open_files == 1
    evict(shelf, 1)
    reader.sweep()
    assert reader.open_files == shelf.files.total() == 0


def test_records_and_descriptors_are_bounded(shelf: Shelf, clock: Clock) -> None:
    reader = ShelfReader(shelf, text_of, clock, entries=10, descriptors=5)
    record = NameRecord(Kind.FILE, SIZE, 7, 1_000_000, GENERATION, "etag:x")
    for number in range(50):
        raw = number.to_bytes(16, "big")
        renamed = NameRecord(Kind.FILE, SIZE, 7, record.checked_ms, raw, "etag:x")
        shelf.names_writer.write([Put(STORE, StoreKey(f"below/{number}"), renamed)])
        hold(shelf, 100 + number, range(4), raw)
    for number in [*range(50), *range(50)]:
        entry = reader.find(f"/lake/{number}".encode())
        assert entry is not None
        assert entry.extent(0, 1) is not None
    assert len(reader) <= 10
    assert reader.open_files <= 5
    assert shelf.files.total() <= 5


def test_bytes_of_a_segment_that_must_be_verified_first_are_not_given(tmp_path: Path) -> None:
    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    publish(shelf, None)
    remember(shelf)
    hold(shelf, 1, range(4))
    shelf.close(clean=False)
    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    entry = ShelfReader(shelf, text_of, Clock()).find(NAME)
    assert entry is not None
    assert entry.extent(0, 1) is None
    shelf.close()


def test_a_damaged_block_is_found_on_the_cold_way_and_the_file_is_left_alone(
    shelf: Shelf, reader: ShelfReader
) -> None:
    remember(shelf)
    hold(shelf, 1, range(4))
    entry = reader.find(NAME)
    assert entry is not None
    found = entry.extent(100, blocks(2))
    assert found is not None
    handle, offset, count = found
    good = reader.verify_cold(entry, handle, offset, 100, count)
    assert good == content(1, 100, 100 + count)

    flip_a_bit(shelf, 1, blocks(1) + 9)
    assert reader.verify_cold(entry, handle, offset, 100, count) is None
    assert [damage.block for damage in shelf.damage] == [1]
    assert entry.extent(0, 1) is None
    assert reader.find(NAME) is not None
    assert entry.extent(blocks(2), 1) is None


def test_a_file_of_two_segments_is_read_across_them(shelf: Shelf, reader: ShelfReader) -> None:
    size = SEGMENT_BYTES + SIZE
    record = NameRecord(Kind.FILE, size, 7, 1_000_000, GENERATION, "etag:x")
    shelf.names_writer.write([Put(STORE, StoreKey("below/a"), record)])
    Path(shelf.layout.segment(9)).write_bytes(content(1, SEGMENT_BYTES, size))
    sums = dict(enumerate(sums_of(content(1, SEGMENT_BYTES, size))))
    shelf.blocks_writer.enter([Entered(9, GENERATION, 1, SIZE, SIZE, sums, first=True)])

    entry = reader.find(NAME)
    assert entry is not None
    assert entry.extent(0, 10) is None
    found = entry.extent(SEGMENT_BYTES + 8, 16)
    assert found is not None
    assert os.pread(found[0].fd, 16, found[1]) == content(1, SEGMENT_BYTES + 8, SEGMENT_BYTES + 24)
    assert entry.extent(0, 10) is None


def as_after_a_crash_of_the_host(directory: Path) -> None:
    """Let the run record look as if the host had gone down meanwhile."""
    record = read_run(directory / "run")
    assert record is not None
    write_run(directory / "run", msgspec.structs.replace(record, boot="another", clean=False))


def test_after_a_crash_of_the_host_the_index_is_read_through_and_nothing_is_trusted(
    tmp_path: Path,
) -> None:
    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    publish(shelf, None)
    remember(shelf)
    hold(shelf, 1, range(4))
    shelf.close()
    as_after_a_crash_of_the_host(tmp_path)
    with pytest.raises(NodeAway):
        open_shelf(tmp_path, SMALL_SHELF, write=False, now=time.time)

    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    entry = ShelfReader(shelf, text_of, Clock()).find(NAME)
    assert not shelf.wiped
    assert entry is not None
    assert entry.extent(0, 1) is None
    shelf.close()


def test_after_a_crash_of_the_host_an_index_that_lacks_pages_is_wiped(tmp_path: Path) -> None:
    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    publish(shelf, None)
    for number in range(300):
        generation = number.to_bytes(16, "big")
        record = NameRecord(Kind.FILE, SIZE, 7, 1_000_000, generation, "etag:x")
        shelf.names_writer.write([Put(STORE, StoreKey(f"below/{number}"), record)])
    shelf.close()
    as_after_a_crash_of_the_host(tmp_path)
    data = tmp_path / "names" / "data.mdb"
    kept = data.read_bytes()
    # The meta pages are there, all that they lead to is not: the disk lost it.
    data.write_bytes(kept[:8192] + bytes(len(kept) - 8192))

    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    assert shelf.wiped
    assert ShelfReader(shelf, text_of, Clock()).find(NAME) is None
    shelf.close()


def test_one_process_writes_a_shelf(shelf: Shelf) -> None:
    with pytest.raises(NodeRunning):
        open_shelf(shelf.layout.root, SMALL_SHELF, write=True, now=time.time)


def test_a_shelf_that_no_node_opened_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(NodeAway):
        open_shelf(tmp_path, SMALL_SHELF, write=False, now=time.time)


_OTHER_PROCESS = """
import sys, time
from pathlib import Path
from typing import Self
from tests.fakes.small_cache import SMALL_SHELF
from forebay.model.errors import NodeAway
from forebay.shelf.reader import ShelfReader
from forebay.shelf.run import read_run, write_run
from forebay.shelf.shelf import open_shelf
shelf = open_shelf(Path(sys.argv[1]), SMALL_SHELF, write=False, now=time.time)
reader = ShelfReader(shelf, bytes.decode, lambda: 1000.0)
for line in sys.stdin:
    try:
        reader.sweep()
        entry = reader.find(b"/lake/a")
        extent = entry and entry.extent(0, 8)
        print(entry and entry.size, extent and extent[0].file, flush=True)
    except NodeAway:
        print("away", flush=True)
"""


class OtherProcess:
    """A process that only reads, and looks whenever it is asked."""

    def __init__(self, directory: Path) -> None:
        root = Path(__file__).parents[3]
        self._child = subprocess.Popen(
            [sys.executable, "-c", _OTHER_PROCESS, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": f"{root}:{root}/src"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate()

    def ask(self) -> str:
        """The size it finds, and the segment file."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write("\n")
        return self._child.stdout.readline().strip()


def test_another_process_follows_restarts(tmp_path: Path) -> None:
    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    publish(shelf, None)
    remember(shelf)
    hold(shelf, 1, range(4))
    with OtherProcess(tmp_path) as other:
        assert other.ask() == f"{SIZE} 1"
        shelf.close()
        assert other.ask() == f"{SIZE} 1"
        shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
        evict(shelf, 1)
        assert other.ask() == f"{SIZE} None"
        hold(shelf, 2, range(4))
        assert other.ask() == f"{SIZE} 2"
    shelf.close()


def test_another_process_follows_a_wiped_index(tmp_path: Path) -> None:
    shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    publish(shelf, None)
    remember(shelf)
    hold(shelf, 2, range(4))
    with OtherProcess(tmp_path) as other:
        assert other.ask() == f"{SIZE} 2"
        shelf.close()
        # The index is unreadable: the next writer begins with an empty one.
        (tmp_path / "names" / "data.mdb").write_bytes(b"no index" * 1000)
        shelf = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
        assert shelf.wiped
        assert other.ask() == "None None"
        publish(shelf, None)
        remember(shelf)
        assert other.ask() == f"{SIZE} 2"
    shelf.close()


def test_a_clock_that_goes_back_makes_nothing_old_look_fresh(
    shelf: Shelf, reader: ShelfReader, clock: Clock
) -> None:
    publish(shelf)
    clock.at = 5000.0
    remember(shelf, checked=5000)
    assert reader.find(NAME) is not None
    reader.sweep()

    clock.at = 1000.0
    reader.sweep()
    assert reader.find(NAME) is None

    remember(shelf, checked=1000)
    assert reader.find(NAME) is not None
