"""The stored secrets, in a database."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from forebay.model.status import to_milliseconds
from forebay.state.changes import count_up
from forebay.state.contract import Topic
from forebay.state.database import Database
from forebay.state.tables import SECRETS
from forebay.state.vault import Sealed, Vault


class StoredSecrets:
    """See `contract.Secrets`."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    async def put(self, name: str, value: str) -> None:
        """See the contract."""
        values = self._values(name, value)

        def work(connection: Connection) -> None:
            changed = connection.execute(
                update(SECRETS).where(SECRETS.c.name == name).values(values)
            )
            if changed.rowcount == 0:
                connection.execute(insert(SECRETS).values(values))
            count_up(connection, Topic.SECRETS)

        await self._database.write(work)

    async def get(self, name: str) -> str | None:
        """See the contract."""

        def work(connection: Connection) -> Sealed | None:
            return sealed_secret(connection, name)

        sealed = await self._database.read(work)
        return None if sealed is None else self._vault.open(_sealed_name(name), sealed)

    async def once(self, name: str, make: Callable[[], str]) -> str:
        """See the contract."""
        found = await self.get(name)
        if found is not None:
            return found
        values = self._values(name, make())

        def work(connection: Connection) -> None:
            try:
                with connection.begin_nested():
                    connection.execute(insert(SECRETS).values(values))
            except IntegrityError:
                return  # another node was first
            count_up(connection, Topic.SECRETS)

        await self._database.write(work)
        return await self.once(name, make)

    async def remove(self, *names: str) -> None:
        """See the contract."""

        def work(connection: Connection) -> None:
            connection.execute(delete(SECRETS).where(SECRETS.c.name.in_(names)))
            count_up(connection, Topic.SECRETS)

        await self._database.write(work)

    def _values(self, name: str, value: str) -> dict[str, object]:
        sealed = self._vault.seal(_sealed_name(name), value)
        return {
            "name": name,
            "nonce": sealed.nonce,
            "ciphertext": sealed.ciphertext,
            "changed_ms": to_milliseconds(self._clock()),
        }


def sealed_secret(connection: Connection, name: str) -> Sealed | None:
    """The secret of that name, still sealed."""
    row = (
        connection.execute(
            select(SECRETS.c.nonce, SECRETS.c.ciphertext).where(SECRETS.c.name == name)
        )
    ).one_or_none()
    return None if row is None else Sealed(bytes(row.nonce), bytes(row.ciphertext))


def _sealed_name(name: str) -> str:
    return f"secret:{name}"
