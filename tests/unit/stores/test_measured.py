"""The measured store counts what really goes to the store."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from forebay.model.errors import FileMissing, StoreAway
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange, whole
from forebay.stores.contract import WriteOptions, pieces, read
from forebay.stores.measured import CANCELLED, OTHER, StoreCounters, StoreFigures, measured
from forebay.stores.memory import MemoryStore
from forebay.stores.wrapped import Verb
from tests.fakes.clock import FakeClock
from tests.fakes.faulty import Fault, FaultyStore

A = StoreKey("a")


async def test_a_read_on_a_store_with_pinned_ranges_is_one_request() -> None:
    counters = StoreCounters()
    store = measured(MemoryStore(), counters)
    status = await store.write(A, pieces(b"hello", b"world"), WriteOptions())
    await read(store, status, ByteRange(2, 9))
    figures = counters.snapshot()
    assert figures.requests == {Verb.WRITE: 1, Verb.READ: 1}
    assert (figures.bytes_read, figures.bytes_written) == (7, 10)
    assert figures.all_requests == 2


async def test_elsewhere_opening_and_verifying_are_requests_too() -> None:
    counters = StoreCounters()
    store = measured(MemoryStore(real_directories=True), counters)
    status = await store.write(A, pieces(b"hello"), WriteOptions())
    counters.reset()
    await read(store, status, whole(5))
    assert counters.snapshot().requests == {Verb.OPEN: 1, Verb.READ: 1, Verb.VERIFY: 1}


async def test_errors_are_counted_by_verb_and_code() -> None:
    counters = StoreCounters()
    faulty = FaultyStore(MemoryStore()).fail(Verb.LIST, Fault.AWAY)
    store = measured(faulty, counters)
    with pytest.raises(FileMissing):
        await store.stat(A)
    with pytest.raises(StoreAway):
        await store.list(StoreKey(""))
    figures = counters.snapshot()
    assert figures.errors == {(Verb.STAT, "file-missing"): 1, (Verb.LIST, "store-away"): 1}
    assert figures.requests == {Verb.STAT: 1, Verb.LIST: 1}


async def test_a_stream_that_breaks_counts_what_arrived() -> None:
    counters = StoreCounters()
    store = measured(FaultyStore(MemoryStore()).fail(Verb.READ, Fault.RESET), counters)
    status = await store.write(A, pieces(b"0123456789"), WriteOptions())
    with pytest.raises(StoreAway):
        await read(store, status, whole(10))
    figures = counters.snapshot()
    assert figures.bytes_read == 5
    assert figures.errors == {(Verb.READ, "store-away"): 1}


async def test_a_body_of_ours_that_breaks_is_no_error_of_the_store() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    counters = StoreCounters()
    with pytest.raises(ZeroDivisionError):
        await measured(MemoryStore(), counters).write(A, broken(), WriteOptions())
    assert counters.snapshot().errors == {(Verb.WRITE, OTHER): 1}
    assert counters.snapshot().bytes_written == 4


async def test_a_cancelled_call_is_counted_as_such() -> None:
    counters = StoreCounters()
    store = measured(FaultyStore(MemoryStore()).fail(Verb.STAT, Fault.STALL), counters)
    task = asyncio.create_task(store.stat(A))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert counters.snapshot().errors == {(Verb.STAT, CANCELLED): 1}


async def test_only_waiting_for_the_store_takes_time() -> None:
    clock = FakeClock()

    class Slow(MemoryStore):
        async def digest(self, key: StoreKey) -> None:
            assert key == A
            await clock.sleep(3)

    async def slow_body() -> AsyncIterator[bytes]:
        for _ in range(4):
            await clock.sleep(10)
            yield b"x"

    counters = StoreCounters()
    store = measured(Slow(), counters, clock=clock)
    await store.digest(A)
    status = await store.write(A, slow_body(), WriteOptions())
    reader = await store.open(status)
    async for _ in reader.stream(whole(4)):
        await clock.sleep(100)
    seconds = counters.snapshot().seconds
    assert seconds[Verb.DIGEST] == 3
    assert seconds[Verb.WRITE] == 0
    assert seconds[Verb.READ] == 0


async def test_counters_begin_anew_after_a_reset_and_old_figures_stay() -> None:
    counters = StoreCounters()
    store = measured(MemoryStore(), counters)
    await store.write(A, pieces(b"x"), WriteOptions())
    before = counters.snapshot()
    counters.reset()
    assert counters.snapshot() == StoreFigures()
    assert before.bytes_written == 1
