"""A walk: everything below a directory in whole-path order, looking a few directories ahead."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from forebay.files.lookups import after_in
from forebay.files.status import LakePage, LakeStatus
from forebay.model.errors import FileMissing, NotADirectory
from forebay.model.paths import LakePath

LOOK_AHEAD: Final = 8
"""Directories whose first pages are asked for before the walk comes to them."""

PageOf = Callable[[LakePath, str], Awaitable[LakePage]]
"""A page of a directory, after a path."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One step of a walk. `is_empty`: a directory with nothing in it."""

    status: LakeStatus
    is_empty: bool = False


@dataclass(slots=True)
class _Level:
    """A directory that the walk is in: one page of it at a time."""

    directory: LakePath
    next_after: str | None
    entries: deque[LakeStatus] = field(default_factory=deque)
    upcoming: deque[LakePath] = field(default_factory=deque)

    def take(self, page: LakePage) -> None:
        """Go on with another page."""
        self.next_after = page.next_after
        self.entries.extend(page.entries)
        self.upcoming.extend(entry.path for entry in page.entries if entry.is_directory)

    def entered(self, directory: LakePath) -> None:
        """The walk has come to one of its directories."""
        if self.upcoming and self.upcoming[0] == directory:
            self.upcoming.popleft()


class Walk:
    """Visits all below a directory, a directory before what is in it. For one use.

    It holds one page for each level of depth. What vanishes meanwhile is passed over.

    Args:
        page_of: where pages come from.
        directory: where the walk begins.
        after: the path after which it begins (see `LakePage.next_after`).
        most: files and empty directories that are wanted; None: all. Nothing beyond is asked for
            ahead.
    """

    def __init__(
        self, page_of: PageOf, directory: LakePath, after: str = "", most: int | None = None
    ) -> None:
        self._page_of = page_of
        self._directory = directory
        self._after = after
        self._low = after.encode()
        self._left = most
        self._levels: list[_Level] = []
        self._ahead: dict[LakePath, asyncio.Future[LakePage]] = {}

    async def visits(self) -> AsyncGenerator[Visit, None]:
        """Files and directories in whole-path order.

        Raises FileMissing, NotADirectory for the directory itself, StoreAway.
        """
        if after_in(self._directory, self._after) is None:
            return
        page = await self._page_of(self._directory, _before(self._directory, self._after))
        self._descend(self._directory, page)
        try:
            while self._levels:
                visit = await self._step()
                if visit is not None:
                    if self._left is not None and (visit.status.is_file or visit.is_empty):
                        self._left -= 1
                    yield visit
        finally:
            await self._stop()

    async def _step(self) -> Visit | None:
        level = self._levels[-1]
        if not level.entries:
            await self._turn(level)
            return None
        entry = level.entries.popleft()
        is_after = not self._after or entry.order > self._low
        if entry.is_file:
            return Visit(entry) if is_after else None
        level.entered(entry.path)
        if not is_after and not self._low.startswith(entry.order):
            return None
        page = await self._first_page(entry.path, "" if is_after else self._after)
        if page is None:
            return None
        is_empty = not page.entries and page.next_after is None
        if not is_empty:
            self._descend(entry.path, page)
        self._look_ahead()
        return Visit(entry, is_empty=is_empty) if is_after else None

    def _descend(self, directory: LakePath, page: LakePage) -> None:
        level = _Level(directory, None)
        level.take(page)
        self._levels.append(level)

    async def _turn(self, level: _Level) -> None:
        """To the next page of the deepest directory, or out of it."""
        if level.next_after is None:
            self._levels.pop()
            return
        try:
            level.take(await self._page_of(level.directory, level.next_after))
        except (FileMissing, NotADirectory):
            self._levels.pop()

    async def _first_page(self, directory: LakePath, after: str) -> LakePage | None:
        """The first page of a directory; None if it is gone."""
        begin = _before(directory, after)
        task = self._ahead.pop(directory, None)
        try:
            if task is None or begin:
                return await self._page_of(directory, begin)
            return await task
        except (FileMissing, NotADirectory):
            return None

    def _look_ahead(self) -> None:
        """Ask for the directories that come next, the nearest first."""
        nearer = 0
        for level in reversed(self._levels):
            most = LOOK_AHEAD if self._left is None else min(LOOK_AHEAD, self._left - nearer)
            while level.upcoming and len(self._ahead) < most:
                directory = level.upcoming.popleft()
                task = asyncio.ensure_future(self._page_of(directory, ""))
                task.add_done_callback(_look_at)
                self._ahead[directory] = task
            nearer += len(level.entries)

    async def _stop(self) -> None:
        for task in self._ahead.values():
            task.cancel()
        await asyncio.gather(*self._ahead.values(), return_exceptions=True)
        self._ahead.clear()


def _before(directory: LakePath, after: str) -> str:
    """Where a page of `directory` must begin so that nothing after `after` is passed over.

    What lies deeper than this directory comes after its directory, which therefore is shown again.
    """
    begin = after_in(directory, after) or ""
    name, slash, _ = begin.partition("/")
    return after[: len(after) - len(begin)] + name if slash else after if begin else ""


def _look_at(task: asyncio.Future[LakePage]) -> None:
    """An error of a page that the walk never comes to is no error."""
    if not task.cancelled():
        task.exception()
