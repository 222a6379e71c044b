"""The body of a file: pieces out of the cache, or through it, as one response."""

import asyncio
import os
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from forebay.cache.pieces import BytesPiece, FilePiece, Piece
from forebay.doors.s3.lake import CachedBytes, OpenSegment
from forebay.doors.s3.outlet import EXTENSION, PieceSender
from forebay.model.errors import ForebayError
from forebay.model.ranges import ByteRange

WINDOW_BYTES: Final = 32 << 20
"""How much of what is still to be sent is asked for at once, so that it is fetched together."""

_COPIED_BYTES: Final = 256 << 10


class FileResponse(Response):
    """Answers with bytes of an open file, and closes it.

    The first piece is there before the head goes out: until then an error can still be worded.

    Attributes:
        file: what is sent.
        span: which bytes of it.
        error: what cut the answer short, if anything did.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        file: CachedBytes,
        span: ByteRange,
        first: Piece | None,
    ) -> None:
        super().__init__(None, status, headers)
        self.error: ForebayError | None = None
        self.file = file
        self.span = span
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; an error in the middle cuts the connection."""
        del receive
        pieces = scope.get("extensions", {}).get(EXTENSION)
        way: PieceSender = CopiedPieces(send) if pieces is None else pieces
        start = {"type": "http.response.start", "status": self.status_code}
        try:
            await send({**start, "headers": self.raw_headers})
            await self._send_body(way, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ConnectionError:
            way.abort()
        except ForebayError as error:
            self.error = error
            way.abort()
        finally:
            await self.file.close()

    async def _send_body(self, way: PieceSender, send: Send) -> None:
        at, end = self.span.start, self.span.end
        piece = self._first
        # It is kept here no longer than it takes to send: a kept piece keeps its descriptor.
        self._first = None
        while at < end:
            if piece is None:
                piece = await self.file.piece(at, min(end - at, WINDOW_BYTES))
            match piece:
                case FilePiece():
                    await way.send(piece.handle, piece.offset, piece.count)
                case BytesPiece():
                    body = {"type": "http.response.body", "body": bytes(piece.data)}
                    await send({**body, "more_body": True})
            at += piece.count
            piece = None


class CopiedPieces:
    """Sends pieces of files through memory, under servers that have no outlet for them."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, segment: OpenSegment, offset: int, count: int) -> None:
        """See `PieceSender`."""
        for at in range(offset, offset + count, _COPIED_BYTES):
            wanted = min(_COPIED_BYTES, offset + count - at)
            body = await asyncio.to_thread(os.pread, segment.fd, wanted, at)
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    def abort(self) -> None:
        """See `PieceSender`: such a server is told by an error."""
        raise ConnectionAbortedError
