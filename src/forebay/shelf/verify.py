"""The verification of blocks: what is read from the disk is compared with its checksums."""

import os

from forebay.shelf.blocks import BlocksReader
from forebay.shelf.handles import Handle
from forebay.shelf.sums import sums_of


def read_verified(
    index: BlocksReader, handle: Handle, blocks: range, offset: int, length: int
) -> tuple[bytes, list[int]]:
    """Read consecutive blocks that lie at `offset` of their file, and find the damaged ones.

    Returns their bytes and the numbers of the blocks that are not what was entered. Waits for the
    disk: call it in a thread, with a bounded `length`.
    """
    try:
        found = os.pread(handle.fd, length, offset)
    except OSError:
        found = b""
    expected = index.sums(handle.file, blocks)
    actual = list(sums_of(found)) if len(found) == length else []
    damaged = [
        block
        for place, block in enumerate(blocks)
        if place >= len(actual) or actual[place] != expected[place]
    ]
    if damaged:
        # So that these pages do not look as good as any that are in memory.
        os.posix_fadvise(handle.fd, offset, length, os.POSIX_FADV_DONTNEED)
    return found, damaged
