"""Remembered names, through the shelf."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import Kind
from forebay.shelf.names import NameRecord
from forebay.shelf.names_writer import Drop, Put
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from tests.fakes.small_cache import MIB, SMALL_SHELF

STORE = StoreIdentity("s3://host:1/bucket")
TABLE = StoreKey("sales/table")


def a_file(size: int = 1, checked_ms: int = 1000, *, detailed: bool = False) -> NameRecord:
    raw = size.to_bytes(16, "big")
    return NameRecord(Kind.FILE, size, 5, checked_ms, raw, f"etag:{size}", detailed=detailed)


def a_directory(checked_ms: int = 1000) -> NameRecord:
    return NameRecord(Kind.DIRECTORY, 0, None, checked_ms, b"", "")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = open_shelf(tmp_path, SMALL_SHELF, write=True, now=time.time)
    yield opened
    opened.close()


def names(shelf: Shelf, directory: StoreKey = TABLE) -> list[str]:
    return [name for name, _ in shelf.names.page(STORE, directory)]


def checked_at(shelf: Shelf, key: StoreKey) -> int:
    found = shelf.names.status(STORE, key)
    assert found is not None
    return found.checked_ms


def test_what_was_put_is_remembered_and_what_was_dropped_is_not(shelf: Shelf) -> None:
    shelf.names_writer.write([Put(STORE, TABLE / "a", a_file(7))])
    found = shelf.names.status(STORE, TABLE / "a")
    assert found is not None
    assert found.record == a_file(7)
    assert shelf.names.status(StoreIdentity("s3://other"), TABLE / "a") is None

    shelf.names_writer.write(drops=[Drop(STORE, TABLE / "a")])
    assert shelf.names.status(STORE, TABLE / "a") is None


def test_the_root_of_a_store_is_remembered_and_is_not_in_its_own_listing(shelf: Shelf) -> None:
    root = StoreKey("")
    shelf.names_writer.write([Put(STORE, root, a_directory()), Put(STORE, root / "z", a_file())])

    assert shelf.names.status(STORE, root) is not None
    assert names(shelf, root) == ["z"]


def test_older_knowledge_never_replaces_newer(shelf: Shelf) -> None:
    shelf.names_writer.write([Put(STORE, TABLE / "a", a_file(2, 2000))])
    shelf.names_writer.write([Put(STORE, TABLE / "a", a_file(1, 1999))])
    found = shelf.names.status(STORE, TABLE / "a")
    assert found is not None
    assert found.record.size == 2

    shelf.names_writer.replace_listing(STORE, TABLE, [], 3000)
    shelf.names_writer.write([Put(STORE, TABLE / "a", a_file(1, 2999))])
    assert shelf.names.status(STORE, TABLE / "a") is None


def test_a_page_is_in_whole_key_order_and_goes_on_after_a_name(shelf: Shelf) -> None:
    # As whole keys: "a-b" < "a/" < "a0", since a directory compares with '/' appended.
    entries = [("a-b", a_file()), ("a", a_directory()), ("a0", a_file())]
    shelf.names_writer.replace_listing(STORE, TABLE, entries, 1000)

    assert names(shelf) == ["a-b", "a", "a0"]
    after = shelf.names.page(STORE, TABLE, "a/", 10)
    assert [name for name, _ in after] == ["a0"]
    assert [name for name, _ in shelf.names.page(STORE, TABLE, most=2)] == ["a-b", "a"]


def test_a_file_and_a_directory_of_one_name_stand_side_by_side_and_the_file_is_found(
    shelf: Shelf,
) -> None:
    shelf.names_writer.replace_listing(STORE, TABLE, [("a", a_file(3)), ("a", a_directory())], 1000)
    found = shelf.names.status(STORE, TABLE / "a")
    assert found is not None
    assert found.record.kind is Kind.FILE
    assert names(shelf) == ["a", "a"]


def test_a_listing_replaces_the_one_before_and_renews_what_did_not_change(shelf: Shelf) -> None:
    old = [(f"{number:04}", a_file(number + 1)) for number in range(6000)]
    shelf.names_writer.replace_listing(STORE, TABLE, old, 1000)
    assert names(shelf)[:2] == ["0000", "0001"]

    new = [(name, record) for name, record in old if name != "0001"]
    new[0] = ("0000", a_file(77, 2000))
    shelf.names_writer.replace_listing(STORE, TABLE, [*new, ("9", a_file(8, 2000))], 2000, 3)

    directory = shelf.names.directory(STORE, TABLE)
    assert directory is not None
    assert (directory.listed_ms, directory.count, directory.unaddressable) == (2000, 6000, 3)
    assert [name for name, _ in shelf.names.page(STORE, TABLE, most=9999)] == [
        name for name, _ in new
    ] + ["9"]
    assert checked_at(shelf, TABLE / "5999") == 2000
    found = shelf.names.status(STORE, TABLE / "0000")
    assert found is not None
    assert found.record.size == 77


def test_a_listing_that_does_not_end_leaves_no_complete_one(shelf: Shelf) -> None:
    shelf.names_writer.replace_listing(STORE, TABLE, [("a", a_file()), ("b", a_file())], 1000)
    listing = shelf.names_writer.listing(STORE, TABLE, 2000)
    listing.put([("aa", a_file(2, 2000))])
    listing.close()

    directory = shelf.names.directory(STORE, TABLE)
    assert directory is not None
    assert directory.listed_ms == 0
    assert names(shelf) == ["aa", "b"]
    assert checked_at(shelf, TABLE / "b") == 1000


def test_what_was_written_or_dropped_during_a_listing_wins_over_it(shelf: Shelf) -> None:
    shelf.names_writer.replace_listing(STORE, TABLE, [("a", a_file()), ("c", a_file())], 1000)
    listing = shelf.names_writer.listing(STORE, TABLE, 2000)
    listing.put([("a", a_file(1, 2000))])
    shelf.names_writer.write([Put(STORE, TABLE / "b", a_file(5, 2500))])
    shelf.names_writer.write(drops=[Drop(STORE, TABLE / "c")])
    listing.put([("c", a_file(1, 2000))])

    assert listing.finish()
    assert names(shelf) == ["a", "b"]


def test_a_directory_forgotten_during_a_listing_is_not_remembered_by_it(shelf: Shelf) -> None:
    listing = shelf.names_writer.listing(STORE, TABLE, 2000)
    listing.put([("a", a_file())])
    shelf.names_writer.forget(STORE, StoreKey("sales"), recursive=True)

    assert not listing.finish()
    assert names(shelf) == []


def test_forget_takes_what_is_below_only_when_told(shelf: Shelf) -> None:
    keys = [TABLE / "a", TABLE / "sub/b", StoreKey("sales/tables/c")]
    for key in keys:
        shelf.names_writer.write([Put(STORE, key, a_file())])
    shelf.names_writer.forget(STORE, TABLE)
    assert [shelf.names.status(STORE, key) is None for key in keys] == [True, False, False]
    shelf.names_writer.forget(STORE, TABLE, recursive=True)
    assert [shelf.names.status(STORE, key) is None for key in keys] == [True, True, False]


def test_a_listing_that_tells_less_leaves_what_a_status_told(shelf: Shelf) -> None:
    known = a_file(1, 1000, detailed=True)
    shelf.names_writer.write([Put(STORE, TABLE / "a", known)])
    shelf.names_writer.replace_listing(STORE, TABLE, [("a", a_file(1, 2000))], 2000)

    found = shelf.names.status(STORE, TABLE / "a")
    assert found is not None
    assert found.record.detailed
    assert found.checked_ms == 2000


def test_the_least_recently_checked_directories_go_first(tmp_path: Path) -> None:
    options = ShelfOptions(names_bytes=2 * MIB, names_map_bytes=64 * MIB, blocks_map_bytes=MIB)
    shelf = open_shelf(tmp_path, options, write=True, now=time.time)
    try:
        for number in range(20):
            entries = [(f"{name:04}", a_file(name)) for name in range(1000)]
            at = 1000 + number * 100_000
            shelf.names_writer.replace_listing(STORE, StoreKey(f"d{number:02}"), entries, at)
        dropped = shelf.names_writer.room()

        left = [
            number
            for number in range(20)
            if shelf.names.directory(STORE, StoreKey(f"d{number:02}")) is not None
        ]
        assert 0 < dropped < 20
        assert left == list(range(dropped, 20))
        assert len(names(shelf, StoreKey("d19"))) == 1000
        assert shelf.names_writer.room() == 0
    finally:
        shelf.close()
