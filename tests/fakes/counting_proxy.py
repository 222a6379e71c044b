"""A counting proxy: stands before a server, passes all bytes on, and writes down each request."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """The head of one request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


class CountingProxy:
    """Listens on loopback while entered; HTTP/1.1 with announced lengths only.

    The Host header passes unchanged, so that signatures hold: the server must accept it.
    """

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.requests: list[SeenRequest] = []

    @property
    def endpoint(self) -> str:
        """The address that clients are given."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def take(self) -> list[SeenRequest]:
        """The requests since the last call."""
        taken, self.requests = self.requests, []
        return taken

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        try:
            await asyncio.gather(self._requests(reader, up_writer), _pass_on(up_reader, writer))
        finally:
            for open_writer in (up_writer, writer):
                open_writer.close()

    async def _requests(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen = _parsed(head)
                self.requests.append(seen)
                upstream.write(head)
                missing = int(seen.headers.get("content-length", "0"))
                while missing:
                    piece = await reader.read(min(missing, _PIECE))
                    if not piece:
                        return
                    upstream.write(piece)
                    await upstream.drain()
                    missing -= len(piece)
                await upstream.drain()
        with suppress(OSError):
            upstream.write_eof()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


def _parsed(head: bytes) -> SeenRequest:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return SeenRequest(method, target, {name.lower(): value.strip() for name, _, value in pairs})
