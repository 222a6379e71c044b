"""Open files that threads work on, which are closed when the last thread lets go."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from forebay.model.errors import StoreAway

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Descriptor:
    """An open file. Closing it waits for the threads that use it, and makes nobody else wait.

    A thread cannot be cancelled: were the number closed under it, it would go on with whatever
    file gets that number next.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._users = 0
        self._is_open = True
        self._lock = threading.Lock()

    @contextmanager
    def used(self, subject: object) -> Iterator[int]:
        """The number, which stays open meanwhile; StoreAway about `subject` when it was closed."""
        with self._lock:
            if not self._is_open:
                raise StoreAway(subject, "was closed by the reader or the writer")
            self._users += 1
        try:
            yield self._number
        finally:
            with self._lock:
                self._users -= 1
                is_last = not self._is_open and self._users == 0
            if is_last:
                os.close(self._number)

    def close(self) -> None:
        """Let go. Closing twice is allowed."""
        with self._lock:
            is_last = self._is_open and self._users == 0
            self._is_open = False
        if is_last:
            os.close(self._number)


async def obtained(work: Callable[[], Answer], give_back: Callable[[Answer], None]) -> Answer:
    """What `work` opens in a thread; if the caller is cancelled meanwhile, it is given back."""
    task = asyncio.ensure_future(asyncio.to_thread(work))

    def too_late(done: "asyncio.Future[Answer]") -> None:
        if not done.cancelled() and done.exception() is None:
            give_back(done.result())

    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(too_late)
        raise


async def to_its_end(
    work: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """Do `work`, which changes names, in a thread; a cancelled caller waits until it is done.

    Else a change could happen after the call that asked for it has ended.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
