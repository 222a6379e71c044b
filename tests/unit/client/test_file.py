"""An open file: position, lines, ends, and how much is fetched ahead through the door."""

import io
from pathlib import Path

import pytest

from forebay.client.trouble import ReadingOnly
from tests.fakes.filled_shelf import FilledShelf
from tests.unit.client.conftest import OpenLake

TEXT = "".join(f"line {number} of ÄÖÜ\n" for number in range(20_000)).encode()


def test_it_is_a_file_as_python_knows_files(
    shelf: FilledShelf, lake: OpenLake, tmp_path: Path
) -> None:
    shelf.hold("/m/a", TEXT)
    plain = tmp_path / "plain"
    plain.write_bytes(TEXT)
    with lake().open("/m/a") as ours, plain.open("rb") as theirs:
        assert (ours.readable(), ours.seekable(), ours.writable()) == (True, True, False)
        for read in (5, 0, 70_000, 3):
            assert ours.read(read) == theirs.read(read)
            assert ours.tell() == theirs.tell()
        for place, whence in ((10, 0), (5, 1), (-20, 2), (10, 2), (-3, 1)):
            assert ours.seek(place, whence) == theirs.seek(place, whence)
            assert ours.read(7) == theirs.read(7)
        assert ours.read() == theirs.read() == b""
        ours.seek(3)
        theirs.seek(3)
        target, expected = bytearray(100_000), bytearray(100_000)
        assert ours.readinto(target) == theirs.readinto(expected)
        assert target == expected
        assert (ours.read1(10), ours.readline()) == (theirs.read1(10), theirs.readline())
        assert list(ours) == list(theirs)
        assert ours.size == len(TEXT)


def test_the_places_that_do_not_exist_are_refused(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", TEXT)
    file = lake().open("/m/a")

    with pytest.raises(ValueError, match="before the start"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 9)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with pytest.raises(io.UnsupportedOperation):
        lake().open("/m/a").write(b"x")


def test_lines_and_text_are_read_as_usual(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", TEXT)

    with lake().open("/m/a", "r", encoding="utf-8") as file:
        assert file.readlines() == TEXT.decode().splitlines(keepends=True)
    assert list(lake().open("/m/a")) == TEXT.splitlines(keepends=True)


def test_an_empty_file_is_read(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", b"")
    file = lake().open("/m/a")

    assert (file.read(), file.readline(), file.peek(), file.size) == (b"", b"", b"", 0)
    assert lake().cat_file("/m/a") == b""


def test_no_mode_but_reading_is_offered(shelf: FilledShelf, lake: OpenLake) -> None:
    shelf.hold("/m/a", TEXT)
    for mode in ("wb", "ab", "xb", "r+b"):
        with pytest.raises(ReadingOnly):
            lake().open("/m/a", mode)
