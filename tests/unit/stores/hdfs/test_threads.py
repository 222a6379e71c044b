"""Blocking calls run in threads that may hang, but only so many, and nobody waits for ever."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from forebay.model.errors import StoreAway
from forebay.stores.hdfs.threads import Threads

PATIENCE = 10.0
SHORT = 0.05


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What hanging calls of a test wait for."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def threads(release: threading.Event) -> Iterator[Threads]:
    pool = Threads("test-threads", most=2)
    yield pool
    release.set()
    pool.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - another thread makes it hold
            await asyncio.sleep(0.001)


async def test_an_answer_comes_back(threads: Threads) -> None:
    assert await threads.run(lambda: 42, PATIENCE, "x") == 42
    assert await threads.run(threading.get_ident, PATIENCE, "x") != threading.get_ident()


async def test_an_error_comes_back(threads: Threads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0, PATIENCE, "x")


async def test_more_calls_than_threads_wait_their_turn(threads: Threads) -> None:
    found = await asyncio.gather(
        *(threads.run(lambda number=number: number, PATIENCE, "x") for number in range(50))  # type: ignore[misc]
    )
    assert found == list(range(50))
    assert threads.running <= 2


async def test_a_call_that_hangs_is_away_and_its_thread_is_used_again_when_it_returns(
    threads: Threads, release: threading.Event
) -> None:
    with pytest.raises(StoreAway, match="no answer"):
        await threads.run(release.wait, SHORT, "x")
    assert threads.abandoned == 1
    assert await threads.run(lambda: 1, PATIENCE, "x") == 1
    release.set()
    await until(lambda: threads.abandoned == 0)
    assert threads.running <= 2


async def test_when_all_threads_hang_a_call_is_refused_at_once(
    threads: Threads, release: threading.Event
) -> None:
    for _ in range(2):
        with pytest.raises(StoreAway):
            await threads.run(release.wait, SHORT, "x")
    with pytest.raises(StoreAway, match="2 earlier calls still hang"):
        await threads.run(lambda: 1, PATIENCE, "x")
    release.set()
    await until(lambda: threads.abandoned == 0)
    assert await threads.run(lambda: 1, PATIENCE, "x") == 1


async def test_a_call_whose_deadline_passed_in_the_queue_is_never_begun(
    threads: Threads, release: threading.Event
) -> None:
    begun: list[str] = []
    jobs = [threads.start(release.wait, "x") for _ in range(2)]
    with pytest.raises(StoreAway):
        await threads.run(lambda: begun.append("late"), SHORT, "x")
    release.set()
    for job in jobs:
        await threads.wait(job, PATIENCE, "x")
    assert await threads.run(lambda: 1, PATIENCE, "x") == 1
    assert begun == []


async def test_a_cancelled_wait_drops_the_call(threads: Threads, release: threading.Event) -> None:
    task = asyncio.create_task(threads.run(release.wait, PATIENCE, "x"))
    await until(lambda: threads.running == 1)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await until(lambda: threads.abandoned == 0)


async def test_an_error_that_nobody_asked_for_is_not_told(threads: Threads) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about))
    job = threads.start(lambda: 1 / 0, "x")
    await until(job.future.done)
    threads.drop(job)
    del job
    await asyncio.sleep(0)
    assert told == []


async def test_a_closed_pool_answers_no_more_and_its_threads_end(threads: Threads) -> None:
    await threads.run(lambda: 1, PATIENCE, "x")
    threads.close()
    with pytest.raises(StoreAway):
        await threads.run(lambda: 1, PATIENCE, "x")
    await until(lambda: threads.running == 0)
