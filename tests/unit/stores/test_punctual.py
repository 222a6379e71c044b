"""The punctual store takes silence for what it is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta

import pytest

from forebay.model.errors import StoreAway
from forebay.model.paths import StoreKey
from forebay.model.ranges import whole
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk, Store, WriteOptions, pieces
from forebay.stores.memory import MemoryStore
from forebay.stores.punctual import Deadlines, punctual
from forebay.stores.wrapped import Verb
from tests.fakes.faulty import Fault, FaultyStore

A = StoreKey("a")
DEADLINES = Deadlines(timedelta(seconds=30), timedelta(minutes=10))


class FakeTimeouts:
    """Makes timeouts that end when the test says so, and remembers what was asked for."""

    def __init__(self) -> None:
        self.made: list[asyncio.Timeout] = []
        self.seconds: list[float | None] = []

    def __call__(self, seconds: float | None) -> asyncio.Timeout:
        self.seconds.append(seconds)
        self.made.append(asyncio.timeout(seconds))
        return self.made[-1]

    @property
    def is_running(self) -> bool:
        """Whether the last one made would end by itself."""
        return self.made[-1].when() is not None

    def expire(self) -> None:
        """The last one made is over."""
        self.made[-1].reschedule(asyncio.get_running_loop().time())


async def a_punctual_store(faulty: FaultyStore, timeouts: FakeTimeouts) -> Store:
    await faulty.write(A, pieces(b"0123456789"), WriteOptions())
    return punctual(faulty, DEADLINES, timeout=timeouts)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("verb", "seconds"), [(Verb.STAT, 30), (Verb.COPY, 600), (Verb.RENAME, 600)]
)
async def test_a_store_that_does_not_answer_is_away(verb: Verb, seconds: float) -> None:
    timeouts = FakeTimeouts()
    store = await a_punctual_store(FaultyStore(MemoryStore()).fail(verb, Fault.STALL), timeouts)
    calls: dict[Verb, Callable[[], Coroutine[object, object, object]]] = {
        Verb.STAT: lambda: store.stat(A),
        Verb.COPY: lambda: store.copy(A, StoreKey("b")),
        Verb.RENAME: lambda: store.rename(A, StoreKey("b")),
    }
    task = asyncio.ensure_future(calls[verb]())
    await settled()
    assert timeouts.seconds == [seconds]
    timeouts.expire()
    with pytest.raises(StoreAway, match="no answer"):
        await task


async def test_a_stream_that_stalls_between_two_pieces_is_away() -> None:
    timeouts = FakeTimeouts()
    faulty = FaultyStore(MemoryStore()).fail(Verb.READ, Fault.STALL)
    store = await a_punctual_store(faulty, timeouts)
    reader = await store.open(await store.stat(A))
    stream = reader.stream(whole(10))
    assert await anext(stream) == b"01234"
    stalled = asyncio.ensure_future(anext(stream))
    await settled()
    timeouts.expire()
    with pytest.raises(StoreAway):
        await stalled


async def test_a_slow_reader_is_not_held_against_the_store() -> None:
    timeouts = FakeTimeouts()
    store = await a_punctual_store(FaultyStore(MemoryStore()), timeouts)
    reader = await store.open(await store.stat(A))
    stream = reader.stream(whole(10))
    await anext(stream)
    # Between two pieces no timeout is running: the last one has ended.
    with pytest.raises(RuntimeError):
        timeouts.expire()
    assert await anext(stream, None) is None


async def test_a_slow_body_is_not_held_against_the_store() -> None:
    timeouts = FakeTimeouts()
    store = await a_punctual_store(FaultyStore(MemoryStore()), timeouts)
    seen: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            seen.append(timeouts.is_running)
            yield b"x"

    await store.write(A, body(), WriteOptions())
    assert seen == [False, False, False]


async def test_a_store_that_takes_no_more_of_a_body_is_away() -> None:
    class Choking(MemoryStore):
        async def write(
            self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
        ) -> FileStatus:
            await anext(body)
            await asyncio.Event().wait()
            return await super().write(key, body, options)

    timeouts = FakeTimeouts()
    store = punctual(Choking(), DEADLINES, timeout=timeouts)
    task = asyncio.ensure_future(store.write(A, pieces(b"x", b"y"), WriteOptions()))
    await settled()
    assert timeouts.is_running
    timeouts.expire()
    with pytest.raises(StoreAway):
        await task


async def test_a_timeout_of_the_body_itself_passes_on() -> None:
    async def impatient() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError("the client went away")

    store = await a_punctual_store(FaultyStore(MemoryStore()), FakeTimeouts())
    with pytest.raises(TimeoutError, match="the client"):
        await store.write(A, impatient(), WriteOptions())
