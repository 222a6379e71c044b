"""A node that only fills and evicts, to be killed: -m tests.fakes.filling_child DIR SEED."""

import asyncio
import random
import sys
import time
from pathlib import Path

from forebay.cache.keeper import open_keeper
from forebay.cache.options import CacheOptions
from forebay.shelf.shelf import open_shelf
from tests.fakes.content_store import ContentStore
from tests.fakes.small_cache import MIB, SMALL_SHELF, read_right

FILES = {f"f{number}": (number * 997_001) % (3 * MIB) + 1 for number in range(40)}
QUOTA = 24 * MIB


def a_store(*, pinned: bool) -> ContentStore:
    """The store of the child and of its parent."""
    store = ContentStore(pinned=pinned, piece=100_000)
    for name, size in FILES.items():
        store.put(name, size, version=7)
    return store


async def fill(directory: Path, seed: int) -> None:
    """Read at random, for ever; each byte is compared."""
    chance = random.Random(seed)  # noqa: S311 - a seeded load
    store = a_store(pinned=seed % 2 == 0)
    shelf = open_shelf(directory, SMALL_SHELF, write=True, now=time.time)
    options = CacheOptions(QUOTA, free_bytes=0, range_bytes=MIB, commit_seconds=0.002)
    keeper = await open_keeper(shelf, options, time.time)

    async def one() -> None:
        while True:
            name = chance.choice(list(FILES))
            start = chance.randrange(FILES[name])
            end = min(start + chance.randrange(1, MIB), FILES[name])
            file = keeper.open(store, *store.put(name, FILES[name], version=7))
            if not await read_right(file, 7, start, end):
                sys.exit(3)
            file.close()

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.gather(*(one() for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1]), int(sys.argv[2])))
