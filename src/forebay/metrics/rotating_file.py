"""A rotating file of lines: bounded in size, and in the number of older ones kept."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forebay.model.errors import NoRoom


@dataclass(frozen=True, slots=True)
class RotationOptions:
    """How much a log may take.

    Attributes:
        largest_bytes: a file is put aside when it has grown to this size.
        kept: how many of those put aside stay.
    """

    largest_bytes: int = 64 << 20
    kept: int = 8


class RotatingFile:
    """Lines, appended to `path`.

    The files put aside are `path.1` (the newest), `path.2` and so on.
    Not for concurrent use: one thread writes.
    """

    def __init__(self, path: Path, options: RotationOptions) -> None:
        self._path = path
        self._options = options
        self._descriptor: int | None = None
        self._size = 0

    def write(self, lines: bytes, *, durable: bool = False) -> None:
        """Append whole lines; `durable`: return only when they would survive a power failure.

        Raises:
            NoRoom: they could not be written.
        """
        try:
            if self._descriptor is None:
                self._open()
            elif self._size >= self._options.largest_bytes:
                self._rotate()
            self._append(lines, durable=durable)
        except OSError as error:
            raise NoRoom(self._path, error.strerror or str(error)) from error

    def close(self) -> None:
        """Let go of the file. Writing again opens it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        # A crash may have torn the last line; it must not swallow the next one.
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._size += os.write(self._descriptor, b"\n")
        return self._descriptor

    def _append(self, lines: bytes, *, durable: bool) -> None:
        descriptor = self._open() if self._descriptor is None else self._descriptor
        rest = memoryview(lines)
        try:
            while rest:
                written = os.write(descriptor, rest)
                self._size += written
                rest = rest[written:]
            if durable:
                os.fdatasync(descriptor)
        except OSError:
            # Opening anew mends a torn line before the next one.
            self.close()
            raise

    def _rotate(self) -> None:
        self.close()
        _numbered(self._path, self._options.kept).unlink(missing_ok=True)
        for number in range(self._options.kept - 1, 0, -1):
            if _numbered(self._path, number).exists():
                _numbered(self._path, number).rename(_numbered(self._path, number + 1))
        if self._options.kept > 0:
            self._path.rename(_numbered(self._path, 1))
        else:
            self._path.unlink()


def files_of(path: Path) -> Iterator[Path]:
    """The files of the log at `path` that exist, the newest first."""
    number = 0
    here = path
    while here.exists():
        yield here
        number += 1
        here = _numbered(path, number)


def lines_backwards(path: Path, *, piece: int = 1 << 20) -> Iterator[bytes]:
    """The lines of one file, the last first, without reading it whole."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        rest = b""
        while at > 0:
            start = max(0, at - piece)
            file.seek(start)
            lines = (file.read(at - start) + rest).split(b"\n")
            rest = lines.pop(0)
            yield from (line for line in reversed(lines) if line)
            at = start
        if rest:
            yield rest


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
