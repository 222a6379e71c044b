"""Byte ranges and the blocks that cover them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

BLOCK_BYTES: Final = 64 << 10
"""A block: the smallest piece the shelf holds, with a checksum of its own."""

SEGMENT_BYTES: Final = 256 << 20
"""A segment: the piece of a generation that lies in one file of the shelf."""

JOINED_BYTES: Final = 16 << 20
"""The largest range that one request fetches."""


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"no range: {self.start}-{self.end}")

    def __len__(self) -> int:
        return self.end - self.start

    def __bool__(self) -> bool:
        return self.end > self.start

    def within(self, size: int) -> "ByteRange":
        """The part of it that a file of `size` bytes has."""
        return ByteRange(min(self.start, size), min(self.end, size))

    def split(self, most: int) -> Iterator["ByteRange"]:
        """It in pieces of at most `most` bytes, in order."""
        for start in range(self.start, self.end, most):
            yield ByteRange(start, min(start + most, self.end))


def whole(size: int) -> ByteRange:
    """The range of a whole file of `size` bytes."""
    return ByteRange(0, size)


def block_count(size: int) -> int:
    """How many blocks hold `size` bytes."""
    return -(-size // BLOCK_BYTES)


def blocks_of(span: ByteRange) -> range:
    """The numbers of the blocks that hold `span`."""
    return range(span.start // BLOCK_BYTES, block_count(span.end)) if span else range(0)


def bytes_of(blocks: range, size: int) -> ByteRange:
    """The bytes that the consecutive `blocks` hold in a file of `size` bytes."""
    return ByteRange(min(blocks.start * BLOCK_BYTES, size), min(blocks.stop * BLOCK_BYTES, size))


def segment_count(size: int) -> int:
    """How many segments hold a file of `size` bytes; an empty file has none."""
    return -(-size // SEGMENT_BYTES)


def segment_range(number: int, size: int) -> ByteRange:
    """The bytes of segment `number` in a file of `size` bytes."""
    return ByteRange(number * SEGMENT_BYTES, min((number + 1) * SEGMENT_BYTES, size))


def runs_of(blocks: Iterable[int], longest: int) -> Iterator[range]:
    """The block numbers, which are in order, joined into runs of at most `longest` blocks."""
    run: range | None = None
    for block in blocks:
        if run is not None and block == run.stop and len(run) < longest:
            run = range(run.start, block + 1)
            continue
        if run is not None:
            yield run
        run = range(block, block + 1)
    if run is not None:
        yield run
