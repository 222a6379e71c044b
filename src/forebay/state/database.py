"""The database: SQLite in a file, or PostgreSQL, behind one pair of verbs."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Statements on a connection, whose transaction somebody else begins and commits.

It may run in another thread: it touches nothing but the connection and what it was made with.
"""


class Database(Protocol):
    """Reads and writes, each call one transaction."""

    @property
    def name(self) -> str:
        """Its URL without the password."""
        ...

    @property
    def commits(self) -> int:
        """How many transactions of writes were committed."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Do `work`, which changes nothing, on one view of the database. Raises StateAway."""
        ...

    async def write(self, work: Work[T]) -> T:
        """Do `work`, whole or not at all, and return when it is durable. Raises StateAway."""
        ...

    async def backup(self, path: Path) -> None:
        """Write a copy of the database, of one moment, to the new file `path`.

        Raises BadOption: the file exists, or the database is PostgreSQL.
        """
        ...

    async def close(self) -> None:
        """Finish the writes that were begun and let go of the connections."""
        ...
