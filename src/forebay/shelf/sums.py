"""Checksums of blocks: CRC32C, one for each 64 KiB."""

from collections.abc import Iterator

from forebay.model.ranges import BLOCK_BYTES

Bytes = bytes | bytearray | memoryview


def sum_of(part: Bytes, before: int = 0) -> int:
    """The CRC32C of a block, or of the next part of one whose sum was `before` until now."""
    # The library takes long to load, and a reader of memory that is warm never needs it.
    from awscrt.checksums import crc32c  # noqa: PLC0415

    return int(crc32c(part, before))


def sums_of(whole_blocks: Bytes) -> Iterator[int]:
    """The checksum of each block of `whole_blocks`; the last may be short."""
    view = memoryview(whole_blocks)
    for start in range(0, len(view), BLOCK_BYTES):
        yield sum_of(view[start : start + BLOCK_BYTES])
