"""The short circuit: right bytes, of one content, from the shelf where it has them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from forebay.client.filesystem import ForebayFileSystem
from forebay.client.trouble import Changed
from forebay.model.errors import BadOption
from forebay.model.ranges import BLOCK_BYTES
from forebay.shelf.tallies import Amount, Tallies
from tests.fakes.filled_shelf import FilledShelf, filled_shelf, noise
from tests.fakes.scripted_server import answer, error
from tests.fakes.threaded_door import part, scripted_door
from tests.unit.client.conftest import AWAY, OpenLake, a_lake

CONTENT = noise(7, 5 * BLOCK_BYTES + 123)
OTHER = noise(8, 5 * BLOCK_BYTES + 123)
SIZE = len(CONTENT)
LONG = noise(9, 20 * BLOCK_BYTES)
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, 0), (1, 2), (5, -5), (-7, None), (BLOCK_BYTES - 1, BLOCK_BYTES + 1),
     (0, 10**9), (SIZE, None), (SIZE + 5, SIZE + 9), (9, 3)],
)  # fmt: skip
def test_cached_bytes_are_read_without_any_door(
    shelf: FilledShelf, lake: OpenLake, start: int | None, end: int | None
) -> None:
    shelf.hold("/m/a", CONTENT)

    assert lake().cat_file("forebay:///m/a", start, end) == CONTENT[start:end]


def test_many_ranges_are_read_in_order(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", CONTENT)
    shelf.hold("/m/b", LONG)

    found = lake().cat_ranges(["/m/a", "/m/b", "/m/a"], [3, 0, -4], [9, None, None])

    assert found == [CONTENT[3:9], LONG, CONTENT[-4:]]


def test_the_status_is_the_one_that_is_remembered(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", CONTENT)

    info = lake().info("/m/a")

    assert (info["type"], info["size"], info["content_type"]) == ("file", SIZE, "text/plain")
    assert info["etag"] == shelf.etag("/m/a", CONTENT) == lake().ukey("/m/a")
    assert info["mtime"] == 1_700_000_000


def test_what_is_not_held_comes_through_the_door_and_is_of_the_same_content(
    shelf: FilledShelf, lake: OpenLake
) -> None:
    shelf.hold("/m/a", CONTENT, blocks=[0, 1])
    etag = shelf.etag("/m/a", CONTENT)
    with scripted_door(part(CONTENT, 2 * BLOCK_BYTES, SIZE, etag)) as door:
        assert lake(door.endpoint).cat_file("/m/a") == CONTENT

        assert f"range: bytes={2 * BLOCK_BYTES}-{SIZE - 1}\r\n" in door.heard[0].lower()
        assert f"if-match: {etag}\r\n" in door.heard[0].lower()


def test_an_open_file_keeps_its_content_when_the_name_gets_another(
    shelf: FilledShelf, lake: OpenLake
) -> None:
    shelf.hold("/m/a", CONTENT)
    filesystem = lake()
    before = filesystem.open("/m/a")

    shelf.hold("/m/a", OTHER)

    assert before.read() == CONTENT
    assert filesystem.open("/m/a").read() == OTHER
    assert filesystem.cat_file("/m/a") == OTHER


def test_an_open_file_whose_content_can_be_had_no_more_is_an_error(
    shelf: FilledShelf, lake: OpenLake
) -> None:
    shelf.hold("/m/a", CONTENT, blocks=[0])
    with scripted_door(error("412 Precondition Failed", "PreconditionFailed")) as door:
        file = lake(door.endpoint).open("/m/a")
        shelf.hold("/m/a", OTHER)

        assert file.read(10) == CONTENT[:10]
        with pytest.raises(Changed):
            file.read()
        # What is held of it can still be read.
        assert file.pread(5, 100) == CONTENT[100:105]


def test_a_deleted_file_that_is_open_is_told_apart_from_one_that_never_was(
    shelf: FilledShelf, lake: OpenLake
) -> None:
    shelf.hold("/m/a", CONTENT, blocks=[0])
    with (
        scripted_door(error("404 Not Found", "NoSuchKey")) as door,
        pytest.raises(Changed, match="deleted"),
    ):
        lake(door.endpoint).open("/m/a").read()


def test_a_status_that_is_too_old_is_asked_for_and_the_shelf_then_looked_at_again(
    shelf: FilledShelf, lake: OpenLake
) -> None:
    shelf.hold("/m/a", CONTENT, age=3600)
    headers = [f"ETag: {shelf.etag('/m/a', CONTENT)}", "Content-Type: text/plain"]
    with scripted_door(answer("200 OK", b"", *headers, length=SIZE)) as door:
        file = lake(door.endpoint).open("/m/a")
        # That is what the node does when it is asked.
        shelf.remember("/m/a", CONTENT)

        assert file.read() == CONTENT
        assert [heard.split()[0] for heard in door.heard] == ["HEAD"]


def test_bytes_that_are_damaged_on_the_disk_come_through_the_door(
    shelf: FilledShelf, lake: OpenLake
) -> None:
    shelf.hold("/m/a", CONTENT)
    damage(shelf.segment("/m/a"), 3 * BLOCK_BYTES + 7)
    with scripted_door(part(CONTENT, 0, SIZE, shelf.etag("/m/a", CONTENT))) as door:
        filesystem = lake(door.endpoint)

        assert filesystem.cat_file("/m/a") == CONTENT
        assert len(door.heard) == 1
        target = bytearray(SIZE)
        assert filesystem.open("/m/a").readinto(target) == SIZE
        assert target == CONTENT


def test_bytes_from_the_disk_are_verified_and_right(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", CONTENT)
    let_go_of_memory(shelf.segment("/m/a"))
    assert lake().cat_file("/m/a") == CONTENT

    let_go_of_memory(shelf.segment("/m/a"))
    target = bytearray(1000)
    file = lake().open("/m/a")
    file.seek(BLOCK_BYTES - 500)
    assert file.readinto(target) == 1000
    assert target == CONTENT[BLOCK_BYTES - 500 :][:1000]


def test_evicted_bytes_are_not_read(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", CONTENT)
    etag = shelf.etag("/m/a", CONTENT)
    with scripted_door(part(CONTENT, 0, 9, etag)) as door:
        filesystem = lake(door.endpoint)
        file = filesystem.open("/m/a")
        assert file.read() == CONTENT

        shelf.evict("/m/a")

        assert filesystem.cat_file("/m/a", 0, 9) == CONTENT[:9]
        assert len(door.heard) == 1


def test_a_whole_file_is_near_as_a_descriptor_that_outlives_eviction_and_change(
    shelf: FilledShelf, lake: OpenLake
) -> None:
    shelf.hold("/m/a", CONTENT)
    filesystem = lake()
    near = filesystem.near("forebay:///m/a")
    mapped = filesystem.mapped("/m/a")
    assert near.startswith("/proc/self/fd/")
    assert filesystem.near("/m/a") == near

    shelf.evict("/m/a")
    shelf.hold("/m/a", OTHER)

    assert Path(near).read_bytes() == CONTENT
    assert mapped is not None
    assert bytes(mapped) == CONTENT
    assert Path(filesystem.near("/m/a")).read_bytes() == OTHER


def test_a_file_that_is_not_all_here_is_near_as_its_url(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", CONTENT, blocks=[0, 2])

    assert lake().near("/m/a") == "forebay:///m/a"
    assert lake().local_descriptor("/m/a") is None
    assert lake().mapped("/m/a") is None


def test_what_is_read_past_the_node_is_counted_for_it(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", CONTENT)
    filesystem = lake()
    filesystem.cat_file("/m/a", 0, 100)
    filesystem.cat_file("/m/a", 0, 50)

    totals = Tallies(shelf.shelf.layout.tallies).totals()

    assert totals == {"/m": Amount(reads=2, size=150)}


def test_a_read_marks_the_segment_as_used(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", CONTENT)
    lake().cat_file("/m/a", 0, 1)

    assert shelf.shelf.touched[shelf.files["/m/a"] & 0xFFFFF] == 1


def test_many_threads_read_while_contents_change(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", OTHER)
    shelf.hold("/m/a", CONTENT)
    filesystem = lake()
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        at = 0
        while not done.is_set():
            at = (at + 70_001) % (SIZE - 9)
            found = filesystem.cat_file("/m/a", at, at + 9)
            if found not in {CONTENT[at : at + 9], OTHER[at : at + 9]}:
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(200):
            shelf.remember("/m/a", OTHER if number % 2 == 0 else CONTENT)
    finally:
        done.set()
    for thread in threads:
        thread.join()

    assert wrong == []


# Across processes: the shelf is not open for writing here


def a_reader(data: Path) -> ForebayFileSystem:
    return a_lake(data=str(data), endpoint=AWAY)


def a_left_shelf(data: Path, content: bytes) -> None:
    filled = filled_shelf(data)
    filled.hold("/m/a", content)
    filled.shelf.close()


def test_filesystems_of_one_process_share_a_shelf(data: Path) -> None:
    a_left_shelf(data, CONTENT)

    one, two = a_reader(data), a_reader(data)

    assert one.cat_file("/m/a") == two.cat_file("/m/a") == CONTENT


def test_a_forked_child_reads_on_and_so_does_its_parent(data: Path) -> None:
    a_left_shelf(data, CONTENT)
    filesystem = a_reader(data)
    file = filesystem.open("/m/a")
    near = filesystem.near("/m/a")
    assert file.read(10) == CONTENT[:10]

    child = os.fork()
    if child == 0:
        # What it reads cannot come from anywhere else: there is no door.
        try:
            right = file.read() == CONTENT[10:] and filesystem.cat_file("/m/a") == CONTENT
            right = right and Path(near).read_bytes() == CONTENT
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert file.read() == CONTENT[10:]
    assert filesystem.cat_file("/m/a") == CONTENT


def test_a_shelf_that_is_made_anew_is_read_anew(data: Path) -> None:
    a_left_shelf(data, CONTENT)
    filesystem = a_reader(data)
    file = filesystem.open("/m/a")
    assert filesystem.cat_file("/m/a") == CONTENT
    program = (
        "import shutil; from pathlib import Path\n"
        "from tests.fakes.filled_shelf import filled_shelf\n"
        f"data = Path({str(data)!r}); shutil.rmtree(data / 'shelf')\n"
        "filled = filled_shelf(data)\n"
        "filled.hold('/m/a', b'made anew' * 9000); filled.shelf.close()\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

    # The reader looks once a second whether the shelf is another one.
    until = time.monotonic() + 10
    while filesystem.cat_file("/m/a") != b"made anew" * 9000 and time.monotonic() < until:
        threading.Event().wait(0.05)

    assert filesystem.cat_file("/m/a") == b"made anew" * 9000
    assert file.etag != filesystem.ukey("/m/a")


def test_without_a_shelf_all_goes_through_the_door(data: Path) -> None:
    with scripted_door(part(CONTENT, 0, SIZE, '"e"')) as door:
        filesystem = a_lake(data=str(data), endpoint=door.endpoint)
        assert filesystem.cat_file("/m/a") == CONTENT
    assert not data.exists()


def test_the_short_circuit_can_be_left_open(data: Path) -> None:
    a_left_shelf(data, CONTENT)
    with scripted_door(part(OTHER, 0, SIZE, '"e"')) as door:
        filesystem = a_lake(data=str(data), endpoint=door.endpoint, short_circuit=False)
        assert filesystem.cat_file("/m/a") == OTHER


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError):
        a_lake(endpont="x")
    with pytest.raises(BadOption):
        a_lake(key="half", secret=None)


def let_go_of_memory(place: Path) -> None:
    """Have the kernel forget the pages of a file."""
    with place.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def damage(place: Path, at: int) -> None:
    """Flip a bit on the disk."""
    with place.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)
        opened.seek(at)
        opened.write(bytes((byte[0] ^ 1,)))
    let_go_of_memory(place)
