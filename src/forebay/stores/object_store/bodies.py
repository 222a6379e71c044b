"""Bodies on their way to the store: cut into pieces, counted, and given a checksum."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from awscrt.checksums import crc64nvme

from forebay.model.errors import StoreLied
from forebay.stores.contract import Chunk
from forebay.stores.object_store.signed import StreamedBody
from forebay.stores.object_store.statuses import DIGEST_BYTES, DIGEST_HEADER

HELD_BYTES: Final = 16 << 20
"""A body up to this size is sent in one request, and held in memory meanwhile."""

# S3 takes no chunk below 8 KiB but the last.
_WIRE_CHUNK: Final = 256 << 10


def checksum(content: bytes) -> str:
    """The CRC64NVME of `content`, as headers show it."""
    return _shown(crc64nvme(content))


async def in_pieces(
    body: AsyncIterator[Chunk], piece: int, size: int | None, subject: object
) -> AsyncGenerator[bytes, None]:
    """The body in pieces of exactly `piece` bytes, the last one shorter; none if it is empty.

    Raises:
        StoreLied: it has not the announced `size`; before a piece is given that goes beyond.
    """
    held = bytearray()
    total = 0
    async for chunk in body:
        total += len(chunk)
        if size is not None and total > size:
            raise StoreLied(subject, f"the body is longer than the announced {size} bytes")
        held += chunk
        while len(held) > piece:
            yield bytes(memoryview(held)[:piece])
            del held[:piece]
    if size is not None and total != size:
        raise StoreLied(subject, f"the body has {total} of the announced {size} bytes")
    if held:
        yield bytes(held)


def streamed(body: AsyncIterator[Chunk], size: int, subject: object) -> StreamedBody:
    """The body as it comes, with its checksum behind it (`aws-chunked` with a trailer)."""
    full, rest = divmod(size, _WIRE_CHUNK)
    trailer = len(DIGEST_HEADER) + len(f":{checksum(b'')}\r\n\r\n")
    wire = full * _framed(_WIRE_CHUNK) + (_framed(rest) if rest else 0) + len("0\r\n") + trailer
    return StreamedBody(_chunked(body, size, subject), wire, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")


def streamed_headers(size: int) -> dict[str, str]:
    """The headers that announce a `streamed` body."""
    return {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(size),
        "x-amz-trailer": DIGEST_HEADER,
    }


async def _chunked(
    body: AsyncIterator[Chunk], size: int, subject: object
) -> AsyncGenerator[bytes, None]:
    digest = 0
    async with aclosing(in_pieces(body, _WIRE_CHUNK, size, subject)) as pieces:
        async for piece in pieces:
            digest = crc64nvme(piece, digest)
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield f"0\r\n{DIGEST_HEADER}:{_shown(digest)}\r\n\r\n".encode()


def _framed(size: int) -> int:
    return len(f"{size:x}\r\n") + size + len("\r\n")


def _shown(digest: int) -> str:
    return base64.b64encode(digest.to_bytes(DIGEST_BYTES, "big")).decode()
