"""Jobs: the long work that runs on this node, and what became of the last ones."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Final

from forebay.model.errors import ForebayError

_KEPT: Final = 100
RUNNING: Final = "running"


@dataclass(slots=True)
class Job:
    """One piece of long work. Who runs it tells how far it is.

    Attributes:
        number: of this node, from 1.
        kind: what is done, such as `load`.
        path: the lake path that it is done to.
        caller: who asked for it.
        begun_at: when it began.
        ended_at: when it ended, or None.
        result: `running`, `ok`, `stopped`, or the code of an error.
        done_bytes: until now.
        total_bytes: known until now.
    """

    number: int
    kind: str
    path: str
    caller: str
    begun_at: datetime
    ended_at: datetime | None = None
    result: str = RUNNING
    done_bytes: int = 0
    total_bytes: int = 0


class Jobs:
    """Remembers what runs, and the last that ended.

    Args:
        clock: the time now, in UTC.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._running: dict[int, Job] = {}
        self._ended: deque[Job] = deque(maxlen=_KEPT)

    @contextmanager
    def running(self, kind: str, path: str, caller: str) -> Iterator[Job]:
        """The job that runs inside the context, and ends with it."""
        job = Job(next(self._numbers), kind, path, caller, self._clock())
        self._running[job.number] = job
        result = "stopped"
        try:
            yield job
            result = "ok"
        except ForebayError as error:
            result = error.code
            raise
        finally:
            job.result = result
            job.ended_at = self._clock()
            del self._running[job.number]
            self._ended.append(job)

    def all(self) -> list[Job]:
        """Those that run, then those that ended, the last one first."""
        return [*self._running.values(), *reversed(self._ended)]
