"""The punctual store: one that answers in time, or is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from forebay.model.errors import StoreAway
from forebay.model.generation import StoreIdentity
from forebay.model.ranges import ByteRange
from forebay.stores.contract import Chunk, Store
from forebay.stores.wrapped import Streams, Verb, WrappedStore, closing

Answer = TypeVar("Answer")

_LENGTHY: Final = frozenset({Verb.COPY, Verb.RENAME, Verb.COMPLETE_UPLOAD})
"""Verbs whose work at the store may grow with the size of the file."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a store may keep us waiting.

    Attributes:
        call: for an answer, or for the next piece of a stream, or to take a piece of a body.
        lengthy: for the answer to a copy, a rename, a completed upload.
    """

    call: timedelta = timedelta(seconds=30)
    lengthy: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Watch:
    identity: StoreIdentity
    deadlines: Deadlines
    timeout: Callable[[float | None], asyncio.Timeout]

    async def call(self, verb: Verb, work: Callable[[], Awaitable[Answer]]) -> Answer:
        limit = self.timeout(self._seconds(verb))
        with self._silence(verb, limit):
            async with limit:
                return await work()

    async def send(
        self,
        verb: Verb,
        body: AsyncIterator[Chunk],
        work: Callable[[AsyncIterator[Chunk]], Awaitable[Answer]],
    ) -> Answer:
        seconds = self._seconds(verb)
        limit = self.timeout(seconds)
        clock = asyncio.get_running_loop().time

        async def watched() -> AsyncIterator[Chunk]:
            # While we wait for the body the store owes us nothing; then it has its time again.
            limit.reschedule(None)
            async for piece in body:
                limit.reschedule(clock() + seconds)
                yield piece
                limit.reschedule(None)
            limit.reschedule(clock() + seconds)

        with self._silence(verb, limit):
            async with limit:
                return await work(watched())

    async def stream(self, span: ByteRange, streams: Streams) -> AsyncIterator[Chunk]:
        async with closing(streams(span)) as stream:
            while True:
                limit = self.timeout(self._seconds(Verb.READ))
                with self._silence(Verb.READ, limit):
                    async with limit:
                        piece = await anext(stream, None)
                if piece is None:
                    return
                yield piece

    def _seconds(self, verb: Verb) -> float:
        lengthy = verb in _LENGTHY
        return (self.deadlines.lengthy if lengthy else self.deadlines.call).total_seconds()

    @contextmanager
    def _silence(self, verb: Verb, limit: asyncio.Timeout) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            seconds = self._seconds(verb)
            raise StoreAway(
                self.identity, f"no answer to {verb.value!r} for {seconds:g} seconds"
            ) from error


def punctual(
    store: Store,
    deadlines: Deadlines,
    *,
    timeout: Callable[[float | None], asyncio.Timeout] = asyncio.timeout,
) -> WrappedStore:
    """The store, whose silence is `StoreAway` after the deadline.

    A stream may take as long as it likes while its pieces keep coming, and so may a write while
    the store takes the pieces of its body.
    """
    return WrappedStore(store, _Watch(store.identity, deadlines, timeout))
