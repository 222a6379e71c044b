"""The limited store asks no more than it may."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model.paths import StoreKey
from forebay.model.ranges import whole
from forebay.model.status import FileStatus
from forebay.stores.contract import WriteOptions, pieces, read
from forebay.stores.limited import Budget, Limits, limited
from forebay.stores.memory import MemoryStore
from forebay.stores.wrapped import Verb, closing
from tests.fakes.clock import FakeClock
from tests.fakes.faulty import Fault, FaultyStore

A = StoreKey("a")


class Crowded(MemoryStore):
    """A memory store that sees how many look at once."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.most = 0

    async def stat(self, key: StoreKey) -> FileStatus:
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(3):
            await asyncio.sleep(0)
        self.inside -= 1
        return await super().stat(key)


async def test_no_more_calls_at_once_than_connections() -> None:
    crowded = Crowded()
    await crowded.write(A, pieces(b"x"), WriteOptions())
    store = limited(crowded, Limits(connections=3))
    await asyncio.gather(*(store.stat(A) for _ in range(20)))
    assert crowded.most == 3


async def test_a_stream_gives_its_connection_back_when_it_is_closed() -> None:
    store = limited(MemoryStore(), Limits(connections=1))
    status = await store.write(A, pieces(bytes(3 << 20)), WriteOptions())
    reader = await store.open(status)
    stream = reader.stream(whole(status.size))
    await anext(stream)
    waiting = asyncio.create_task(store.stat(A))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    await stream.aclose()  # type: ignore[attr-defined]
    assert (await waiting).size == status.size


async def test_a_stream_that_is_given_up_is_closed_at_once() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    stream = chunks()
    async with closing(stream):
        assert await anext(stream) == b"one"
    assert await anext(stream, None) is None


async def test_a_failed_call_gives_its_connection_back() -> None:
    faulty = FaultyStore(MemoryStore()).fail(Verb.STAT, Fault.AWAY)
    store = limited(faulty, Limits(connections=1))
    answers = await asyncio.gather(*(store.stat(A) for _ in range(5)), return_exceptions=True)
    assert len(answers) == 5


async def test_a_copy_through_us_needs_one_connection_of_each_kind() -> None:
    store = limited(MemoryStore(), Limits(connections=1))
    status = await store.write(A, pieces(b"hello"), WriteOptions())
    reader = await store.open(status)
    copy = await store.write(StoreKey("b"), reader.stream(whole(5)), WriteOptions())
    assert await read(store, copy, whole(5)) == b"hello"


async def test_stats_and_lists_share_a_budget_of_requests() -> None:
    clock = FakeClock()
    store = limited(MemoryStore(), Limits(requests_per_second=10), clock=clock, sleep=clock.sleep)
    await store.write(A, pieces(b"x"), WriteOptions())
    begun_at = clock.time
    for _ in range(15):
        await store.stat(A)
        await store.list(StoreKey(""))
    # The bucket was full: ten at once, the other twenty at ten a second.
    assert clock.time - begun_at == pytest.approx(2.0)


async def test_other_verbs_cost_no_requests_of_the_budget() -> None:
    clock = FakeClock()
    store = limited(MemoryStore(), Limits(requests_per_second=1), clock=clock, sleep=clock.sleep)
    for _ in range(10):
        status = await store.write(A, pieces(b"x"), WriteOptions())
        await read(store, status, whole(1))
    assert clock.slept == []


async def test_all_streams_and_bodies_share_a_bandwidth() -> None:
    clock = FakeClock()
    mebibyte = 1 << 20
    store = limited(
        MemoryStore(), Limits(bytes_per_second=mebibyte), clock=clock, sleep=clock.sleep
    )
    begun_at = clock.time
    status = await store.write(A, pieces(*[bytes(mebibyte)] * 3), WriteOptions())
    await read(store, status, whole(status.size))
    # Six mebibytes, of which the full bucket gave the first.
    assert clock.time - begun_at == pytest.approx(5.0)


async def test_a_piece_larger_than_the_bucket_is_paid_by_waiting() -> None:
    clock = FakeClock()
    budget = Budget(100, clock, clock.sleep)
    await budget.take(1000)
    assert clock.slept == [pytest.approx(9.0)]


async def test_no_rate_is_no_budget() -> None:
    with pytest.raises(ValueError, match="no budget"):
        Budget(0, FakeClock(), asyncio.sleep)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=30))
def test_a_budget_is_never_exceeded(takes: list[tuple[float, int]]) -> None:
    rate = 20.0

    async def spend() -> list[tuple[float, int]]:
        clock = FakeClock()
        budget = Budget(rate, clock, clock.sleep)
        given: list[tuple[float, int]] = []
        for pause, amount in takes:
            clock.time += pause
            await budget.take(amount)
            given.append((clock.time, amount))
        return given

    given = asyncio.run(spend())
    for first in range(len(given)):
        for last in range(first, len(given)):
            seconds = given[last][0] - given[first][0]
            spent = sum(amount for _, amount in given[first + 1 : last + 1])
            assert spent <= rate * (seconds + 1.0) + 1e-6


async def test_waiting_for_the_budget_can_be_cancelled() -> None:
    async def for_ever(seconds: float) -> None:
        assert seconds > 0
        await asyncio.Event().wait()

    clock = FakeClock()
    store = limited(MemoryStore(), Limits(1, bytes_per_second=1), clock=clock, sleep=for_ever)

    async def body() -> AsyncIterator[bytes]:
        yield bytes(100)

    task = asyncio.create_task(store.write(A, body(), WriteOptions()))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.list(StoreKey(""))).entries == ()
