"""The limited store: so many calls at once, so many requests and bytes a second, and no more."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from forebay.model.ranges import ByteRange
from forebay.stores.contract import Chunk, Store
from forebay.stores.wrapped import Streams, Verb, WrappedStore, closing

Answer = TypeVar("Answer")
Sleep = Callable[[float], Awaitable[None]]

_BUDGETED: Final = frozenset({Verb.STAT, Verb.LIST})
"""Verbs that a scan asks by the thousand."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What we may ask of a store; None is without limit.

    Attributes:
        connections: calls at once that send a body, and as many that send none. They are counted
            apart because a copy through us holds one of each: counted together, as many copies as
            there are connections would wait for each other for ever.
        requests_per_second: `stat` and `list`.
        bytes_per_second: of all streams and bodies together.
    """

    connections: int = 64
    requests_per_second: float | None = None
    bytes_per_second: float | None = None


class Budget:
    """A token bucket that fills at `rate` a second and holds what one second brings.

    Whoever takes waits for what was taken before: first come, first served. Taking more than the
    bucket holds is allowed, and is paid by waiting.
    """

    def __init__(self, rate: float, clock: Callable[[], float], sleep: Sleep) -> None:
        if not rate > 0:
            raise ValueError(f"no budget: {rate}")
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        # When the bucket will have been empty: a full one lies one second in the past.
        self._empty_at = clock() - 1.0

    async def take(self, amount: float) -> None:
        """Take `amount`, as soon as it is there."""
        now = self._clock()
        self._empty_at = max(self._empty_at, now - 1.0) + amount / self._rate
        if self._empty_at > now:
            await self._sleep(self._empty_at - now)


class _Unlimited:
    """A budget of which there is enough."""

    async def take(self, amount: float) -> None:
        """Take `amount`."""


@dataclass(frozen=True, slots=True)
class _Gate:
    asking: asyncio.Semaphore
    sending: asyncio.Semaphore
    requests: Budget | _Unlimited
    traffic: Budget | _Unlimited

    async def call(self, verb: Verb, work: Callable[[], Awaitable[Answer]]) -> Answer:
        # The budget first: who waits for it holds no connection.
        if verb in _BUDGETED:
            await self.requests.take(1)
        async with self.asking:
            return await work()

    async def send(
        self,
        verb: Verb,
        body: AsyncIterator[Chunk],
        work: Callable[[AsyncIterator[Chunk]], Awaitable[Answer]],
    ) -> Answer:
        del verb

        async def paid() -> AsyncIterator[Chunk]:
            async for piece in body:
                await self.traffic.take(len(piece))
                yield piece

        async with self.sending:
            return await work(paid())

    async def stream(self, span: ByteRange, streams: Streams) -> AsyncIterator[Chunk]:
        async with self.asking, closing(streams(span)) as stream:
            async for piece in stream:
                await self.traffic.take(len(piece))
                yield piece


def limited(
    store: Store,
    limits: Limits,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> WrappedStore:
    """The store, asked no more than `limits` allow; who asks more waits its turn.

    A stream holds its connection until its last piece, or until it is closed.
    """

    def budget(rate: float | None) -> Budget | _Unlimited:
        return _Unlimited() if rate is None else Budget(rate, clock, sleep)

    gate = _Gate(
        asking=asyncio.Semaphore(limits.connections),
        sending=asyncio.Semaphore(limits.connections),
        requests=budget(limits.requests_per_second),
        traffic=budget(limits.bytes_per_second),
    )
    return WrappedStore(store, gate)
