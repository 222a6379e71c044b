"""The stack: each try is a request, a waiting retry holds no connection."""

import asyncio
from datetime import timedelta

import pytest

from forebay.model.errors import StoreAway
from forebay.model.paths import StoreKey
from forebay.model.ranges import whole
from forebay.stores.contract import WriteOptions, pieces, read
from forebay.stores.limited import Limits
from forebay.stores.measured import StoreCounters
from forebay.stores.memory import MemoryStore
from forebay.stores.punctual import Deadlines
from forebay.stores.retrying import Patience
from forebay.stores.stack import StackOptions, stacked
from forebay.stores.wrapped import Verb
from tests.fakes.faulty import Fault, FaultyStore

A = StoreKey("a")
AT_ONCE = Patience(first_wait=timedelta(0))


async def test_each_try_is_counted() -> None:
    counters = StoreCounters()
    faulty = FaultyStore(MemoryStore()).fail(Verb.READ, Fault.RESET, [1])
    store = stacked(faulty, StackOptions(patience=AT_ONCE), counters)
    status = await store.write(A, pieces(b"0123456789"), WriteOptions())
    assert await read(store, status, whole(10)) == b"0123456789"
    figures = counters.snapshot()
    assert figures.requests == {Verb.WRITE: 1, Verb.READ: 2}
    assert figures.errors == {(Verb.READ, "store-away"): 1}
    assert figures.bytes_read == 10


async def test_silence_is_counted_as_the_store_being_away_and_tried_again() -> None:
    counters = StoreCounters()
    faulty = FaultyStore(MemoryStore()).fail(Verb.STAT, Fault.STALL, [1])
    options = StackOptions(patience=AT_ONCE, deadlines=Deadlines(timedelta(milliseconds=1)))
    store = stacked(faulty, options, counters)
    await store.make_directory(StoreKey("d"))
    assert (await store.stat(StoreKey("d"))).is_directory
    assert counters.snapshot().errors == {(Verb.STAT, "store-away"): 1}


async def test_a_retry_that_waits_holds_no_connection() -> None:
    faulty = FaultyStore(MemoryStore()).fail(Verb.DIGEST, Fault.BUSY)
    # The retry waits for minutes of real time; it is cancelled long before.
    options = StackOptions(
        patience=Patience(timedelta(hours=1), timedelta(hours=1)), limits=Limits(connections=1)
    )
    store = stacked(faulty, options, StoreCounters())
    await store.write(A, pieces(b"x"), WriteOptions())
    waiting = asyncio.create_task(store.digest(A))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert (await store.stat(A)).size == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_store_that_stays_away_is_away() -> None:
    faulty = FaultyStore(MemoryStore()).fail(Verb.LIST, Fault.AWAY)
    store = stacked(faulty, StackOptions(patience=Patience(timedelta(0))), StoreCounters())
    with pytest.raises(StoreAway):
        await store.list(StoreKey(""))
