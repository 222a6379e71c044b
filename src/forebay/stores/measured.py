"""The measured store: how often it was asked, what it moved, how long it took."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from forebay.model.errors import ForebayError
from forebay.model.ranges import ByteRange
from forebay.stores.contract import Chunk, Store
from forebay.stores.wrapped import Streams, Verb, WrappedStore, closing

Answer = TypeVar("Answer")

CANCELLED = "cancelled"
"""Counted in the place of an error code when the caller gave up."""

OTHER = "other"
"""Counted in the place of an error code when the error was not the store's (a broken body)."""


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What was counted up to a moment.

    Attributes:
        requests: per verb; a stream is one `read`.
        bytes_read: that arrived from the store.
        bytes_written: that the store took from bodies.
        errors: per verb and code; `cancelled` and `other` stand where there is no code.
        seconds: per verb, waiting for the store alone.
    """

    requests: Mapping[Verb, int] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_written: int = 0
    errors: Mapping[tuple[Verb, str], int] = field(default_factory=dict)
    seconds: Mapping[Verb, float] = field(default_factory=dict)

    @property
    def all_requests(self) -> int:
        """The requests of all verbs."""
        return sum(self.requests.values())


class StoreCounters:
    """Counts for one store; it belongs to the event loop that asks the store."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again at nothing."""
        self._requests: Counter[Verb] = Counter()
        self._errors: Counter[tuple[Verb, str]] = Counter()
        self._seconds: dict[Verb, float] = {}
        self._bytes_read = 0
        self._bytes_written = 0

    def snapshot(self) -> StoreFigures:
        """What was counted until now."""
        return StoreFigures(
            dict(self._requests),
            self._bytes_read,
            self._bytes_written,
            dict(self._errors),
            dict(self._seconds),
        )

    def asked(self, verb: Verb) -> None:
        """A request goes out."""
        self._requests[verb] += 1

    def failed(self, verb: Verb, code: str) -> None:
        """A request ended with an error."""
        self._errors[verb, code] += 1

    def waited(self, verb: Verb, seconds: float) -> None:
        """The store let us wait that long."""
        self._seconds[verb] = self._seconds.get(verb, 0.0) + seconds

    def arrived(self, size: int) -> None:
        """Bytes came from the store."""
        self._bytes_read += size

    def taken(self, size: int) -> None:
        """The store took bytes from a body."""
        self._bytes_written += size


@dataclass(frozen=True, slots=True)
class _Measure:
    counters: StoreCounters
    clock: Callable[[], float]
    # Where ranges are pinned by the store, opening and verifying ask it nothing.
    free: frozenset[Verb]

    async def call(self, verb: Verb, work: Callable[[], Awaitable[Answer]]) -> Answer:
        if verb in self.free:
            return await work()
        self.counters.asked(verb)
        with self._timed(verb), self._noted(verb):
            return await work()

    async def send(
        self,
        verb: Verb,
        body: AsyncIterator[Chunk],
        work: Callable[[AsyncIterator[Chunk]], Awaitable[Answer]],
    ) -> Answer:
        self.counters.asked(verb)
        away = 0.0

        async def counted() -> AsyncIterator[Chunk]:
            nonlocal away
            asked_at = self.clock()
            async for piece in body:
                away += self.clock() - asked_at
                self.counters.taken(len(piece))
                yield piece
                asked_at = self.clock()
            away += self.clock() - asked_at

        begun_at = self.clock()
        try:
            with self._noted(verb):
                return await work(counted())
        finally:
            # The time that the body itself took is not the store's.
            self.counters.waited(verb, self.clock() - begun_at - away)

    async def stream(self, span: ByteRange, streams: Streams) -> AsyncIterator[Chunk]:
        self.counters.asked(Verb.READ)
        async with closing(streams(span)) as stream:
            while True:
                with self._timed(Verb.READ), self._noted(Verb.READ):
                    piece = await anext(stream, None)
                if piece is None:
                    return
                self.counters.arrived(len(piece))
                yield piece

    @contextmanager
    def _timed(self, verb: Verb) -> Iterator[None]:
        begun_at = self.clock()
        try:
            yield
        finally:
            self.counters.waited(verb, self.clock() - begun_at)

    @contextmanager
    def _noted(self, verb: Verb) -> Iterator[None]:
        try:
            yield
        except ForebayError as error:
            self.counters.failed(verb, error.code)
            raise
        except Exception:
            self.counters.failed(verb, OTHER)
            raise
        except BaseException:
            self.counters.failed(verb, CANCELLED)
            raise


def measured(
    store: Store, counters: StoreCounters, *, clock: Callable[[], float] = time.monotonic
) -> WrappedStore:
    """The store, with what goes to it counted in `counters`."""
    free = frozenset({Verb.OPEN, Verb.VERIFY} if store.abilities.pinned_ranges else ())
    return WrappedStore(store, _Measure(counters, clock, free))
