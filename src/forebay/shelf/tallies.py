"""Tallies: what processes that read the shelf by themselves have read, so that reports count it.

Each such process has a small file of its own, mapped into its memory: adding to it costs two
integer additions and asks nobody. The node sums them up, and takes over those of ended processes.
"""

import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

SLOT_BYTES: Final = 256
SLOTS: Final = 64
_NAME_BYTES: Final = SLOT_BYTES - 16
_FILE_BYTES: Final = SLOT_BYTES * SLOTS
_WORDS: Final = SLOT_BYTES // 8


class Amount(NamedTuple):
    """Reads, and the bytes they got, all from the cache."""

    reads: int
    size: int


class Tally:
    """What this process reads. Made at the first read; one for each process, never across a fork.

    Args:
        directory: the shelf's directory of tallies.
        name: unique: `<process id>-<random hex>`.
    """

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Not a hole: a write into one on a full disk would end this process.
            os.posix_fallocate(descriptor, 0, _FILE_BYTES)
            self._map = mmap.mmap(descriptor, _FILE_BYTES)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._map).cast("Q")
        self._places: dict[str, int] = {}

    def add(self, mount: str, size: int) -> None:
        """Count one read of `size` bytes below `mount`."""
        place = self._places.get(mount)
        if place is None:
            place = self._new_place(mount)
        words = self._words
        words[place] += 1
        words[place + 1] += size

    def _new_place(self, mount: str) -> int:
        # More mounts than slots share the last one: the sum over all mounts stays right.
        number = min(len(self._places), SLOTS - 1)
        raw = mount.encode()[:_NAME_BYTES]
        start = number * SLOT_BYTES + 16
        self._map[start : start + len(raw)] = raw
        self._places[mount] = number * _WORDS
        return number * _WORDS


class Tallies:
    """The node's side: sums of all that other processes have read.

    Args:
        directory: the shelf's directory of tallies.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ended: Counter[str] = Counter()
        self._ended_reads: Counter[str] = Counter()

    def totals(self) -> dict[str, Amount]:
        """By mount, since the node started; files of ended processes are taken over and removed."""
        sizes, reads = Counter(self._ended), Counter(self._ended_reads)
        for path in self._files():
            ended = not _lives(path.name)
            # Whether it has ended is asked first: what is then read is all there will be.
            for mount, amount in amounts_of(path):
                sizes[mount] += amount.size
                reads[mount] += amount.reads
                if ended:
                    self._ended[mount] += amount.size
                    self._ended_reads[mount] += amount.reads
            if ended:
                path.unlink(missing_ok=True)
        return {mount: Amount(reads[mount], sizes[mount]) for mount in sizes}

    def begin(self) -> None:
        """At the start of a node: what ended processes read before it is forgotten."""
        for path in self._files():
            if not _lives(path.name):
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        try:
            return sorted(self._directory.iterdir())
        except FileNotFoundError:
            return []


def amounts_of(path: Path) -> Iterator[tuple[str, Amount]]:
    """What one file says, by mount."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    for start in range(0, len(raw) - SLOT_BYTES + 1, SLOT_BYTES):
        name = raw[start + 16 : start + SLOT_BYTES].rstrip(b"\0")
        if not name:
            return
        reads = int.from_bytes(raw[start : start + 8], "little")
        size = int.from_bytes(raw[start + 8 : start + 16], "little")
        yield name.decode(errors="replace"), Amount(reads, size)


def _lives(name: str) -> bool:
    """Whether the process that the file is named after still runs."""
    number, _, _ = name.partition("-")
    return number.isdigit() and Path(f"/proc/{number}").exists()
