"""The run record: which run of the writer this is, and how the last one ended."""

import os
from pathlib import Path
from typing import Final

import msgspec

FORMAT: Final = 1
"""Of everything below the shelf's directory; another one is wiped."""

_FILES_A_RUN: Final = 1 << 36
"""More segment files than any run makes: the next run's numbers begin behind them."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class RunRecord(msgspec.Struct, frozen=True):
    """One run of the writer.

    Attributes:
        run: grows from run to run.
        trusted_run: segments entered or verified before this run must be verified before use.
        boot: of the host, while the run lasted.
        first_file: the first number for segment files.
        clean: whether it ended as it should.
        format: of the shelf.
    """

    run: int
    trusted_run: int
    boot: str
    first_file: int
    clean: bool = False
    format: int = FORMAT


_decode = msgspec.json.Decoder(RunRecord).decode


def boot_id() -> str:
    """Which boot of the host this is."""
    return _BOOT_ID.read_text().strip()


def next_run(before: RunRecord | None, boot: str, now: float) -> RunRecord:
    """The run after `before`.

    Numbers of runs and files never repeat: they follow the time, which helps when the record is
    lost, and the last run's numbers, which helps when the clock goes back.
    """
    run, first_file = int(now), int(now * 1000) << 10
    if before is None:
        return RunRecord(run, run, boot, first_file)
    run = max(run, before.run + 1)
    first_file = max(first_file, before.first_file + _FILES_A_RUN)
    trusted = before.trusted_run if before.clean and before.boot == boot else run
    return RunRecord(run, trusted, boot, first_file)


def read_run(path: Path) -> RunRecord | None:
    """The record, or None if there is none that can be read."""
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def write_run(path: Path, record: RunRecord) -> None:
    """Write the record, whole or not at all, and down to the disk."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(record))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.rename(path)
