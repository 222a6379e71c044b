"""The audit log: who changed what, when, from where, and with what result."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from forebay.metrics.rotating_file import (
    RotatingFile,
    RotationOptions,
    files_of,
    lines_backwards,
)
from forebay.model.errors import NoRoom

HIDDEN: Final = "(hidden)"
"""What stands in the log instead of a secret."""

_MOST_WAITING: Final = 10_000
_SECRET_NAME: Final = re.compile(
    r"secret|password|passwd|token|credential|private|signature|access.?key$", re.IGNORECASE
)
_USER_IN_URI: Final = re.compile(r"(?<=://)[^/@\s]+@")


class AuditRecord(msgspec.Struct, frozen=True):
    """One mutation, or one denial.

    `who` is a key id or `node`; `what` a verb such as `mount` or `keys.create`; `target` what it
    was done to; `origin` the door, with the peer's address; `result` is `ok` or an error's code.
    """

    at: datetime
    who: str
    what: str
    target: str
    origin: str
    result: str
    request_id: str = ""
    facts: Mapping[str, str] = {}


class AuditLog:
    """Writes records durably before it returns; those that come together share one fsync."""

    def __init__(self, path: Path, rotation: RotationOptions | None = None) -> None:
        self._path = path
        self._file = RotatingFile(path, RotationOptions() if rotation is None else rotation)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-log")
        self._waiting: list[bytes] = []

    @property
    def path(self) -> Path:
        """The newest file."""
        return self._path

    async def note(self, record: AuditRecord) -> None:
        """Write the record, with secrets hidden; when this returns, it survives a power failure.

        Raises:
            NoRoom: it could not be written; it is tried again with the next one.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise NoRoom(self._path, f"{_MOST_WAITING} records wait to be written")
        self._waiting.append(msgspec.json.encode(without_secrets(record)) + b"\n")
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write)

    async def close(self) -> None:
        """Write what waits, and let go of the file and the thread."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._write)
        await asyncio.to_thread(self._thread.shutdown)
        self._file.close()

    def _write(self) -> None:
        """Write all that waits; runs in the thread, which is the only one that takes away."""
        batch = self._waiting[:]
        if batch:
            self._file.write(b"".join(batch), durable=True)
            del self._waiting[: len(batch)]


def without_secrets(record: AuditRecord) -> AuditRecord:
    """The record with everything hidden that must not be written down."""
    facts = {
        name: HIDDEN if _SECRET_NAME.search(name) else _USER_IN_URI.sub(f"{HIDDEN}@", value)
        for name, value in record.facts.items()
    }
    target = _USER_IN_URI.sub(f"{HIDDEN}@", record.target)
    return msgspec.structs.replace(record, target=target, facts=facts)


def audited_backwards(path: Path) -> Iterator[AuditRecord]:
    """The records of the log at `path`, the newest first; torn lines are passed over."""
    decoder = msgspec.json.Decoder(AuditRecord)
    for file in files_of(path):
        for line in lines_backwards(file):
            with suppress(msgspec.DecodeError):
                yield decoder.decode(line)
