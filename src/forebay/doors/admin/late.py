"""The late application: one that takes long to load, loaded when it is needed or nobody waits.

A node serves reads as soon as it can; the library behind its admin API would hold that up.
"""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send


class LateApplication:
    """Hands requests to the application that `load` makes, once; loads in a thread.

    Args:
        load: makes the application; may take long.
    """

    def __init__(self, load: Callable[[], ASGIApp]) -> None:
        self._load = load
        self._loading: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as soon as there is somebody to answer it."""
        application = await self.loaded()
        await application(scope, receive, send)

    async def loaded(self) -> ASGIApp:
        """The application; loaded now, if it is not."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
        # A request that is given up must not take the loading with it.
        return await asyncio.shield(self._loading)
