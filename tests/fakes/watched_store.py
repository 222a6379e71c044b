"""A store that counts what it is asked, can go away, and can be made to wait."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from forebay.model.errors import StoreAway
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Page
from forebay.stores.contract import Abilities, PinnedReader, StoreDigest
from forebay.stores.memory import MemoryStore

Answer = TypeVar("Answer")


class WatchedStore:
    """The reading verbs of a store in memory, watched.

    Attributes:
        inner: the store itself, for a stranger's hands.
        asked: how often each verb was asked.
        is_away: answer nothing but StoreAway.
        fails_after: with a number, be away after so many more answers.
    """

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.asked: Counter[str] = Counter()
        self.is_away = False
        self.fails_after: int | None = None
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def identity(self) -> StoreIdentity:
        """As the inner one's."""
        return self.inner.identity

    @property
    def abilities(self) -> Abilities:
        """As the inner one's."""
        return self.inner.abilities

    def hold(self) -> None:
        """Let whoever asks wait until `go`."""
        self._gate.clear()

    def go(self) -> None:
        """Answer those who wait."""
        self._gate.set()

    async def stat(self, key: StoreKey) -> FileStatus:
        """See the contract."""
        await self._asked("stat")
        return await self._held(self.inner.stat(key))

    async def list(
        self, directory: StoreKey, *, recursive: bool = False, after: str = "", most: int = 1000
    ) -> Page:
        """See the contract."""
        await self._asked("list")
        return await self._held(
            self.inner.list(directory, recursive=recursive, after=after, most=most)
        )

    async def open(self, status: FileStatus) -> PinnedReader:
        """See the contract."""
        await self._asked("open")
        return await self.inner.open(status)

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """See the contract."""
        await self._asked("digest")
        return await self.inner.digest(key)

    async def hosts(self, status: FileStatus) -> Sequence[str]:
        """See the contract."""
        await self._asked("hosts")
        return await self.inner.hosts(status)

    async def _held(self, asking: Awaitable[Answer]) -> Answer:
        """The answer is of before the wait, as an answer on its way is."""
        try:
            return await asking
        finally:
            await self._gate.wait()

    async def _asked(self, verb: str) -> None:
        self.asked[verb] += 1
        if self.fails_after is not None:
            self.is_away |= self.fails_after == 0
            self.fails_after -= 1
        if self.is_away:
            raise StoreAway(self.identity, "is away")
        await asyncio.sleep(0)
