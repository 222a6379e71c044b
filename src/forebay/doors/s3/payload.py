"""The payload of a request that needs none: read within bounds, and compared with its hash."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from starlette.requests import ClientDisconnect, Request

from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.signature import NO_BODY

MOST_BYTES: Final = 1 << 20
SECONDS: Final = 10.0
_HASH_LETTERS: Final = 64


def has_payload(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body follows the head."""
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def is_cut_off(headers: Mapping[bytes, bytes]) -> bool:
    """Whether an answer that does not read the body must end the connection.

    The client waits for leave to send it and may never do so, or it is too long to read away.
    """
    length = headers.get(b"content-length", b"0")
    too_long = not length.isdigit() or len(length) > 9 or int(length) > MOST_BYTES  # noqa: PLR2004 - digits
    return b"expect" in headers or b"transfer-encoding" in headers or too_long


async def must_be_as_signed(
    request: Request, headers: Mapping[bytes, bytes], seconds: float = SECONDS
) -> None:
    """Read the body, which nothing will use, and let it pass if it is what was signed.

    Raises:
        Refusal: it is not, or it is too long, or too slow.
    """
    signed = headers.get(b"x-amz-content-sha256", b"")
    if not has_payload(headers):
        if len(signed) == _HASH_LETTERS and signed not in NO_BODY:
            raise _mismatch(signed, sha256().hexdigest())
        return
    try:
        async with asyncio.timeout(seconds):
            digest = await _digest(request)
    except TimeoutError:
        raise Refusal("RequestTimeout", "The request's body was not sent in time.") from None
    except ClientDisconnect:
        raise Refusal("IncompleteBody", "The request's body ended early.") from None
    if len(signed) == _HASH_LETTERS and signed != digest.encode():
        raise _mismatch(signed, digest)


async def _digest(request: Request) -> str:
    found, size = sha256(), 0
    async for chunk in request.stream():
        found.update(chunk)
        size += len(chunk)
        if size > MOST_BYTES:
            raise Refusal("MaxMessageLengthExceeded", "Your request was too big.")
    return found.hexdigest()


def _mismatch(signed: bytes, found: str) -> Refusal:
    return Refusal(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        {
            "ClientComputedContentSHA256": signed.decode("latin-1"),
            "S3ComputedContentSHA256": found,
        },
    )
