"""The change counters, in a database."""

from sqlalchemy import Connection, select, update

from forebay.state.contract import Topic
from forebay.state.database import Database
from forebay.state.tables import CHANGES


class StoredChanges:
    """See `contract.Changes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, topic: Topic) -> int:
        """See the contract."""

        def work(connection: Connection) -> int:
            statement = select(CHANGES.c.number).where(CHANGES.c.topic == topic.value)
            return int((connection.execute(statement)).scalar_one())

        return await self._database.read(work)


def count_up(connection: Connection, topic: Topic) -> None:
    """Count a change, in the transaction that makes it."""
    connection.execute(
        update(CHANGES).where(CHANGES.c.topic == topic.value).values(number=CHANGES.c.number + 1)
    )
