"""The recovery of a shelf: after a bad end, the disk holds what the index says and nothing else."""

import ctypes
import os
from contextlib import suppress
from typing import Final

from forebay.model.ranges import BLOCK_BYTES, block_count, runs_of
from forebay.shelf.blocks import HeldFile
from forebay.shelf.shelf import Shelf

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2

_SLACK: Final = 32 << 10
"""What a file system may use to manage a file."""

_DISK_SECTOR: Final = 512


def recover(shelf: Shelf) -> int:
    """Put the segment files in order; the bytes of disk that are entered. Waits for the disk."""
    assert shelf.run is not None  # noqa: S101 - the keeper has the writing shelf
    bad_end = shelf.wiped or shelf.run.trusted_run == shelf.run.run
    entered = 0
    gone: list[HeldFile] = []
    for held in shelf.blocks.every_file():
        if bad_end and not _in_order(shelf, held):
            gone.append(held)
        else:
            entered += held.held
    shelf.blocks_writer.drop(gone)
    if bad_end:
        _remove_unknown(shelf)
    return entered


def _in_order(shelf: Shelf, held: HeldFile) -> bool:
    """Whether the file is there, and takes no more than it is counted with."""
    path = shelf.layout.segment(held.file)
    try:
        taken = os.stat(path).st_blocks * _DISK_SECTOR  # noqa: PTH116 - a path as text
    except FileNotFoundError:
        return False
    return taken <= held.held + _SLACK or _punch(shelf, held, path)


def _punch(shelf: Shelf, held: HeldFile, path: str) -> bool:
    """Free what was written and not entered. Nobody reads it: readers go by the index."""
    record = shelf.blocks.segment(held.generation, held.segment)
    if record is None or record.file != held.file:
        return False
    absent = (block for block in range(block_count(record.size)) if not record.has(block))
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDWR)
    try:
        for run in runs_of(absent, block_count(record.size)):
            refused = libc.fallocate(
                descriptor,
                _KEEP_SIZE | _PUNCH_HOLE,
                ctypes.c_longlong(run.start * BLOCK_BYTES),
                ctypes.c_longlong(len(run) * BLOCK_BYTES),
            )
            if refused:
                return False
    finally:
        os.close(descriptor)
    return True


def _remove_unknown(shelf: Shelf) -> None:
    """Unlink the segment files that the index does not have."""
    for file, entry in shelf.layout.segment_files():
        rows = shelf.blocks.files(file, 1)
        if not rows or rows[0].file != file:
            with suppress(FileNotFoundError):
                os.unlink(entry.path)  # noqa: PTH108 - a path as text
