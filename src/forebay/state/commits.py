"""The group commit: writes that arrive together become durable together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine

from forebay.state.database import Work

T = TypeVar("T")
Outcome = tuple[object, Exception | None]
"""What a write gave, or the error that it raised."""

_LARGEST_GROUP: Final = 500


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work[object]
    done: "asyncio.Future[Any]"


class GroupCommit:
    """The one writer of a database.

    Args:
        commit: does a group of works in one transaction and tells the outcome of each.
    """

    def __init__(self, commit: Callable[[Sequence[Work[Any]]], Awaitable[list[Outcome]]]) -> None:
        self._commit = commit
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._commits = 0

    @property
    def commits(self) -> int:
        """How many transactions were committed."""
        return self._commits

    async def write(self, work: Work[T]) -> T:
        """Do `work` and return when it is durable."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(work, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._drain(), name="state writer")
        return await done

    async def close(self) -> None:
        """Return when all writes that were begun have ended."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                group = self._waiting[:_LARGEST_GROUP]
                del self._waiting[:_LARGEST_GROUP]
                await self._settle([write for write in group if not write.done.done()])
        finally:
            self._writer = None

    async def _settle(self, group: list[_Waiting]) -> None:
        try:
            outcomes = await self._commit([write.work for write in group])
            self._commits += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the waiters
            outcomes = [(None, error)] * len(group)
        for write, (result, failure) in zip(group, outcomes, strict=True):
            if write.done.done():
                continue
            if failure is None:
                write.done.set_result(result)
            else:
                write.done.set_exception(failure)


def commit_together(engine: Engine, works: Sequence[Work[Any]]) -> list[Outcome]:
    """Do the works in one transaction.

    Each has a savepoint of its own: one that fails takes no other along. If the commit fails, all
    have failed: that is raised.
    """
    with engine.begin() as connection:
        return [_attempt(connection, work) for work in works]


def _attempt(connection: Connection, work: Work[Any]) -> Outcome:
    try:
        with connection.begin_nested():
            return work(connection), None
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the waiter
        return None, error
