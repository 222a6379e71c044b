"""Held blocks: which bytes of which generation lie in which segment file.

One LMDB environment:

    segments  generation (16) + segment (4)  ->  SegmentRecord
    sums      file (8) + group (4)           ->  CRC32C of each of 64 blocks, 4 bytes each
    files     file (8)                       ->  generation, segment, bytes held: the eviction order

A block is written to its file, then entered here: what is entered is whole.
"""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct, unpack
from typing import Final, NamedTuple

import lmdb
import msgspec

from forebay.model.ranges import BLOCK_BYTES, block_count

GROUP_BLOCKS: Final = 64
"""Blocks whose checksums share a row."""

SEGMENT_KEY: Final = Struct(">16sI")
FILE_KEY: Final = Struct(">Q")
SUMS_KEY: Final = Struct(">QI")
FILE_ROW: Final = Struct(">16sIQ")


class SegmentRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One segment of a generation, as it is held.

    Attributes:
        file: number of the segment file; never used again for another.
        offset: where in the file it begins.
        size: its bytes, held or not.
        tier: which tier the file lies in.
        run: in which run of the writer it was entered or last verified.
        bitmap: the blocks that are held, lowest bit first; b"": all of them.
    """

    file: int
    offset: int
    size: int
    tier: int
    run: int
    bitmap: bytes

    def has(self, block: int) -> bool:
        """Whether a block is held."""
        return not self.bitmap or bool(self.bitmap[block >> 3] >> (block & 7) & 1)

    @property
    def bits(self) -> int:
        """The blocks that are held, as bits of a number."""
        if self.bitmap:
            return int.from_bytes(self.bitmap, "little")
        return (1 << block_count(self.size)) - 1

    def held_bytes(self) -> int:
        """How many bytes are held."""
        if not self.bitmap:
            return self.size
        last = block_count(self.size) - 1
        held = self.bits.bit_count() * BLOCK_BYTES
        # The last block may be short.
        return held - (block_count(self.size) * BLOCK_BYTES - self.size) * self.has(last)

    def blocks(self) -> list[int]:
        """The blocks that are held, in order."""
        return [block for block in range(block_count(self.size)) if self.has(block)]


class HeldFile(NamedTuple):
    """A segment file of the index, and the bytes of disk that are counted for it."""

    file: int
    generation: bytes
    segment: int
    held: int


encode_segment = msgspec.msgpack.Encoder().encode
decode_segment = msgspec.msgpack.Decoder(SegmentRecord).decode


class BlocksDatabase:
    """The open environment and its tables."""

    __slots__ = ("environment", "files", "segments", "sums")

    def __init__(self, path: Path, map_bytes: int, *, write: bool) -> None:
        self.environment = lmdb.open(
            str(path),
            map_size=map_bytes,
            max_dbs=3,
            readonly=not write,
            create=write,
            mode=0o600,
            sync=False,
            readahead=False,
            max_readers=1024,
            max_spare_txns=4,
        )
        open_table = self.environment.open_db
        self.segments = open_table(b"segments", create=write)
        self.sums = open_table(b"sums", create=write)
        self.files = open_table(b"files", create=write)


class BlocksReader:
    """Looks up what is held; a few microseconds, and no lock."""

    __slots__ = ("_database",)

    def __init__(self, database: BlocksDatabase) -> None:
        self._database = database

    def segment(self, generation: bytes, number: int) -> SegmentRecord | None:
        """The record of a segment, if any of it is held."""
        database = self._database
        with database.environment.begin() as transaction:
            raw = transaction.get(SEGMENT_KEY.pack(generation, number), db=database.segments)
        return None if raw is None else decode_segment(raw)

    def raw(self, key: bytes) -> bytes | None:
        """The row of a segment, undecoded: the hot path's way."""
        database = self._database
        with database.environment.begin() as transaction:
            return transaction.get(key, db=database.segments)

    def segments(self, generation: bytes) -> list[tuple[int, SegmentRecord]]:
        """All segments of a generation of which something is held, by number."""
        database = self._database
        found: list[tuple[int, SegmentRecord]] = []
        with database.environment.begin() as transaction:
            cursor = transaction.cursor(db=database.segments)
            if cursor.set_range(generation):
                for key, raw in cursor:
                    if not key.startswith(generation):
                        break
                    found.append((SEGMENT_KEY.unpack(key)[1], decode_segment(raw)))
        return found

    def sums(self, file: int, blocks: range) -> list[int]:
        """The checksums of consecutive blocks; 0 where none is kept."""
        database = self._database
        found: list[int] = []
        with database.environment.begin() as transaction:
            for group in range(blocks.start // GROUP_BLOCKS, (blocks.stop - 1) // GROUP_BLOCKS + 1):
                raw = transaction.get(SUMS_KEY.pack(file, group), b"", db=database.sums)
                sums = unpack(f"<{len(raw) // 4}I", raw)
                found.extend(sums)
                found.extend([0] * (GROUP_BLOCKS - len(sums)))
        skipped = blocks.start % GROUP_BLOCKS
        return found[skipped : skipped + len(blocks)]

    def files(self, start: int = 0, most: int = 1000) -> list[HeldFile]:
        """At most `most` segment files with numbers from `start` on, the oldest first."""
        database = self._database
        found: list[HeldFile] = []
        with database.environment.begin() as transaction:
            cursor = transaction.cursor(db=database.files)
            if cursor.set_range(FILE_KEY.pack(start)):
                for key, raw in cursor:
                    if len(found) == most:
                        break
                    found.append(HeldFile(FILE_KEY.unpack(key)[0], *FILE_ROW.unpack(raw)))
        return found

    def every_file(self, page: int = 1000) -> Iterator[HeldFile]:
        """All segment files, the oldest first, without one long transaction."""
        start = 0
        while rows := self.files(start, page):
            yield from rows
            start = rows[-1].file + 1

    def file_count(self) -> int:
        """How many segment files are held."""
        database = self._database
        with database.environment.begin() as transaction:
            return int(transaction.stat(database.files)["entries"])
