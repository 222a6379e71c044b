"""The descriptors that a reader keeps: how many, and which go first."""

import resource
from pathlib import Path

import pytest

from forebay.shelf.descriptors import Descriptor, Descriptors, descriptor_room
from forebay.shelf.handles import Handle, OpenFiles


@pytest.mark.parametrize(
    ("limit", "room"),
    [
        (64, 16),
        (1024, 256),
        (20_000, 16_000),
        (1 << 20, 65_536),
        (resource.RLIM_INFINITY, 65_536),
    ],
)
def test_a_server_keeps_most_of_many_files_open_and_a_guest_a_quarter_of_few(
    limit: int, room: int
) -> None:
    assert descriptor_room(limit) == room


def test_the_file_that_was_not_used_is_closed_first(tmp_path: Path) -> None:
    files = OpenFiles()
    kept = Descriptors(3)
    for number in range(3):
        keep(kept, number, tmp_path, files)
    for descriptor in kept:
        descriptor.used = descriptor.file != 1

    keep(kept, 3, tmp_path, files)

    assert [descriptor.file for descriptor in kept] == [2, 0, 3]
    assert files.count(1) == 0


def test_where_all_are_used_the_oldest_is_closed(tmp_path: Path) -> None:
    files = OpenFiles()
    kept = Descriptors(3)
    for number in range(4):
        keep(kept, number, tmp_path, files)

    assert sorted(descriptor.file for descriptor in kept) == [1, 2, 3]


def keep(kept: Descriptors, number: int, directory: Path, files: OpenFiles) -> None:
    """Open the file of a number and keep it."""
    place = directory / str(number)
    place.touch()
    descriptor = Descriptor(number, (bytes(16), 0), 0, 0)
    kept.keep(descriptor, Handle(str(place), number, files))
