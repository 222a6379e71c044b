"""A scripted server: answers each request with the bytes it is told to, and keeps what it heard."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer: its bytes, and what happens to the connection after them."""

    wire: bytes
    then: str = "stay"


HANG = Scripted(b"", "hang")
RESET = Scripted(b"", "reset")


def answer(
    status: str, body: bytes = b"", *headers: str, length: int | None = None, then: str = "stay"
) -> Scripted:
    """A whole answer; `length` is announced instead of the body's own."""
    announced = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {announced}", *headers]
    return Scripted("\r\n".join([*lines, "", ""]).encode() + body, then)


def error(status: str, code: str, message: str = "because") -> Scripted:
    """An S3 error document."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return answer(status, text.encode())


class ScriptedServer:
    """Answers in the order of the script; the last answer is given again and again."""

    def __init__(self, *script: Scripted) -> None:
        self.script: Sequence[Scripted] = script
        self.heard: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def endpoint(self) -> str:
        """The address that clients are given."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

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
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lengths = [line for line in head.lower().split("\r\n") if line.startswith("content-length")]
        body = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b""
        number = len(self.heard)
        self.heard.append(head + body.decode("latin-1"))
        scripted = self.script[min(number, len(self.script) - 1)]
        writer.write(scripted.wire)
        await writer.drain()
        if scripted.then == "hang":
            await asyncio.Event().wait()
        if scripted.then == "reset":
            writer.transport.abort()
        return scripted.then == "stay"
