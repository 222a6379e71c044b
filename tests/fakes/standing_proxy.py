"""A counting proxy in a thread of its own, for tests that have no event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.fakes.counting_proxy import CountingProxy


@contextmanager
def standing_proxy(upstream: str) -> Iterator[CountingProxy]:
    """A proxy before the server at the URL `upstream`."""
    parts = urlsplit(upstream)
    proxy = CountingProxy(parts.hostname or "", parts.port or 0)
    stands, may_go = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def stand() -> None:
        async with proxy:
            stands.set()
            await may_go.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(stand())

    thread = threading.Thread(target=run)
    thread.start()
    stands.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(may_go.set)
        thread.join(10)
