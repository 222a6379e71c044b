"""The access log: one line of JSON for every request that a door answered."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from forebay.metrics.families import Sample
from forebay.metrics.rotating_file import (
    RotatingFile,
    RotationOptions,
    files_of,
    lines_backwards,
)
from forebay.model.errors import NoRoom

AccessRow = tuple[float, str, str, str, str, int, int, int, int, int, float, str]
"""An `AccessRecord`'s values in its order, `at` in seconds since 1970: a tuple is the cheapest."""


class AccessRecord(msgspec.Struct, frozen=True):
    """One answered request.

    `start` and `end` are the bytes of the file that were asked for; both 0 where none were.
    `path` is the lake path, or what the client sent where it is none.
    """

    at: datetime
    door: str
    key_id: str
    operation: str
    path: str
    start: int
    end: int
    status: int
    bytes_from_cache: int
    bytes_from_store: int
    seconds: float
    request_id: str


@dataclass(frozen=True, slots=True)
class AccessLogOptions:
    """How the access log is kept.

    Attributes:
        every_seconds: how long a record may wait in memory.
        backlog: most records that wait; more are dropped, and counted.
        rotation: how much the files may take.
    """

    every_seconds: float = 0.25
    backlog: int = 200_000
    rotation: RotationOptions = field(default_factory=RotationOptions)


class AccessLog:
    """Takes records on the event loop and writes them in a thread of its own.

    Args:
        path: the newest file.
        options: how it is kept.
        wait: how to wait, in seconds.
    """

    def __init__(
        self,
        path: Path,
        options: AccessLogOptions | None = None,
        *,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._options = AccessLogOptions() if options is None else options
        self._wait = wait
        self._file = RotatingFile(path, self._options.rotation)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="access-log")
        self._encoder = msgspec.json.Encoder()
        self._most = self._options.backlog
        self._waiting: list[AccessRow] = []
        self._written = 0
        self._dropped = 0

    @property
    def path(self) -> Path:
        """The newest file."""
        return self._path

    @property
    def dropped(self) -> int:
        """How many records were lost because the disk could not keep up."""
        return self._dropped

    def note(self, row: AccessRow) -> None:
        """Remember the record until the next flush. Costs next to nothing; never fails."""
        waiting = self._waiting
        if len(waiting) < self._most:
            waiting.append(row)
        else:
            self._dropped += 1

    async def run(self) -> None:
        """Flush now and then, until cancelled."""
        while True:
            await self._wait(self._options.every_seconds)
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted until now. What the disk does not take is dropped, and counted."""
        loop = asyncio.get_running_loop()
        rows, self._waiting = self._waiting, []
        if rows:
            await loop.run_in_executor(self._thread, self._write, rows)

    async def close(self) -> None:
        """Write the rest, and let go of the file and the thread."""
        await self.flush()
        await asyncio.to_thread(self._thread.shutdown)
        self._file.close()

    def samples(self) -> Iterator[Sample]:
        """How many records were written and dropped."""
        family = "forebay_access_log_records_total"
        yield Sample(family, ("written",), self._written)
        yield Sample(family, ("dropped",), self._dropped)

    def _write(self, rows: list[AccessRow]) -> None:
        """Encode and write `rows`; runs in the thread."""
        try:
            self._file.write(self._encoder.encode_lines([_record(row) for row in rows]))
        except NoRoom:
            # A full disk must not stop the reads that the log is about.
            self._dropped += len(rows)
        else:
            self._written += len(rows)


def _record(row: AccessRow) -> AccessRecord:
    return AccessRecord(datetime.fromtimestamp(row[0], UTC), *row[1:])


def records_backwards(path: Path) -> Iterator[AccessRecord]:
    """The records of the log at `path`, the newest first; torn lines are passed over."""
    decoder = msgspec.json.Decoder(AccessRecord)
    for file in files_of(path):
        for line in lines_backwards(file):
            with suppress(msgspec.DecodeError):
                yield decoder.decode(line)


def tail(path: Path, most: int) -> list[AccessRecord]:
    """The last `most` records, the oldest of them first."""
    records = [record for record, _ in zip(records_backwards(path), range(most), strict=False)]
    return records[::-1]


def since(path: Path, moment: datetime) -> list[AccessRecord]:
    """The records that are not older than `moment`, the oldest first."""
    found: list[AccessRecord] = []
    for record in records_backwards(path):
        if record.at < moment:
            break
        found.append(record)
    return found[::-1]


def find(path: Path, request_id: str) -> AccessRecord | None:
    """The record of one request, or None when it is not, or no longer, in the log."""
    decoder = msgspec.json.Decoder(AccessRecord)
    wanted = b'"request_id":' + msgspec.json.encode(request_id)
    for file in files_of(path):
        for line in lines_backwards(file):
            if wanted in line:
                with suppress(msgspec.DecodeError):
                    return decoder.decode(line)
    return None
