"""The group commit: writes that arrive together become durable together."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
"""Statements on a connection whose transaction somebody else begins and commits."""

_LARGEST_GROUP: Final = 500


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work[object]
    done: "asyncio.Future[Any]"


class GroupCommit:
    """The one writer of a database.

    Each write has a savepoint of its own: one that fails takes no other along. If the commit
    fails, all writes of the group fail.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
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
                await self._commit([write for write in group if not write.done.done()])
        finally:
            self._writer = None

    async def _commit(self, group: list[_Waiting]) -> None:
        outcomes: list[tuple[_Waiting, object, BaseException | None]]
        try:
            async with self._engine.begin() as connection:
                outcomes = [await _attempt(connection, write) for write in group]
            self._commits += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the waiters
            outcomes = [(write, None, error) for write in group]
        for write, result, failure in outcomes:
            _settle(write.done, result, failure)


async def _attempt(
    connection: AsyncConnection, write: _Waiting
) -> tuple[_Waiting, object, BaseException | None]:
    try:
        async with connection.begin_nested():
            return write, await write.work(connection), None
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the waiter
        return write, None, error


def _settle(done: "asyncio.Future[Any]", result: object, failure: BaseException | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(result)
    else:
        done.set_exception(failure)
