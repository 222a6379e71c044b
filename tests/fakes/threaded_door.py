"""A scripted door in a thread of its own, for clients that wait for answers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.scripted_server import Scripted, ScriptedServer, answer


@contextmanager
def scripted_door(*script: Scripted) -> Iterator[ScriptedServer]:
    """The server, while it answers."""
    server = ScriptedServer(*script)
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def part(content: bytes, start: int, end: int, etag: str, *, then: str = "stay") -> Scripted:
    """The answer to a range of a file."""
    span = f"Content-Range: bytes {start}-{end - 1}/{len(content)}"
    return answer("206 Partial Content", content[start:end], span, f"ETag: {etag}", then=then)
