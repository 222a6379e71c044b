"""PostgreSQL: the state in a server that several nodes share."""

from pathlib import Path
from typing import Final, TypeVar

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from forebay.model.errors import BadOption
from forebay.state.database import Work
from forebay.state.schema import migrate
from forebay.state.trouble import speaking_of

T = TypeVar("T")

_PATIENCE: Final = 5
"""Seconds until a server that does not answer is away."""

_STATEMENT_PATIENCE: Final = 10
"""Seconds that one statement may take."""


class PostgresDatabase:
    """See `database.Database`. The server itself commits together what arrives together."""

    def __init__(self, url: URL, engine: AsyncEngine) -> None:
        self._name = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self._engine = engine
        self._commits = 0

    @property
    def name(self) -> str:
        """See the contract."""
        return self._name

    @property
    def commits(self) -> int:
        """See the contract."""
        return self._commits

    async def read(self, work: Work[T]) -> T:
        """See the contract."""
        with speaking_of(self.name, PostgresError, InterfaceError):
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        """See the contract."""
        with speaking_of(self.name, PostgresError, InterfaceError):
            async with self._engine.begin() as connection:
                result = await connection.run_sync(work)
        self._commits += 1
        return result

    async def backup(self, path: Path) -> None:
        """See the contract: the server has better tools for this."""
        raise BadOption(path, f"{self.name} is PostgreSQL; use pg_dump to back it up")

    async def close(self) -> None:
        """See the contract."""
        await self._engine.dispose()


async def open_postgres(url: URL) -> PostgresDatabase:
    """The database at `url`, migrated.

    Raises:
        StateAway: it does not answer, or a newer version wrote it.
    """
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_pre_ping=True,
        pool_timeout=_PATIENCE,
        connect_args={
            "timeout": _PATIENCE,
            "command_timeout": _STATEMENT_PATIENCE,
            # What we acknowledge is durable, however the server is set up for its others.
            "server_settings": {"synchronous_commit": "on"},
        },
    )
    database = PostgresDatabase(url, engine)
    try:
        await database.write(lambda connection: migrate(connection, database.name))
    except BaseException:
        await database.close()
        raise
    return database
