"""A gathering: one directory's whole listing, as it comes in page by page from the store."""

import asyncio
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from forebay.metadata.known import Known, KnownPage
from forebay.model.errors import ForebayError
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Page, order_of


class Pool:
    """How many entries all gatherings together may hold in memory."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> bool:
        """Take room for `count` entries; False if there is not so much."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """The entries are gone."""
        self._left += count


@dataclass(frozen=True, slots=True)
class Gathered:
    """A whole listing."""

    entries: tuple[FileStatus, ...]
    unaddressable: int


class Gathering:
    """Holds what came in until it is whole, and answers pages of it meanwhile.

    What is written or removed below the directory while it is gathered is overlaid: the store's
    pages may be older.

    Attributes:
        spoiled: it must not be remembered.
        task: what brings the pages in.
        count: entries that came in.

    Args:
        directory: whose listing it is.
        started: when, in seconds.
        pool: room for its entries.
    """

    def __init__(self, directory: StoreKey, started: float, pool: Pool) -> None:
        self.directory = directory
        self.started = started
        self.spoiled = False
        self.count = 0
        self.task: asyncio.Task[None] | None = None
        self._pool = pool
        self._taken = 0
        self._entries: list[FileStatus] = []
        self._orders: list[bytes] = []
        self._changes: dict[str, Known | None] = {}
        self._unaddressable = 0
        self._is_whole = False
        self._is_given_up = False
        self._error: ForebayError | None = None
        self._grown = asyncio.Event()

    @property
    def is_given_up(self) -> bool:
        """Whether it was too large to be held."""
        return self._is_given_up

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes in."""
        return self._is_whole or self._is_given_up or self._error is not None

    def add(self, page: Page) -> bool:
        """Take in the next page; False when there is no room, and the gathering is given up."""
        self.count += len(page.entries)
        if not self._pool.take(len(page.entries)):
            self._is_given_up = True
            self.release()
            self._entries, self._orders = [], []
            self._tell()
            return False
        self._taken += len(page.entries)
        self._entries.extend(page.entries)
        self._orders.extend(map(order_of, page.entries))
        self._unaddressable += page.unaddressable
        if page.next_after is None:
            self._is_whole = True
        self._tell()
        return True

    def fail(self, error: ForebayError) -> None:
        """The store broke off."""
        self._error = error
        self._tell()

    def change(self, name: str, known: Known | None) -> None:
        """`name` was written, or (None) removed, meanwhile."""
        self._changes[name] = known

    def spoil(self) -> None:
        """Something happened below that nobody knows the outcome of: nothing to remember."""
        self.spoiled = True

    def release(self) -> None:
        """Give the room back. Those who wait for a page may still be shown it."""
        self._pool.give_back(self._taken)
        self._taken = 0

    def gathered(self) -> Gathered:
        """The whole listing, as the store told it."""
        return Gathered(tuple(self._entries), self._unaddressable)

    async def page(self, after: str, most: int) -> Page | None:
        """A page as soon as it has come in; None when the gathering was given up.

        Raises what the store raised if the page had not come in before.
        """
        marker = after.encode()
        while not self.is_over and not self._reaches_beyond(marker):
            await self._grown.wait()
        if self._is_given_up:
            return None
        if self._error is not None and not self._reaches_beyond(marker):
            raise self._error
        start = bisect_right(self._orders, marker)
        stop = min(start + most, len(self._entries))
        is_last = self._is_whole and stop == len(self._entries)
        shown = self._entries[start:stop]
        next_after = None if is_last or not shown else self._orders[stop - 1].decode()
        return Page(tuple(shown), next_after, self._unaddressable)

    def overlaid(self, page: KnownPage, after: str) -> KnownPage:
        """The page with what was changed meanwhile."""
        if not self._changes:
            return page
        prefix = "" if self.directory.is_root else f"{self.directory.text}/"
        entries = [known for known in page.entries if known.status.key.name not in self._changes]
        orders = [order_of(known.status) for known in entries]
        low = max(after, prefix).encode()
        high = None if page.next_after is None else page.next_after.encode()
        for known in self._changes.values():
            if known is None:
                continue
            order = order_of(known.status)
            if order > low and (high is None or order <= high):
                at = bisect_left(orders, order)
                entries.insert(at, known)
                orders.insert(at, order)
        return KnownPage(tuple(entries), page.next_after, page.checked_at, page.unaddressable)

    def _reaches_beyond(self, marker: bytes) -> bool:
        return bool(self._orders) and self._orders[-1] > marker

    def _tell(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()
