"""The retrying store asks again when that may help, and goes on where a stream broke."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model.conditions import IfAbsent
from forebay.model.errors import (
    ConditionFailed,
    FileMissing,
    GenerationGone,
    StoreAway,
    StoreBusy,
    StoreLied,
    StoreRefused,
)
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange, whole
from forebay.stores.contract import Chunk, Store, WriteOptions, pieces, read
from forebay.stores.memory import MemoryStore
from forebay.stores.retrying import Patience, Surroundings, retrying
from forebay.stores.wrapped import Verb
from tests.fakes.clock import FakeClock
from tests.fakes.faulty import Fault, FaultyStore

A = StoreKey("a")
B = StoreKey("b")
CONTENT = b"0123456789"
PATIENCE = Patience(timedelta(seconds=10), timedelta(seconds=1), timedelta(seconds=3))


class Retried:
    """A retrying store over a faulty one, by a fake clock, in which chance is as given."""

    def __init__(self, faulty: FaultyStore, chance: float = 1.0) -> None:
        self.faulty = faulty
        self.clock = FakeClock()
        surroundings = Surroundings(self.clock, self.clock.sleep, lambda: chance)
        self.store: Store = retrying(faulty, PATIENCE, surroundings)


async def retried(chance: float = 1.0) -> Retried:
    memory = MemoryStore()
    await memory.write(A, pieces(CONTENT), WriteOptions())
    return Retried(FaultyStore(memory), chance)


@pytest.mark.parametrize("fault", [Fault.AWAY, Fault.BUSY])
async def test_a_call_is_asked_again_until_it_succeeds(fault: Fault) -> None:
    lake = await retried()
    lake.faulty.fail(Verb.STAT, fault, [1, 2])
    assert (await lake.store.stat(A)).size == 10
    assert lake.faulty.calls[Verb.STAT] == 3
    assert lake.clock.slept == [1, 2]


async def test_waits_double_up_to_the_longest_and_end_with_the_deadline() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.STAT, Fault.AWAY)
    with pytest.raises(StoreAway):
        await lake.store.stat(A)
    # 1 + 2 + 3 + 3 seconds; the next try would begin after ten.
    assert lake.clock.slept == [1, 2, 3, 3]
    assert lake.faulty.calls[Verb.STAT] == 5


@given(chance=st.floats(0, 1, exclude_max=True))
def test_chance_spreads_the_waits_but_never_beyond_the_longest(chance: float) -> None:
    async def tried() -> list[float]:
        lake = await retried(chance)
        lake.faulty.fail(Verb.STAT, Fault.AWAY, [1, 2, 3])
        await lake.store.stat(A)
        return lake.clock.slept

    assert asyncio.run(tried()) == [chance * 1, chance * 2, chance * 3]


async def test_an_answer_is_not_asked_for_again() -> None:
    lake = await retried()
    with pytest.raises(FileMissing):
        await lake.store.stat(B)
    with pytest.raises(ConditionFailed):
        await lake.store.copy(A, A, IfAbsent())
    assert lake.faulty.calls == {Verb.STAT: 1, Verb.COPY: 1}
    assert lake.clock.slept == []


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.SHORT_BODY])
async def test_a_stream_goes_on_at_the_byte_where_it_broke(fault: Fault) -> None:
    lake = await retried()
    lake.faulty.fail(Verb.READ, fault, [1, 2])
    status = await lake.store.stat(A)
    assert await read(lake.store, status, ByteRange(1, 10)) == CONTENT[1:]
    assert lake.faulty.calls[Verb.READ] == 3


async def test_a_stream_goes_on_only_in_the_same_generation() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.READ, Fault.RESET, [1])
    reader = await lake.store.open(await lake.store.stat(A))
    stream = reader.stream(whole(10))
    assert await anext(stream) == CONTENT[:5]
    await lake.faulty.write(A, pieces(b"ABCDEFGHIJ"), WriteOptions())
    with pytest.raises(GenerationGone):
        await anext(stream)


async def test_pieces_that_arrive_give_a_stream_its_patience_back() -> None:
    lake = await retried()
    status = await lake.store.stat(A)
    # Each reading gives half of what is left, and then breaks.
    lake.faulty.fail(Verb.READ, Fault.RESET, [1, 2, 3])
    assert await read(lake.store, status, whole(10)) == CONTENT
    assert lake.clock.slept == [1, 1, 1]


async def test_a_stream_that_never_gets_on_ends() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.READ, Fault.AWAY)
    with pytest.raises(StoreAway):
        await read(lake.store, await lake.store.stat(A), whole(10))
    assert lake.faulty.calls[Verb.READ] == 5


async def test_more_bytes_than_asked_for_are_a_lie() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.READ, Fault.LONG_BODY)
    with pytest.raises(StoreLied):
        await read(lake.store, await lake.store.stat(A), whole(10))
    assert lake.faulty.calls[Verb.READ] == 1


async def test_a_write_of_which_nothing_was_taken_is_asked_again() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.WRITE, Fault.BUSY, [1, 2])
    await lake.store.write(B, pieces(b"new"), WriteOptions())
    assert await read(lake.faulty, await lake.faulty.stat(B), whole(3)) == b"new"
    assert lake.faulty.calls[Verb.WRITE] == 3


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.LOST_ANSWER])
async def test_a_write_is_not_asked_again_once_its_body_was_touched(fault: Fault) -> None:
    lake = await retried()
    lake.faulty.fail(Verb.WRITE, fault, [1])
    with pytest.raises(StoreAway):
        await lake.store.write(B, pieces(b"new"), WriteOptions())
    assert lake.faulty.calls[Verb.WRITE] == 1


async def test_a_delete_whose_answer_was_lost_was_done() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.DELETE, Fault.LOST_ANSWER, [1])
    await lake.store.delete(A)
    with pytest.raises(FileMissing):
        await lake.store.stat(A)


async def test_a_delete_of_what_was_never_there_is_missing() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.DELETE, Fault.BUSY, [1])
    with pytest.raises(FileMissing):
        await lake.store.delete(B)


async def test_a_rename_is_repeated_when_busy_but_not_after_silence() -> None:
    lake = await retried()
    lake.faulty.fail(Verb.RENAME, Fault.BUSY, [1]).fail(Verb.RENAME, Fault.LOST_ANSWER, [3])
    await lake.store.rename(A, B)
    with pytest.raises(StoreAway):
        await lake.store.rename(B, A)
    assert lake.faulty.calls[Verb.RENAME] == 3
    assert (await lake.store.stat(A)).size == 10


async def test_refused_credentials_are_not_tried_again() -> None:
    class Refusing(MemoryStore):
        calls = 0

        async def check(self) -> dict[str, str]:
            self.calls += 1
            raise StoreRefused("store", "wrong key")

    store = Refusing()
    clock = FakeClock()
    with pytest.raises(StoreRefused):
        await retrying(store, PATIENCE, Surroundings(clock, clock.sleep)).check()
    assert store.calls == 1


async def test_an_error_of_the_body_passes_on_at_once() -> None:
    async def broken() -> AsyncIterator[Chunk]:
        yield b"x"
        raise StoreBusy("the source of the body", "slow down")

    lake = await retried()
    with pytest.raises(StoreBusy):
        await lake.store.write(B, broken(), WriteOptions())
    assert lake.faulty.calls[Verb.WRITE] == 1
