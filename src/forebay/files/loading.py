"""A load: files brought into the cache, several at a time, telling how far it is."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from forebay.files.status import LakeStatus
from forebay.files.usage import Step
from forebay.model.errors import FileMissing
from forebay.model.paths import LakePath

AT_A_TIME: Final = 32
"""Files that are loaded at a time: small ones wait for the index, which enters many together.

Large ones do not crowd the store: the cache bounds the ranges that are under way.
"""

_MOST_WAITING: Final = 10_000

LoadOne = Callable[[LakeStatus, Callable[[int], None]], Awaitable[None]]
"""Loads one file, telling how many of its bytes are held until now."""


class Loading:
    """Loads the files that are wanted.

    Args:
        wanted: the files; read on while others are loaded, so that the totals are known early.
        load_one: loads one of them.
    """

    def __init__(self, wanted: AsyncGenerator[LakeStatus, None], load_one: LoadOne) -> None:
        self._wanted = wanted
        self._load_one = load_one
        self._waiting: asyncio.Queue[LakeStatus | None] = asyncio.Queue(_MOST_WAITING)
        self._moved = asyncio.Event()
        self._path: LakePath | None = None
        self._files = 0
        self._bytes = 0
        self._total_files = 0
        self._total_bytes = 0

    async def steps(self) -> AsyncGenerator[Step, None]:
        """How far it is, whenever that has changed since the last time; the last step is the end.

        Closing this stops the load.
        """
        work = asyncio.create_task(self._work())
        work.add_done_callback(lambda _: self._moved.set())
        try:
            while not work.done():
                await self._moved.wait()
                self._moved.clear()
                if self._path is not None:
                    yield self._step(self._path)
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _step(self, path: LakePath) -> Step:
        return Step(path, self._files, self._bytes, self._total_files, self._total_bytes)

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_A_TIME):
                    group.create_task(self._load())
                await self._read()
        except ExceptionGroup as group_of_errors:
            # The first one stopped the others.
            raise group_of_errors.exceptions[0] from None

    async def _read(self) -> None:
        async with aclosing(self._wanted) as wanted:
            async for status in wanted:
                self._total_files += 1
                self._total_bytes += status.size
                await self._waiting.put(status)
        for _ in range(AT_A_TIME):
            await self._waiting.put(None)

    async def _load(self) -> None:
        while (status := await self._waiting.get()) is not None:
            self._path = status.path
            told = 0

            def tell(held: int) -> None:
                nonlocal told
                # A load that began anew tells again what was told before.
                if held > told:
                    self._bytes += held - told
                    told = held
                    self._moved.set()

            try:
                await self._load_one(status, tell)
            except FileMissing:
                if self._total_files == 1:
                    raise
                # It vanished after its directory was read.
            tell(status.size)
            self._files += 1
            self._moved.set()
