"""The values that are made once, in a database."""

from collections.abc import Callable

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from forebay.state.database import Database
from forebay.state.tables import SETTINGS


class StoredSettings:
    """See `contract.Settings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(self, name: str, make: Callable[[], str]) -> str:
        """See the contract."""
        found = await self._get(name)
        if found is not None:
            return found
        made = make()

        def work(connection: Connection) -> None:
            try:
                with connection.begin_nested():
                    connection.execute(insert(SETTINGS).values(name=name, text=made))
            except IntegrityError:
                return  # another node was first

        await self._database.write(work)
        return await self.once(name, make)

    async def _get(self, name: str) -> str | None:
        def work(connection: Connection) -> str | None:
            statement = select(SETTINGS.c.text).where(SETTINGS.c.name == name)
            return (connection.execute(statement)).scalar_one_or_none()

        return await self._database.read(work)
