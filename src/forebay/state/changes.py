"""The change counters, in a database."""

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forebay.state.contract import Topic
from forebay.state.database import Database
from forebay.state.tables import CHANGES


class StoredChanges:
    """See `contract.Changes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, topic: Topic) -> int:
        """See the contract."""

        async def work(connection: AsyncConnection) -> int:
            statement = select(CHANGES.c.number).where(CHANGES.c.topic == topic.value)
            return int((await connection.execute(statement)).scalar_one())

        return await self._database.read(work)


async def count_up(connection: AsyncConnection, topic: Topic) -> None:
    """Count a change, in the transaction that makes it."""
    await connection.execute(
        update(CHANGES).where(CHANGES.c.topic == topic.value).values(number=CHANGES.c.number + 1)
    )
