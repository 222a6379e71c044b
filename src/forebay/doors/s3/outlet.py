"""The outlet: how bytes of open files leave by one connection.

`sendfile` on a duplicate of the transport's socket. The transport's own bytes go first: nothing
may overtake them, so an outlet waits until none are left unsent, and a TLS connection, where the
kernel cannot send files, gets its bytes through the transport.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from forebay.model.errors import ShelfDamaged
from forebay.shelf.handles import Handle

TURN_BYTES: Final = 2 << 20
"""What one connection may send before the others have their turn."""

PIECE_BYTES: Final = 256 << 10
"""What is read into memory at once where the kernel cannot send the file."""

EXTENSION: Final = "forebay.pieces"
"""The name of the ASGI extension by which the application sends pieces of files."""


class Outlet:
    """The outlet of one connection.

    Args:
        transport: the connection.
        flow: its flow control.
        moved: called whenever bytes have gone out.
        plain: whether the kernel may send files (no TLS).
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        flow: FlowControl,
        moved: Callable[[], None],
        *,
        plain: bool,
    ) -> None:
        self.plain = plain
        self._transport = transport
        self._flow = flow
        self._moved = moved
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._is_closed = False
        self._is_watched = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether bytes wait for the client to take them."""
        return self._is_watched or self._transport.get_write_buffer_size() > 0

    def socket(self) -> socket.socket:
        """The duplicate of the transport's socket.

        Raises:
            ConnectionResetError: the connection is gone.
        """
        found = self._socket
        if found is None:
            if self._is_closed:
                raise ConnectionResetError
            original = self._transport.get_extra_info("socket")
            found = self._socket = socket.socket(fileno=os.dup(original.fileno()))
            found.settimeout(0)
        return found

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back whenever the socket takes bytes, until `unwatch`."""
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_writer(self.socket().fileno(), callback)

    def unwatch(self) -> None:
        """Call back no more."""
        if self._is_watched and self._socket is not None:
            # Before the socket is closed: epoll would go on reporting the shared description.
            self._loop.remove_writer(self._socket.fileno())
        self._is_watched = False

    def close(self) -> None:
        """Let go of the socket; whoever waits learns that the connection is gone."""
        self.unwatch()
        self._is_closed = True
        if self._socket is not None:
            # An open duplicate would keep the connection up, and the peer waiting.
            self._socket.close()
            self._socket = None
        self._wake(ConnectionResetError())

    async def send(self, segment: Handle, offset: int, count: int) -> None:
        """Send `count` bytes of the file from `offset` on, behind all that was sent before.

        Raises:
            ConnectionError: the client is gone.
            ShelfDamaged: the file is shorter.
        """
        await self._drain()
        if not self.plain:
            await self._send_by_transport(segment, offset, count)
            return
        turn = TURN_BYTES
        while count:
            try:
                descriptor = self.socket().fileno()
                sent = os.sendfile(descriptor, segment.fd, offset, min(count, turn))
            except BlockingIOError:
                await self._writable()
                turn = TURN_BYTES
                continue
            except OSError as error:
                raise ConnectionAbortedError(error.errno, error.strerror) from error
            if not sent:
                raise ShelfDamaged("", "a segment file is shorter than the index says")
            self._moved()
            offset += sent
            count -= sent
            turn -= sent
            if turn <= 0:
                await asyncio.sleep(0)
                turn = TURN_BYTES

    async def _send_by_transport(self, segment: Handle, offset: int, count: int) -> None:
        for at in range(offset, offset + count, PIECE_BYTES):
            wanted = min(PIECE_BYTES, offset + count - at)
            piece = os.pread(segment.fd, wanted, at)
            if len(piece) < wanted:
                raise ShelfDamaged("", "a segment file is shorter than the index says")
            self._transport.write(piece)
            await self._drain()
            self._moved()

    async def _drain(self) -> None:
        """Wait until the transport holds no unsent bytes."""
        while self._transport.get_write_buffer_size():
            if self._is_closed:
                raise ConnectionResetError
            if self._flow.write_paused:
                await self._flow.drain()
            else:
                await asyncio.sleep(0)

    async def _writable(self) -> None:
        self._waiter = self._loop.create_future()
        self.watch(self._wake)
        try:
            await self._waiter
        finally:
            self.unwatch()
            self._waiter = None

    def _wake(self, error: Exception | None = None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


class PieceSender(Protocol):
    """The ASGI extension, as the application uses it between start and end of a response."""

    @property
    def is_disconnected(self) -> bool:
        """Whether the client is known to be gone."""
        ...

    async def send(self, segment: Handle, offset: int, count: int) -> None:
        """Send a piece of a file as the next bytes of the body.

        Raises:
            ConnectionError: the client is gone.
            ShelfDamaged: the file is shorter.
        """
        ...

    def abort(self) -> None:
        """Cut the connection: half an answer was sent, and the client must see that it is short."""
        ...


class Pieces:
    """Sends pieces of files as the body of one response, in step with uvicorn's own accounts."""

    __slots__ = ("_cycle", "_outlet", "_transport")

    def __init__(
        self, outlet: Outlet, transport: asyncio.Transport, cycle: RequestResponseCycle
    ) -> None:
        self._outlet = outlet
        self._transport = transport
        self._cycle = cycle

    @property
    def is_disconnected(self) -> bool:
        """Whether the client is gone."""
        return self._cycle.disconnected

    def start(self, head: bytes, length: int) -> None:
        """Start the response with a head that is written already, but for the empty line."""
        cycle = self._cycle
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding = False
        cycle.expected_content_length = length
        if not cycle.keep_alive:
            head += b"Connection: close\r\n"
        self._transport.write(head + b"\r\n")

    async def send(self, segment: Handle, offset: int, count: int) -> None:
        """See `PieceSender`."""
        cycle = self._cycle
        if cycle.disconnected:
            raise ConnectionResetError
        if cycle.chunked_encoding is not False or count > cycle.expected_content_length:
            raise RuntimeError("a piece goes beyond the announced length")
        cycle.expected_content_length -= count
        await self._outlet.send(segment, offset, count)

    def abort(self) -> None:
        """See `PieceSender`."""
        # So that uvicorn does not report an unfinished response: it is meant to be.
        self._cycle.disconnected = True
        self._transport.abort()
