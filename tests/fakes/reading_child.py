"""A process that reads a shelf at random and compares: -m tests.fakes.reading_child DIR SEED."""

import os
import random
import sys
import time
from pathlib import Path

from forebay.shelf.reader import ShelfReader
from forebay.shelf.shelf import open_shelf
from tests.fakes.content_store import content
from tests.fakes.small_cache import SMALL_SHELF


def read_until_told(directory: Path, seed: int) -> tuple[int, int]:
    """Read until stdin has something to say; how many reads there were, and how many wrong."""
    chance = random.Random(seed)  # noqa: S311 - a seeded load
    shelf = open_shelf(directory, SMALL_SHELF, write=False, now=time.time)
    reader = ShelfReader(shelf, bytes.decode, time.time, descriptors=8)
    reads = wrong = 0
    os.set_blocking(0, False)
    while True:
        if chance.random() < 0.01:
            reader.sweep()
            try:
                if os.read(0, 1):
                    return reads, wrong
            except BlockingIOError:
                pass
        entry = reader.find(b"/lake/f%d" % chance.randrange(30))
        if entry is None:
            continue
        at = chance.randrange(entry.size)
        extent = entry.extent(at, 20_000)
        if extent is None:
            continue
        handle, offset, count = extent
        reads += 1
        wrong += os.pread(handle.fd, count, offset) != content(1, at, at + count)


if __name__ == "__main__":
    sys.stdout.write("{} {}\n".format(*read_until_told(Path(sys.argv[1]), int(sys.argv[2]))))
