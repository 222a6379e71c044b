"""The database: SQLite in a file, or PostgreSQL, behind one pair of verbs."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from forebay.model.errors import BadConfiguration, BadOption, StateAway
from forebay.state.backup import copy_state
from forebay.state.commits import GroupCommit, Work
from forebay.state.schema import migrate

T = TypeVar("T")

_PATIENCE: Final = 5
"""Seconds until a database that does not answer is away."""

_STATEMENT_PATIENCE: Final = 10
"""Seconds that one statement may take."""

_READERS: Final = 4


class Database:
    """Reads and writes, each call one transaction. Made by `open_database`."""

    def __init__(self, url: URL, reading: AsyncEngine, writing: AsyncEngine) -> None:
        self._url = url
        self._reading = reading
        self._writing = writing
        self._group = GroupCommit(writing)
        self._commits_alone = 0

    @property
    def name(self) -> str:
        """Its URL without the password."""
        plain = self._url.set(drivername=self._url.get_backend_name())
        return plain.render_as_string(hide_password=True)

    @property
    def is_file(self) -> bool:
        """Whether it is SQLite in a file."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def commits(self) -> int:
        """How many transactions of writes were committed."""
        return self._group.commits + self._commits_alone

    async def read(self, work: Work[T]) -> T:
        """Do `work`, which changes nothing, on one view of the database."""
        with _speaking_of(self.name):
            async with self._reading.connect() as connection:
                return await work(connection)

    async def write(self, work: Work[T]) -> T:
        """Do `work`, whole or not at all, and return when it is durable."""
        with _speaking_of(self.name):
            if self.is_file:
                return await self._group.write(work)
            async with self._writing.begin() as connection:
                result = await work(connection)
            self._commits_alone += 1
            return result

    async def backup(self, path: Path) -> None:
        """Write a copy of the database, of one moment, to the new file `path`.

        Raises:
            BadOption: the file exists, or the database is PostgreSQL.
        """
        if not self.is_file:
            raise BadOption(self.name, "is PostgreSQL; use pg_dump to back it up")
        await asyncio.to_thread(copy_state, Path(self._url.database or ""), path)

    async def migrate(self) -> None:
        """Bring it to the form that this version knows. Raises StateAway."""
        with _speaking_of(self.name):
            async with self._writing.begin() as connection:
                await connection.run_sync(migrate, self.name)

    async def close(self) -> None:
        """Finish the writes that were begun and let go of the connections."""
        await self._group.close()
        await self._reading.dispose()
        if self._writing is not self._reading:
            await self._writing.dispose()


async def open_database(url_text: str) -> Database:
    """The database at `sqlite:///<path>` or `postgresql://user:password@host/name`, migrated.

    Raises:
        BadConfiguration: the URL is none of these.
        StateAway: it does not answer, or a newer version wrote it.
    """
    url = _parse(url_text)
    if url.get_backend_name() == "sqlite":
        database = _open_file(url)
    else:
        engine = create_async_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=_PATIENCE,
            connect_args={
                "timeout": _PATIENCE,
                "command_timeout": _STATEMENT_PATIENCE,
                # What we acknowledge is durable, however the server is set up for its others.
                "server_settings": {"synchronous_commit": "on"},
            },
        )
        database = Database(url, engine, engine)
    try:
        await database.migrate()
    except BaseException:
        await database.close()
        raise
    return database


def _parse(url_text: str) -> URL:
    try:
        url = make_url(url_text)
    except ArgumentError:
        url = URL.create("unknown")
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        return url.set(drivername="sqlite+aiosqlite")
    if backend in {"postgresql", "postgres"} and url.database:
        return url.set(drivername="postgresql+asyncpg")
    # The text is not repeated: it may hold a password.
    raise BadConfiguration(
        "state.url", "is neither sqlite:///<path> nor postgresql://user:password@host/name"
    )


def _open_file(url: URL) -> Database:
    path = Path(url.database or "")
    with _speaking_of(str(path)):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _claim(path)
    reading = _file_engine(url, _READERS, "BEGIN")
    # IMMEDIATE: a transaction that reads first and then writes could not be upgraded.
    writing = _file_engine(url, 1, "BEGIN IMMEDIATE")
    return Database(url, reading, writing)


def _claim(path: Path) -> None:
    """Make the file if it is not there, for its owner alone; SQLite's own would be for all."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _file_engine(url: URL, connections: int, begin: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_PATIENCE,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver's own BEGIN comes too late for savepoints and for consistent reads.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            # First: the change to WAL waits for others too.
            f"busy_timeout={_PATIENCE * 1000}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def _speaking_of(subject: str) -> Iterator[None]:
    """Translate what the drivers raise."""
    try:
        yield
    except DBAPIError as error:
        raise StateAway(subject, _first_line(error.orig)) from error
    except (SQLAlchemyError, PostgresError, InterfaceError, OSError, TimeoutError) as error:
        raise StateAway(subject, _first_line(error)) from error


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
