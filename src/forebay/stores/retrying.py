"""The retrying store: one that is asked again when asking again may help."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar, cast

from forebay.model.errors import FileMissing, StoreAway, StoreBusy, StoreLied, StoreTrouble
from forebay.model.generation import StoreIdentity
from forebay.model.ranges import ByteRange
from forebay.stores.contract import Chunk, Store
from forebay.stores.wrapped import Streams, Verb, WrappedStore, closing

Answer = TypeVar("Answer")

_ONCE: Final = frozenset({Verb.RENAME, Verb.COMPLETE_UPLOAD})
"""Verbs that, done once, answer otherwise the second time: after silence the caller must look."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on asking.

    Attributes:
        deadline: no new try begins later than this after the first one; 0 is one try only.
        first_wait: the longest wait before the second try; it doubles with each.
        longest_wait: what the doubling ends at.
    """

    deadline: timedelta = timedelta(seconds=30)
    first_wait: timedelta = timedelta(milliseconds=100)
    longest_wait: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time, chance and waiting, as the retries see them."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    # Chance spreads the retries; nothing secret hangs on it.
    chance: Callable[[], float] = random.random


class _Tries:
    """The tries of one call; `pause` waits for the next one, or says that there is none."""

    def __init__(self, patience: Patience, surroundings: Surroundings) -> None:
        self._patience = patience
        self._surroundings = surroundings
        self.restart()

    def restart(self) -> None:
        """Count from here: something was achieved."""
        self._longest = self._patience.first_wait.total_seconds()
        self._ends_at = self._surroundings.clock() + self._patience.deadline.total_seconds()

    async def pause(self) -> bool:
        # Anything between nothing and the longest: clients that failed together come back apart.
        wait = self._surroundings.chance() * self._longest
        if self._surroundings.clock() + wait >= self._ends_at:
            return False
        self._longest = min(2 * self._longest, self._patience.longest_wait.total_seconds())
        await self._surroundings.sleep(wait)
        return True


class _Body:
    """A body that remembers whether it was asked for anything; it cannot be had a second time."""

    def __init__(self, body: AsyncIterator[Chunk]) -> None:
        self._body = body
        self.is_untouched = True

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        self.is_untouched = False
        return await anext(self._body)


@dataclass(frozen=True, slots=True)
class _Persistence:
    identity: StoreIdentity
    patience: Patience
    surroundings: Surroundings

    async def call(self, verb: Verb, work: Callable[[], Awaitable[Answer]]) -> Answer:
        tries = self._tries()
        was_silent = False
        while True:
            try:
                return await work()
            except StoreTrouble as error:
                was_silent = was_silent or isinstance(error, StoreAway)
                may_repeat = verb not in _ONCE or isinstance(error, StoreBusy)
                if not (error.retryable and may_repeat and await tries.pause()):
                    raise
            except FileMissing:
                if not (verb is Verb.DELETE and was_silent):
                    raise
                # It was removed by the try that we heard nothing of.
                return cast("Answer", None)

    async def send(
        self,
        verb: Verb,
        body: AsyncIterator[Chunk],
        work: Callable[[AsyncIterator[Chunk]], Awaitable[Answer]],
    ) -> Answer:
        del verb
        tries = self._tries()
        once = _Body(body)
        while True:
            try:
                return await work(once)
            except StoreTrouble as error:
                if not (error.retryable and once.is_untouched and await tries.pause()):
                    raise

    async def stream(self, span: ByteRange, streams: Streams) -> AsyncIterator[Chunk]:
        tries = self._tries()
        position = span.start
        while True:
            try:
                rest = ByteRange(position, span.end)
                async with closing(streams(rest)) as stream:
                    async for piece in stream:
                        position += len(piece)
                        self._must_not_exceed(position, span)
                        yield piece
                        tries.restart()
                self._must_be_all(position, span)
            except StoreTrouble as error:
                # With all bytes given there is nothing left to ask for: they were the wrong ones.
                is_hopeless = position >= span.end > span.start or not error.retryable
                if is_hopeless or not await tries.pause():
                    raise
            else:
                return

    def _tries(self) -> _Tries:
        return _Tries(self.patience, self.surroundings)

    def _must_not_exceed(self, position: int, span: ByteRange) -> None:
        if position > span.end:
            raise StoreLied(self.identity, f"more bytes than the {len(span)} asked for")

    def _must_be_all(self, position: int, span: ByteRange) -> None:
        if position < span.end:
            got = position - span.start
            raise StoreLied(self.identity, f"{got} bytes of {len(span)} asked for")


def retrying(
    store: Store, patience: Patience, surroundings: Surroundings | None = None
) -> WrappedStore:
    """The store, asked again after `StoreAway`, `StoreBusy` and `StoreLied`.

    - A stream goes on at the byte where it broke, of the same generation; each piece that arrives
      gives it its patience back.
    - A write is asked again only while nothing was taken from its body.
    - Renames and completed uploads are repeated only when the store was busy: after silence
      nobody knows whether they were done.
    - A delete that was answered with silence and then with `FileMissing` was done.
    """
    around = Surroundings() if surroundings is None else surroundings
    return WrappedStore(store, _Persistence(store.identity, patience, around))
