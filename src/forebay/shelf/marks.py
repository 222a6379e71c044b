"""Change marks: a table of seqlocks in shared memory, which tells a reader that its copy is old.

A writer makes the marks of what it will change odd, commits, and makes them even. A reader takes
the mark before it reads the record, and keeps the decoded record for as long as the mark stands
where it stood and was even. So it is never staler than the database itself.
"""

import mmap
import os
from binascii import crc32
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SLOTS: Final = 1 << 16
RESERVED: Final = 8
"""Slots below this belong to the house (see the constants below) and to no key."""

SNAPSHOT_SLOT: Final = 0
"""In `names.marks`: the mount snapshot."""
EPOCH_SLOT: Final = 0
"""In `blocks.marks`: which environments; another value means: open them again."""
TRUSTED_RUN_SLOT: Final = 1
"""In `blocks.marks`: not a mark but a number: segments of earlier runs must be verified first."""

NEVER: Final = -1
"""A mark that no slot ever shows: what was read under it is not kept."""

_BYTES: Final = SLOTS * 8


def slot_of(key: bytes) -> int:
    """The slot of a key. Several keys share one: a change of one makes readers look again."""
    slot = crc32(key) & (SLOTS - 1)
    return slot if slot >= RESERVED else slot + RESERVED


class Marks:
    """The table. `values[slot]` is read directly on the hot path."""

    __slots__ = ("_map", "inode", "values")

    def __init__(self, path: Path, *, write: bool) -> None:
        if write:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(descriptor).st_size < _BYTES:
                # Not a hole: a write into one on a full disk would end the process.
                os.posix_fallocate(descriptor, 0, _BYTES)
        else:
            descriptor = os.open(path, os.O_RDONLY)
        try:
            self.inode = os.fstat(descriptor).st_ino
            protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
            self._map = mmap.mmap(descriptor, _BYTES, prot=protection)
        finally:
            os.close(descriptor)
        self.values = memoryview(self._map).cast("Q")

    @contextmanager
    def changing(self, slots: Iterable[int]) -> Iterator[None]:
        """Around a commit that changes what these slots stand for; one writer at a time."""
        values, changed = self.values, set(slots)
        for slot in changed:
            values[slot] += 1
        try:
            yield
        finally:
            for slot in changed:
                values[slot] += 1

    def mend(self) -> None:
        """Make even what a writer left odd when it died; its commit is whole or not there."""
        for slot in range(SLOTS):
            if self.values[slot] & 1 and slot != TRUSTED_RUN_SLOT:
                self.values[slot] += 1

    def disown(self) -> None:
        """Make every kept record old, because the database is another one now."""
        for slot in range(RESERVED, SLOTS):
            self.values[slot] += 2

    def close(self) -> None:
        """Let go of the map. The table must not be used afterwards."""
        self.values.release()
        self._map.close()
