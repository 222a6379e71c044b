"""The client through the S3 door alone: what is there, what is in it, and what goes wrong."""

from collections.abc import Callable

import fsspec
import pytest

from forebay.client.filesystem import ForebayFileSystem
from forebay.client.trouble import (
    Changed,
    Denied,
    IsDirectory,
    Missing,
    NoKey,
    ReadingOnly,
    WrongSecret,
)
from forebay.doors.s3.keyring import AccessKey, KeyRing
from forebay.model.errors import BadPath
from forebay.model.grants import Caller, Grant, Right
from forebay.model.paths import LakePath
from tests.doors.s3_door import ADMIN, KEY_ID, SECRET, Door
from tests.fakes.filled_shelf import noise

LONG = noise(3, 3 << 20)
FILES = [
    "/cold/z",
    "/onprem/a.txt",
    "/onprem/empty",
    "/onprem/odd name+ä%.txt",
    "/onprem/sales/2025/q1.parquet",
    "/onprem/sales/2025/q2.parquet",
    "/onprem/sales/2026/q1.parquet",
]


def a_lake(door: Door, key: str = KEY_ID, secret: str = SECRET) -> ForebayFileSystem:
    found: ForebayFileSystem = fsspec.filesystem(
        "forebay",
        endpoint=f"http://127.0.0.1:{door.port}",
        key=key,
        secret=secret,
        skip_instance_cache=True,
    )
    return found


def test_directories_are_listed_with_their_statuses(s3_door: Door) -> None:
    with s3_door.serving() as door:
        lake = a_lake(door)

        assert lake.ls("/", detail=False) == ["/cold", "/onprem"]
        assert lake.ls("forebay:///onprem/sales/", detail=False) == [
            "/onprem/sales/2025",
            "/onprem/sales/2026",
        ]
        by_name = {entry["name"]: entry for entry in lake.ls("/onprem")}
        assert by_name["/onprem/void"]["type"] == "directory"
        assert by_name["/onprem/a.txt"] | {"content_type": None} == lake.info("/onprem/a.txt") | {
            "content_type": None
        }
        assert lake.ls("/onprem/void") == []
        assert lake.ls("/onprem/a.txt", detail=False) == ["/onprem/a.txt"]


def test_everything_below_is_found(s3_door: Door) -> None:
    with s3_door.serving() as door:
        lake = a_lake(door)

        assert lake.find("/") == FILES
        assert lake.find("/onprem/sales", withdirs=True) == [
            "/onprem/sales",
            "/onprem/sales/2025",
            "/onprem/sales/2025/q1.parquet",
            "/onprem/sales/2025/q2.parquet",
            "/onprem/sales/2026",
            "/onprem/sales/2026/q1.parquet",
        ]
        assert lake.find("/onprem", maxdepth=1) == FILES[1:4]
        assert lake.find("/onprem/a.txt") == ["/onprem/a.txt"]
        assert lake.find("/nowhere") == []
        assert lake.find("/onprem/sales", detail=True)[FILES[4]]["size"] == 100_000
        assert lake.du("/onprem/sales") == 100_023
        assert lake.glob("forebay:///onprem/sales/*/q1.parquet") == [FILES[4], FILES[6]]
        assert lake.glob("/onprem/**/*.parquet") == FILES[4:]
        assert [place for place, _, _ in lake.walk("/onprem/sales")] == [
            "/onprem/sales",
            "/onprem/sales/2025",
            "/onprem/sales/2026",
        ]


def test_long_listings_come_in_pages(s3_door: Door) -> None:
    names = [f"/onprem/many/{number:05}" for number in range(1500)]
    s3_door.lake.contents |= dict.fromkeys(names, b"x")
    with s3_door.serving() as door:
        lake = a_lake(door)

        assert lake.ls("/onprem/many", detail=False) == names
        assert lake.find("/onprem/many") == names


def test_what_is_there_is_told_from_what_is_not(s3_door: Door) -> None:
    with s3_door.serving() as door:
        lake = a_lake(door)

        assert [lake.exists(path) for path in ("/", "/onprem", "/cold/z", "/no", "/cold/z/z")] == [
            True, True, True, False, False,
        ]  # fmt: skip
        assert [lake.isfile(path) for path in ("/", "/cold/z", "/no")] == [False, True, False]
        assert [lake.isdir(path) for path in ("/", "/cold/z", "/no")] == [True, False, False]
        for call in (lake.info, lake.ls, lake.open, lake.cat_file, lake.ukey, lake.near):
            with pytest.raises(Missing, match=r"^/no/such: no such file or directory"):
                call("/no/such")
        for open_directory in (lake.open, lake.cat_file, lake.ukey):
            with pytest.raises(IsDirectory):
                open_directory("/onprem")
        with pytest.raises(BadPath):
            lake.info("/onprem/../x")


def test_bytes_are_read_whole_in_part_and_many_at_once(s3_door: Door) -> None:
    content = s3_door.lake.contents["/onprem/sales/2025/q1.parquet"]
    with s3_door.serving() as door:
        lake = a_lake(door)

        for start, end in ((None, None), (5, 9), (-5, None), (7, -7), (10**6, None), (9, 3)):
            assert lake.cat_file(FILES[4], start, end) == content[start:end]
        assert lake.cat_file("/onprem/empty") == b""
        assert lake.cat_file("/onprem/odd name+ä%.txt") == b"odd"
        assert lake.cat(["/onprem/a.txt", "/cold/z"]) == {
            "/onprem/a.txt": b"hello",
            "/cold/z": b"z",
        }
        found = lake.cat_ranges([FILES[4]] * 20 + ["/no"], [*range(20), 0], [50] * 21)
        assert found[:20] == [content[start:50] for start in range(20)]
        assert isinstance(found[20], Missing)
        with pytest.raises(Missing):
            lake.cat_ranges(["/no"], 0, 5, on_error="raise")
        assert lake.read_text("/onprem/a.txt") == "hello"


def test_small_reads_forward_through_the_door_need_few_requests(s3_door: Door) -> None:
    s3_door.lake.contents["/onprem/long"] = LONG
    with s3_door.serving() as door:
        filesystem = a_lake(door)
        file = filesystem.open("/onprem/long")
        found = b"".join(iter(lambda: file.read(1000), b""))

    assert found == LONG
    assert door.lake.calls["open"] < 12


def test_reads_here_and_there_fetch_no_more_than_their_blocks(s3_door: Door) -> None:
    s3_door.lake.contents["/onprem/long"] = LONG
    with s3_door.serving() as door:
        file = a_lake(door).open("/onprem/long")
        for at in (2_000_000, 70_000, 1_000_000):
            file.seek(at)
            assert file.read(10) == LONG[at : at + 10]

    given = sum(opened.from_store for opened in door.lake.opened)
    assert given <= 3 * 2 * 65_536


def test_all_ranges_of_one_call_are_of_one_content(s3_door: Door) -> None:
    with s3_door.serving() as door:
        lake = a_lake(door)
        file = lake.open("/onprem/a.txt")
        door.lake.contents["/onprem/a.txt"] = b"other"

        with pytest.raises(Changed):
            file.read()
        assert lake.cat_file("/onprem/a.txt") == b"other"


def test_what_a_key_may_not_is_a_permission_error(s3_door: Door) -> None:
    narrow = AccessKey(Caller("NARROW", (Grant(LakePath("/cold"), Right.READ),)), ("secret",))
    s3_door.ring = KeyRing([ADMIN, narrow])
    with s3_door.serving() as door:
        lake = a_lake(door, "NARROW", "secret")

        assert lake.cat_file("/cold/z") == b"z"
        for call in (lake.info, lake.cat_file, lake.open):
            with pytest.raises(Denied, match="no read grant"):
                call("/onprem/a.txt")
        with pytest.raises(NoKey):
            a_lake(door, "NOBODY").info("/cold/z")
        with pytest.raises(WrongSecret) as wrong:
            a_lake(door, secret="wrong").info("/cold/z")
        assert isinstance(wrong.value, PermissionError)


def test_writing_is_refused_and_nothing_is_silently_left_undone(s3_door: Door) -> None:
    with s3_door.serving() as door:
        lake = a_lake(door)
        writes: list[Callable[[], object]] = [
            lambda: lake.mkdir("/x"),
            lambda: lake.makedirs("/x/y", exist_ok=True),
            lambda: lake.rmdir("/onprem/void"),
            lambda: lake.rm("/onprem", recursive=True),
            lambda: lake.rm_file("/onprem/a.txt"),
            lambda: lake.pipe_file("/x", b""),
            lambda: lake.pipe({"/x": b""}),
            lambda: lake.put("/etc/hostname", "/x"),
            lambda: lake.cp_file("/onprem/a.txt", "/x"),
            lambda: lake.copy("/onprem/a.txt", "/x"),
            lambda: lake.mv("/onprem/a.txt", "/x"),
            lambda: lake.touch("/x"),
            lambda: lake.write_text("/x", ""),
            lake.start_transaction,
            lambda: lake.open("/x", "w"),
        ]
        for write in writes:
            with pytest.raises(ReadingOnly, match="reading only in this version"):
                write()


def test_fsspec_finds_it_by_its_protocol(s3_door: Door) -> None:
    with s3_door.serving() as door:
        options = {
            "endpoint": f"http://127.0.0.1:{door.port}", "key": KEY_ID, "secret": SECRET,
            "skip_instance_cache": True,
        }  # fmt: skip
        with fsspec.open("forebay:///onprem/a.txt", "rb", **options) as file:
            assert file.read() == b"hello"
        with fsspec.open("forebay:///onprem/a.txt", "r", **options) as text:
            assert text.read() == "hello"
        assert fsspec.filesystem("forebay", **options).unstrip_protocol("/a") == "forebay:///a"
