"""The writing of a range into its segment file, with the checksums of its blocks."""

import os

from forebay.model.ranges import BLOCK_BYTES
from forebay.shelf.handles import Handle
from forebay.shelf.sums import sum_of


class RangeWriter:
    """Writes one range in order. Each call waits for the disk: call it in a thread.

    Args:
        handle: the segment file, open for writing; kept open by this.
        blocks: the blocks of the range.
        size: of the segment.
    """

    __slots__ = ("_at", "_handle", "_size", "_sum")

    def __init__(self, handle: Handle, blocks: range, size: int) -> None:
        self._handle = handle
        self._at = blocks.start * BLOCK_BYTES
        self._size = size
        self._sum = 0

    def write(self, piece: memoryview) -> dict[int, int]:
        """Write the next piece; the blocks that are complete with it, and their checksums."""
        sums: dict[int, int] = {}
        self._put(piece)
        while piece:
            block = self._at // BLOCK_BYTES
            end = min((block + 1) * BLOCK_BYTES, self._size)
            part = piece[: end - self._at]
            self._sum = sum_of(part, self._sum)
            self._at += len(part)
            piece = piece[len(part) :]
            if self._at == end:
                sums[block] = self._sum
                self._sum = 0
        return sums

    def _put(self, piece: memoryview) -> None:
        at = self._at
        while piece:
            written = os.pwrite(self._handle.fd, piece, at)
            at += written
            piece = piece[written:]
