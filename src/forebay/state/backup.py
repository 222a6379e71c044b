"""The backup: one file that holds a SQLite state at one moment."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from forebay.model.errors import BadOption, StateAway

_PATIENCE: Final = 30
"""Seconds to wait for a writer."""


def copy_state(source: Path, target: Path) -> None:
    """Make the new file `target` what the state in `source` is now; it may be in use.

    Both ways: to back a state up, and to restore one. Secrets stay sealed: keep the master key too.
    Whole or not at all.

    Raises:
        BadOption: `target` exists, or `source` is no state of ours.
        StateAway: it cannot be written.
    """
    if target.exists():
        raise BadOption(target, "exists; move it away first")
    aside = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _copy(source, aside)
        _make_durable(aside)
        aside.rename(target)
        _make_durable(target.parent)
    except sqlite3.Error as error:
        raise BadOption(source, f"cannot be copied as a state: {error}") from error
    except OSError as error:
        raise StateAway(target, f"cannot be written: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    read_only = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(read_only, uri=True, timeout=_PATIENCE)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.execute("SELECT version_num FROM alembic_version")
        reading.backup(writing)


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
