"""A small cache on a directory of the test's own, and the questions tests ask it."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from forebay.cache.cached_file import CachedFile
from forebay.cache.keeper import Keeper, open_keeper
from forebay.cache.options import CacheOptions
from forebay.cache.pieces import BytesPiece, FilePiece, Piece
from forebay.model.ranges import BLOCK_BYTES
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from tests.fakes.content_store import ContentStore, content

MIB = 1 << 20
SMALL_SHELF = ShelfOptions(names_bytes=8 * MIB, names_map_bytes=64 * MIB, blocks_map_bytes=64 * MIB)


@dataclass
class SmallCache:
    """An open shelf and its keeper."""

    shelf: Shelf
    keeper: Keeper

    async def read(
        self, store: ContentStore, name: str, start: int, end: int, version: int = 1
    ) -> bool:
        """Whether what is read of [start, end) is right."""
        status, generation = store.put(name, store.files[name][1], store.files[name][0])
        file = self.keeper.open(store, status, generation)
        try:
            return await read_right(file, version, start, end)
        finally:
            file.close()

    def used_on_disk(self) -> int:
        """Bytes that the segment files take."""
        return sum(entry.stat().st_blocks * 512 for _, entry in self.shelf.layout.segment_files())


def bytes_of_piece(piece: Piece) -> bytes:
    """The bytes themselves."""
    match piece:
        case FilePiece(handle, offset, count):
            return os.pread(handle.fd, count, offset)
        case BytesPiece(data):
            return bytes(data)


async def read_right(file: CachedFile, version: int, start: int, end: int) -> bool:
    """Whether what the pieces of [start, end) hold is that version's."""
    at = start
    while at < end:
        piece = await file.piece(at, end - at)
        if bytes_of_piece(piece) != content(version, at, at + piece.count):
            return False
        at += piece.count
    return at == end


@asynccontextmanager
async def a_cache(
    directory: Path,
    quota: int = 64 * MIB,
    *,
    clean: bool = True,
    now: Callable[[], float] = time.time,
    **options: float,
) -> AsyncIterator[SmallCache]:
    """A cache; `clean=False`: at the end it is left as after a kill."""
    shelf = open_shelf(directory, SMALL_SHELF, write=True, now=time.time)
    chosen = CacheOptions(quota, free_bytes=0, commit_seconds=0.001, **options)  # type: ignore[arg-type]
    keeper = await open_keeper(shelf, chosen, now)
    try:
        yield SmallCache(shelf, keeper)
    finally:
        await keeper.close()
        shelf.close(clean=clean)


def flip_a_bit(shelf: Shelf, file: int, at: int) -> None:
    """Damage a segment file on the disk."""
    with Path(shelf.layout.segment(file)).open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)
        opened.seek(at)
        opened.write(bytes((byte[0] ^ 1,)))


def blocks(count: int) -> int:
    """The bytes of `count` blocks."""
    return count * BLOCK_BYTES
