"""Single flights: one question under way answers everybody who asks the same meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Flight(Generic[Answer]):
    """A question under way.

    `overtaken`: what was asked about was written meanwhile; the answer may be of before.
    """

    started: float
    overtaken: bool = False
    task: asyncio.Task[Answer] | None = None


class Flights(Generic[Key, Answer]):
    """The questions under way, by what they are about; owns their tasks.

    Args:
        now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._under_way: dict[Key, Flight[Answer]] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()

    async def answer(
        self,
        key: Key,
        not_before: float,
        ask: Callable[[Flight[Answer]], Awaitable[Answer]],
    ) -> Answer:
        """The answer to the question about `key`, asked at `not_before` or later.

        Joins one that is under way if it is that young; waits for an older one to end and asks
        again. Whoever asked may be cancelled: the others still get their answer.
        """
        flight = self._under_way.get(key)
        while flight is not None and (flight.started < not_before or flight.overtaken):
            await asyncio.wait([_task_of(flight)])
            flight = self._under_way.get(key)
        if flight is None:
            flight = self._start(key, ask)
        return await asyncio.shield(_task_of(flight))

    def overtake(self, concerned: Callable[[Key], bool]) -> None:
        """What those are about has just been changed: their answers are nothing to remember."""
        for key, flight in self._under_way.items():
            if concerned(key):
                flight.overtaken = True

    async def close(self) -> None:
        """Cancel what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(
        self, key: Key, ask: Callable[[Flight[Answer]], Awaitable[Answer]]
    ) -> Flight[Answer]:
        flight: Flight[Answer] = Flight(self._now())

        async def fly() -> Answer:
            return await ask(flight)

        def landed(task: asyncio.Task[Answer]) -> None:
            del self._under_way[key]
            self._tasks.discard(task)
            if not task.cancelled():
                # All who asked may be gone; an error that nobody waits for is no error.
                task.exception()

        flight.task = asyncio.create_task(fly())
        self._under_way[key] = flight
        self._tasks.add(flight.task)
        flight.task.add_done_callback(landed)
        return flight


def _task_of(flight: Flight[Answer]) -> asyncio.Task[Answer]:
    if flight.task is None:
        raise RuntimeError("the flight has not started")
    return flight.task
