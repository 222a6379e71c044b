"""Checksums of blocks: CRC32C, one for each 64 KiB."""

from collections.abc import Iterator

from awscrt.checksums import crc32c

from forebay.model.ranges import BLOCK_BYTES

Bytes = bytes | bytearray | memoryview


def sum_of(block: Bytes) -> int:
    """The CRC32C of a block."""
    return int(crc32c(block))


def sums_of(whole_blocks: Bytes) -> Iterator[int]:
    """The checksum of each block of `whole_blocks`; the last may be short."""
    view = memoryview(whole_blocks)
    for start in range(0, len(view), BLOCK_BYTES):
        yield int(crc32c(view[start : start + BLOCK_BYTES]))
