"""The body of a file: pieces out of the cache, or through it, as one response."""

import asyncio
import os
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from forebay.cache.pieces import BytesPiece, FilePiece
from forebay.doors.s3.lake import FileBytes
from forebay.doors.s3.outlet import EXTENSION, PieceSender
from forebay.model.errors import ForebayError
from forebay.model.ranges import ByteRange
from forebay.shelf.handles import Handle

_COPIED_BYTES: Final = 256 << 10


class FileResponse(Response):
    """Answers with bytes of an open file, and closes it.

    Its first byte is at hand before the head goes out: until then an error can still be worded.

    Attributes:
        file: what is sent.
        span: which bytes of it.
        error: what cut the answer short, if anything did.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        file: FileBytes,
        span: ByteRange,
    ) -> None:
        super().__init__(None, status, headers)
        self.error: ForebayError | None = None
        self.file = file
        self.span = span

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
            self.file.close()

    async def _send_body(self, way: PieceSender, send: Send) -> None:
        at, end = self.span.start, self.span.end
        while at < end:
            piece = await self.file.piece(at, end - at)
            match piece:
                case FilePiece():
                    await way.send(piece.handle, piece.offset, piece.count)
                case BytesPiece():
                    if way.is_disconnected:
                        # The server takes what nobody reads: without end, and from the store.
                        raise ConnectionResetError
                    body = {"type": "http.response.body", "body": bytes(piece.data)}
                    await send({**body, "more_body": True})
            at += piece.count


class CopiedPieces:
    """Sends pieces of files through memory, under servers that have no outlet for them."""

    is_disconnected = False

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, segment: Handle, offset: int, count: int) -> None:
        """See `PieceSender`."""
        for at in range(offset, offset + count, _COPIED_BYTES):
            wanted = min(_COPIED_BYTES, offset + count - at)
            body = await asyncio.to_thread(os.pread, segment.fd, wanted, at)
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    def abort(self) -> None:
        """See `PieceSender`: such a server is told by an error."""
        raise ConnectionAbortedError
