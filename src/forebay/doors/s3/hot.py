"""The hot protocol: uvicorn's, which answers a hit at once and hands everything else to ASGI.

A hit of up to 2 MiB whose pages are in memory goes out by `send` and `sendfile` (a short one by
one `send`), without a task or a scope. While it is on its way, `HotCycle` stands where uvicorn
keeps the request it is busy with: so uvicorn itself queues pipelined requests behind it, waits for
it at shutdown, and keeps the order. A longer or a colder hit is a small ASGI application of its own
(`long_hit`).
"""

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from forebay.doors.s3.answer import Answers, Hit
from forebay.doors.s3.errors import Refusal, answer_to
from forebay.doors.s3.ledger import Ledger
from forebay.doors.s3.long_hit import LongHit, Shelf
from forebay.doors.s3.outlet import EXTENSION, PIECE_BYTES, TURN_BYTES, Outlet, Pieces
from forebay.doors.s3.xml import error_document
from forebay.metrics.request_ids import RequestIds
from forebay.model.errors import ForebayError
from forebay.shelf.handles import Handle
from forebay.shelf.reader import Extent

COPIED_BYTES: Final = 32 << 10
"""Up to here one copy costs less than the two calls that it saves."""

_COLD_THREADS: Final = 8
_MORE: Final = socket.MSG_MORE
_TLS_FAREWELL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """What a connection may take.

    Attributes:
        idle_seconds: without a byte moving, it is closed.
        head_seconds: a request's head must be there within.
        head_bytes: and be no longer.
    """

    idle_seconds: float = 75.0
    head_seconds: float = 10.0
    head_bytes: int = 64 << 10


def _cold_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_COLD_THREADS, "forebay-cold")


@dataclass(frozen=True, slots=True)
class HotDoor:
    """What all connections of one door share.

    `threads` read what is not in memory. They are the door's own: in the event loop's, stores may
    hang that wait for a disk.
    """

    answers: Answers
    shelf: Shelf
    ledger: Ledger
    request_ids: RequestIds
    options: ConnectionOptions
    threads: ThreadPoolExecutor = field(default_factory=_cold_threads)
    _copy: memoryview = field(default_factory=lambda: memoryview(bytearray(COPIED_BYTES)))

    def copied(self, extent: Extent) -> memoryview | None:
        """The bytes of a short extent, valid until the next call; None: they are not in memory."""
        segment, offset, count = extent
        copy = self._copy[:count]
        try:
            read = os.preadv(segment.fd, (copy,), offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError:
            # The file system cannot tell: take it as it comes.
            read = os.preadv(segment.fd, (copy,), offset)
        return copy if read == count else None


def _held(hit: Hit, count: int) -> Extent | None:
    """Where the hit's first bytes are held; None: they are not."""
    try:
        return hit.entry.extent(hit.start, count)
    except ForebayError:
        return None


class _Deaf:
    """Stands where uvicorn's cycle has an event that nobody waits for."""

    def set(self) -> None:
        """Tell nobody."""


class HotCycle:
    """The hit on its way, in the place of uvicorn's request/response cycle."""

    __slots__ = (
        "body",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "response_complete",
    )

    def __init__(self) -> None:
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True
        self.message_event = _Deaf()
        self.more_body = False
        self.body = b""


class HotProtocol(HttpToolsProtocol):
    """One connection. `door` is set on the subclass that a server is made with."""

    door: ClassVar[HotDoor]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._options = self.door.options
        self._most_head_bytes = self.door.options.head_bytes
        self._now = self.loop.time
        self._hot = HotCycle()
        self._hit: Hit | None = None
        self._head = b""
        self._extent: Extent | None = None
        self._by_transport = False
        self._in_head = False
        self._fed = 0
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._moved_at = 0.0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        plain = self.scheme == "http"
        # No bytes are kept in memory beyond those of one piece: a slow reader costs nothing.
        # A TLS transport with the limit 0 would pause writing when it is empty, and stay so.
        transport.set_write_buffer_limits(0 if plain else 1, 0)
        self.cycle = self._hot  # type: ignore[assignment]
        self.outlet = Outlet(transport, self.flow, self._move, plain=plain)
        self._move()
        self._idle_timer = self.loop.call_later(self._options.idle_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._idle_timer.cancel()
        if self._head_timer is not None:
            self._head_timer.cancel()
        self.outlet.close()
        if self._hit is not None:
            # What is left of a head may hold content behind it.
            self._note(self._hit, len(self._head) if self._extent is None else self._extent[2])
        self._hit = self._extent = None
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more, but may wait for its answers: the last one ends it."""
        cycle = self.cycle
        if cycle.response_complete or cycle.more_body or not self.outlet.plain:
            return None
        cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """End the connection as soon as its requests are answered."""
        super().shutdown()
        if not self.outlet.plain and self.transport.is_closing():
            # The transport would wait long for a peer that does not say farewell.
            self.loop.call_later(_TLS_FAREWELL_SECONDS, self.transport.abort)

    def _move(self) -> None:
        self._moved_at = self._now()

    def _look(self) -> None:
        """Close the connection that has been idle or stuck too long; one timer, not one a request.

        A connection whose request waits for a store is neither.
        """
        if self.transport.is_closing():
            return
        left = self._moved_at + self._options.idle_seconds - self._now()
        if left <= 0:
            if self.outlet.is_waiting:
                self.transport.abort()
                return
            if self.cycle.response_complete:
                self.transport.close()
                return
            left = self._options.idle_seconds
        self._idle_timer = self.loop.call_later(left, self._look)

    # Parsing: nothing is built before we know that ASGI needs it.

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._fed = len(data)
        super().data_received(data)
        if self._in_head:
            self._head_goes_on()

    def _head_goes_on(self) -> None:
        self._head_bytes += self._fed
        if self._head_bytes > self._options.head_bytes:
            self._refuse_head()
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._options.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._refuse(Refusal("RequestTimeout", "The request's head was not sent in time."))

    def on_message_begin(self) -> None:
        """See httptools."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        # What came before the head in the same read does not count.
        self._head_bytes = -self._fed

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """See httptools: the moment to decide who answers."""
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._moved_at = self._now()
        most = self._most_head_bytes
        if (self._fed > most or self._head_bytes > most) and self._head_size() > most:
            self._refuse_head()
            return
        application: ASGI3Application | None = self.app
        if self.cycle.response_complete:
            if self.transport.is_closing():
                self.cycle = self._hot  # type: ignore[assignment]
                return
            application = self._answer_at_once()
        if application is not None:
            self._answer_by(application)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self.cycle is not self._hot:  # type: ignore[comparison-overlap]
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(Refusal("InvalidRequest", msg))

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_head(self) -> None:
        message = "Your request header section exceeds the maximum allowed size."
        self._refuse(Refusal("RequestHeaderSectionTooLarge", message))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what is no request, and end the connection."""
        if self.transport.is_closing():
            return
        if not self.cycle.response_complete:
            # An answer now would be taken for that of an earlier request.
            self.transport.abort()
            return
        self.cycle = self._hot  # type: ignore[assignment]
        answer = answer_to(refusal)
        request_id = self.door.request_ids.next()
        body = error_document(answer, "", request_id)
        head = (
            f"HTTP/1.1 {answer.status} Bad Request\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\nx-amz-request-id: {request_id}\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _answer_by(self, application: ASGI3Application) -> None:
        """Let an ASGI application answer: build what uvicorn builds for every request."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers = self.scope["headers"] = headers
        for name, value in headers:
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        ours, self.app = self.app, application
        try:
            super().on_headers_complete()
        finally:
            self.app = ours
        # The task that runs the application begins after this callback.
        pieces = Pieces(self.outlet, self.transport, self.cycle)
        self.scope["extensions"] = {EXTENSION: pieces}  # type: ignore[dict-item]

    # Hits

    def _answer_at_once(self) -> ASGI3Application | None:
        """Answer the hit, if it is one; else who is to answer."""
        application: ASGI3Application = self.app
        method = self.parser.get_method()
        if (method != b"GET" and method != b"HEAD") or self.parser.should_upgrade():  # noqa: PLR1714 - the faster way
            return application
        hit = self.door.answers.hit(method, self.url, self.headers)
        if hit is None:
            return application
        count = hit.end - hit.start
        if not count or method == b"HEAD":
            self._send(hit, self._whole_head(hit.head), None)
            return None
        extent = _held(hit, count)
        if extent is None:
            return application
        if extent[2] == count and count <= TURN_BYTES and self._answer_shortly(hit, extent):
            return None
        return LongHit.of(hit, extent, self.door, application)

    def _answer_shortly(self, hit: Hit, extent: Extent) -> bool:
        """Answer a hit whose bytes are in memory; False: they are not."""
        if extent[2] > COPIED_BYTES:
            if not self.door.shelf.resident(*extent):
                return False
            self._send(hit, self._whole_head(hit.head), extent)
            return True
        body = self.door.copied(extent)
        if body is None:
            return False
        self._send(hit, self._whole_head(hit.head) + body, None)
        return True

    def _whole_head(self, head: bytes) -> bytes:
        self.cycle = self._hot  # type: ignore[assignment]
        if self.parser.should_keep_alive():
            return head + b"\r\n"
        self._hot.keep_alive = False
        return head + b"Connection: close\r\n\r\n"

    def _send(self, hit: Hit, head: bytes, extent: Extent | None) -> None:
        """Send what the socket takes at once; `_begin` the rest."""
        if not self.outlet.plain or self.transport.get_write_buffer_size():
            # Our bytes must not overtake the transport's.
            self._begin(hit, head, extent, by_transport=True)
            return
        try:
            out = self.outlet.socket()
            # MSG_MORE with nothing behind it would mean 200 ms of silence.
            sent = out.send(head, 0 if extent is None else _MORE)
            if sent < len(head):
                self._begin(hit, head[sent:], extent, by_transport=False)
                return
            head = b""
            if extent is not None:
                segment, offset, count = extent
                sent = os.sendfile(out.fileno(), segment.fd, offset, count)
                if sent < count:
                    rest = (segment, offset + sent, count - sent)
                    self._begin(hit, b"", rest, by_transport=False)
                    return
        except BlockingIOError:
            self._begin(hit, head, extent, by_transport=False)
            return
        except OSError:
            self._note(hit, 0 if extent is None else extent[2])
            self.transport.abort()
            return
        self.server_state.total_requests += 1
        self._note(hit, 0)
        if not self._hot.keep_alive:
            self.transport.close()

    def _begin(self, hit: Hit, head: bytes, extent: Extent | None, *, by_transport: bool) -> None:
        self._hot.response_complete = False
        self.flow.pause_reading()
        self._hit, self._head, self._extent = hit, head, extent
        self._by_transport = by_transport
        self._push()

    def _push(self) -> None:
        """Go on sending; called again by the loop or the transport until all is sent."""
        if self._hit is None or self.transport.is_closing():
            return
        self._move()
        try:
            is_sent = self._push_by_transport() if self._by_transport else self._push_by_socket()
        except BlockingIOError:
            self.outlet.watch(self._push)
            return
        except OSError:
            self.transport.abort()
            return
        if is_sent:
            self._finish(self._hit)

    def _push_by_socket(self) -> bool:
        """Whether all is sent; what is left stays noted when the socket blocks."""
        out = self.outlet.socket()
        while self._head:
            sent = out.send(self._head, 0 if self._extent is None else _MORE)
            self._head = self._head[sent:]
        while self._extent is not None:
            segment, offset, count = self._extent
            if not self.door.shelf.resident(segment, offset, count):
                self._warm(segment, offset, count)
                return False
            sent = os.sendfile(out.fileno(), segment.fd, offset, count)
            if not sent:
                raise OSError("the segment file is shorter than the index says")
            self._extent = (segment, offset + sent, count - sent) if sent < count else None
        return True

    def _push_by_transport(self) -> bool:
        while self._head or self._extent is not None:
            if self.flow.write_paused:
                return False
            piece = b""
            if self._extent is not None:
                segment, offset, count = self._extent
                wanted = min(count, PIECE_BYTES)
                if not self.door.shelf.resident(segment, offset, count):
                    self._warm(segment, offset, count)
                    return False
                piece = os.pread(segment.fd, wanted, offset)
                if len(piece) < wanted:
                    raise OSError("the segment file is shorter than the index says")
                rest = (segment, offset + wanted, count - wanted)
                self._extent = rest if wanted < count else None
            self.transport.write(self._head + piece)
            self._head = b""
        return True

    def _warm(self, segment: Handle, offset: int, count: int) -> None:
        """Have a thread read the rest, which has left memory while the client was slow."""
        hit = self._hit
        if hit is None:
            return
        self.outlet.unwatch()
        self._by_transport = False
        reading = self.loop.run_in_executor(
            self.door.threads,
            self.door.shelf.verify_cold,
            hit.entry,
            segment,
            offset,
            hit.end - count,
            count,
        )
        reading.add_done_callback(self._warmed)

    def _warmed(self, reading: asyncio.Future[bytes | None]) -> None:
        if self._hit is None or self.transport.is_closing():
            return
        read = None if reading.cancelled() or reading.exception() else reading.result()
        if read is None:
            # Half an answer: the client must see that it is short.
            self.transport.abort()
            return
        self.transport.write(self._head + read)
        self._head, self._extent, self._by_transport = b"", None, True
        self._push()

    def _finish(self, hit: Hit) -> None:
        self.outlet.unwatch()
        self._hit = None
        self._hot.response_complete = True
        self.server_state.total_requests += 1
        self._note(hit, 0)
        if not self._hot.keep_alive:
            self.transport.close()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, application = self.pipeline.pop()
            self._start_asgi_task(cycle, application)

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        super().resume_writing()
        self._move()
        if self._by_transport and self._hit is not None:
            self._push()

    def _note(self, hit: Hit, unsent: int) -> None:
        sent = hit.end - hit.start - unsent
        self.door.ledger.hit(hit, sent if sent > 0 and hit.method == b"GET" else 0)
