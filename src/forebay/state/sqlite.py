"""SQLite: the state in one file, read by a few threads and written by one."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from forebay.model.errors import StateAway
from forebay.state.backup import copy_state
from forebay.state.commits import GroupCommit, Outcome, commit_together
from forebay.state.database import Work
from forebay.state.schema import migrate
from forebay.state.trouble import speaking_of

T = TypeVar("T")

_PATIENCE: Final = 15
"""Seconds to wait for another process that writes."""

_READERS: Final = 4


class SqliteDatabase:
    """See `database.Database`. Writes that arrive together are committed together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = _engine(path, _READERS, "BEGIN")
        # IMMEDIATE: a transaction that reads first and then writes could not be upgraded.
        self._writing = _engine(path, 1, "BEGIN IMMEDIATE")
        self._readers = ThreadPoolExecutor(_READERS, "state-reader")
        self._writer = ThreadPoolExecutor(1, "state-writer")
        self._group = GroupCommit(self._commit)

    @property
    def name(self) -> str:
        """See the contract."""
        return f"sqlite:///{self._path}"

    @property
    def commits(self) -> int:
        """See the contract."""
        return self._group.commits

    async def read(self, work: Work[T]) -> T:
        """See the contract."""
        loop = asyncio.get_running_loop()
        with speaking_of(self.name):
            return await loop.run_in_executor(self._readers, _read, self._reading, work)

    async def write(self, work: Work[T]) -> T:
        """See the contract."""
        with speaking_of(self.name):
            return await self._group.write(work)

    async def backup(self, path: Path) -> None:
        """See the contract."""
        await asyncio.to_thread(copy_state, self._path, path)

    async def migrate(self) -> None:
        """Bring it to the form that this version knows. Raises StateAway."""
        await self.write(lambda connection: migrate(connection, self.name))

    async def close(self) -> None:
        """See the contract."""
        await self._group.close()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        self._reading.dispose()
        self._writing.dispose()

    async def _commit(self, works: Sequence[Work[Any]]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, commit_together, self._writing, works)


async def open_sqlite(path: Path) -> SqliteDatabase:
    """The database in the file `path`, made if it is not there, and migrated.

    Raises:
        StateAway: it cannot be opened, or a newer version wrote it.
    """
    with speaking_of(str(path)):
        await asyncio.to_thread(_claim, path)
    database = SqliteDatabase(path)
    try:
        await database.migrate()
    except BaseException:
        await database.close()
        raise
    return database


def _claim(path: Path) -> None:
    """Make the file if it is not there, for its owner alone; SQLite's own would be for all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    # The switch to WAL waits for nobody: of several that begin at once, one would be refused.
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(sqlite3.connect(path, timeout=_PATIENCE)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise StateAway(path, str(error)) from error
    finally:
        os.close(lock)


def _read(engine: Engine, work: Work[T]) -> T:
    with engine.connect() as connection:
        return work(connection)


def _engine(path: Path, connections: int, begin: str) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": _PATIENCE},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver's own BEGIN comes too late for savepoints and for consistent reads.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
