"""The ledger: what this door did, told to the counters and the access log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from forebay.doors.s3.answer import Hit
from forebay.doors.s3.operation import Operation
from forebay.metrics.access_log import AccessRow
from forebay.metrics.counters import Counters, OperationCounters

DOOR: Final = "s3"


class Notes(Protocol):
    """Takes access records."""

    def note(self, row: AccessRow) -> None:
        """Remember the record."""
        ...


@dataclass(slots=True)
class Line:
    """What is written down of one request that the application answers, filled in as it is known.

    `start` to `end` are the bytes of the file that were asked for.
    """

    begun: float
    request_id: str
    path: str
    operation: Operation = Operation.OTHER
    key_id: str = ""
    start: int = 0
    end: int = 0
    status: int = 0
    from_cache: int = 0
    from_store: int = 0


class Ledger:
    """Keeps the counters of every operation at hand, and writes one row a request.

    Args:
        counters: of this process.
        log: the access log.
        now: the time, in seconds since 1970.
    """

    def __init__(self, counters: Counters, log: Notes, now: Callable[[], float]) -> None:
        self._note = log.note
        self._now = now
        self._mount_of = counters.mount_of
        self._counters: dict[Operation, OperationCounters] = {
            operation: counters.operation(DOOR, operation) for operation in Operation
        }
        self._get = self._counters[Operation.GET_OBJECT]
        self._head = self._counters[Operation.HEAD_OBJECT]

    def hit(self, hit: Hit, sent: int) -> None:
        """Write down a hit of which `sent` bytes of content went out."""
        seconds = max(0.0, self._now() - hit.begun)
        path = hit.entry.path
        if hit.method == b"GET":
            operation = "GetObject"
            if sent:
                self._get.hit(hit.status, seconds, sent)
                mount = self._mount_of(path)
                if mount is not None:
                    mount.bytes_from_cache += sent
            else:
                self._get.answered(hit.status, seconds)
        else:
            operation = "HeadObject"
            self._head.answered(hit.status, seconds)
        self._note(
            (
                hit.begun,
                DOOR,
                hit.holder.key_id,
                operation,
                path,
                hit.start,
                hit.end,
                hit.status,
                sent,
                0,
                seconds,
                hit.request_id,
            )
        )

    def answered(self, line: Line) -> None:
        """Write down a request that the application answered."""
        seconds = max(0.0, self._now() - line.begun)
        counters = self._counters[line.operation]
        if line.from_cache or line.from_store:
            counters.read(line.status, seconds, line.from_cache, line.from_store)
            mount = self._mount_of(line.path)
            if mount is not None:
                mount.bytes_from_cache += line.from_cache
                mount.bytes_from_store += line.from_store
        else:
            counters.answered(line.status, seconds)
        self._note(
            (
                line.begun,
                DOOR,
                line.key_id,
                line.operation.value,
                line.path,
                line.start,
                line.end,
                line.status,
                line.from_cache,
                line.from_store,
                seconds,
                line.request_id,
            )
        )
