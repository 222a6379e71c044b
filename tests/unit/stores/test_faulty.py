"""The faulty store goes wrong as told, and only then."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from forebay.model.errors import FileMissing, GenerationGone, StoreAway, StoreBusy
from forebay.model.paths import StoreKey
from forebay.model.ranges import whole
from forebay.stores.contract import WriteOptions, pieces, read
from forebay.stores.memory import MemoryStore
from forebay.stores.wrapped import Verb
from tests.fakes.faulty import LOOKS_DIFFERENT, Fault, FaultyStore

A = StoreKey("a")
CONTENT = b"0123456789"


async def a_faulty_store() -> FaultyStore:
    memory = MemoryStore()
    await memory.write(A, pieces(CONTENT), WriteOptions())
    return FaultyStore(memory)


async def streamed(store: FaultyStore) -> bytes:
    reader = await store.open(await store.stat(A))
    return b"".join([bytes(piece) async for piece in reader.stream(whole(len(CONTENT)))])


async def never_ends(store: FaultyStore, verb: Verb) -> bool:
    """Whether the call still waits when the loop has nothing else to do."""
    calls: dict[Verb, Callable[[], Coroutine[object, object, object]]] = {
        Verb.STAT: lambda: store.stat(A),
        Verb.READ: lambda: streamed(store),
        Verb.WRITE: lambda: store.write(StoreKey("b"), pieces(b"xy", b"z"), WriteOptions()),
        Verb.DELETE: lambda: store.delete(A),
    }
    task = asyncio.ensure_future(calls[verb]())
    for _ in range(50):
        await asyncio.sleep(0)
    is_waiting = not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return is_waiting


async def test_without_a_script_all_is_well() -> None:
    store = await a_faulty_store()
    assert await streamed(store) == CONTENT
    assert store.calls == {Verb.STAT: 1, Verb.OPEN: 1, Verb.READ: 1}


async def test_only_the_named_calls_fail() -> None:
    store = (await a_faulty_store()).fail(Verb.STAT, Fault.AWAY, [2])
    await store.stat(A)
    with pytest.raises(StoreAway):
        await store.stat(A)
    await store.stat(A)


async def test_all_calls_fail_until_it_is_healed() -> None:
    store = (await a_faulty_store()).fail(Verb.DIGEST, Fault.BUSY)
    for _ in range(2):
        with pytest.raises(StoreBusy):
            await store.digest(A)
    store.heal()
    assert await store.digest(A) is not None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.SHORT_BODY, b"01234"),
        (Fault.LONG_BODY, b"0123456789\0"),
        (Fault.SHIFTED_RANGE, b"1234567890"),
        (Fault.BIT_FLIP, b"0123446789"),
    ],
)
async def test_a_stream_lies(fault: Fault, expected: bytes) -> None:
    store = (await a_faulty_store()).fail(Verb.READ, fault, [1])
    assert await streamed(store) == expected
    assert await streamed(store) == CONTENT


async def test_a_stream_breaks_in_the_middle() -> None:
    store = (await a_faulty_store()).fail(Verb.READ, Fault.RESET)
    reader = await store.open(await store.stat(A))
    stream = reader.stream(whole(len(CONTENT)))
    assert await anext(stream) == b"01234"
    with pytest.raises(StoreAway):
        await anext(stream)


@pytest.mark.parametrize("verb", [Verb.STAT, Verb.READ, Verb.WRITE, Verb.DELETE])
async def test_a_stalled_call_never_ends(verb: Verb) -> None:
    store = await a_faulty_store()
    assert not await never_ends(store, Verb.READ)
    assert await never_ends(store.fail(verb, Fault.STALL), verb)


async def test_a_stale_answer_is_the_first_that_was_told() -> None:
    store = (await a_faulty_store()).fail(Verb.STAT, Fault.STALE_ANSWER, [2])
    first = await store.stat(A)
    await store.write(A, pieces(b"new"), WriteOptions())
    assert await store.stat(A) == first
    assert (await store.stat(A)).size == 3


async def test_a_file_changes_before_it_is_opened() -> None:
    store = (await a_faulty_store()).fail(Verb.OPEN, Fault.CHANGED_FILE, [1])
    with pytest.raises(GenerationGone):
        await store.open(await store.stat(A))
    assert await read(store, await store.stat(A), whole(len(LOOKS_DIFFERENT))) == LOOKS_DIFFERENT


async def test_a_broken_write_leaves_nothing() -> None:
    store = (await a_faulty_store()).fail(Verb.WRITE, Fault.RESET)
    with pytest.raises(StoreAway):
        await store.write(A, pieces(b"new"), WriteOptions())
    assert await streamed(store) == CONTENT


async def test_a_lost_answer_was_given_to_something_done() -> None:
    store = (await a_faulty_store()).fail(Verb.DELETE, Fault.LOST_ANSWER)
    with pytest.raises(StoreAway):
        await store.delete(A)
    with pytest.raises(FileMissing):
        await store.stat(A)


async def test_what_makes_no_sense_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="cannot have"):
        (await a_faulty_store()).fail(Verb.DELETE, Fault.BIT_FLIP)
