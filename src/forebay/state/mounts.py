"""The remembered mounts, in a database."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.exc import IntegrityError

from forebay.model.errors import MountExists, MountMissing
from forebay.model.generation import StoreIdentity
from forebay.model.paths import LakePath, StoreKey
from forebay.model.status import from_milliseconds, to_milliseconds
from forebay.state.changes import count_up
from forebay.state.contract import Topic
from forebay.state.database import Database
from forebay.state.rows import MountRow
from forebay.state.tables import MOUNTS


class StoredMounts:
    """See `contract.Mounts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[MountRow]:
        """See the contract."""

        def work(connection: Connection) -> Sequence[Row[*tuple[object, ...]]]:
            return (connection.execute(select(MOUNTS))).all()

        # Ordered here: databases disagree on the order of texts.
        rows = [_mount(row) for row in await self._database.read(work)]
        return sorted(rows, key=lambda row: row.path)

    async def add(self, mount: MountRow) -> None:
        """See the contract."""

        def work(connection: Connection) -> None:
            try:
                connection.execute(insert(MOUNTS).values(_values(mount)))
            except IntegrityError as error:
                raise MountExists(mount.path) from error
            count_up(connection, Topic.MOUNTS)

        await self._database.write(work)

    async def remove(self, path: LakePath) -> None:
        """See the contract."""

        def work(connection: Connection) -> None:
            gone = connection.execute(delete(MOUNTS).where(MOUNTS.c.path == path.text))
            if gone.rowcount == 0:
                raise MountMissing(path)
            count_up(connection, Topic.MOUNTS)

        await self._database.write(work)


def _values(mount: MountRow) -> dict[str, object]:
    return {
        "path": mount.path.text,
        "uri": mount.uri,
        "store": mount.store.text,
        "prefix": mount.prefix.text,
        "readonly": mount.readonly,
        "options": json.dumps(dict(mount.options), sort_keys=True),
        "created_ms": to_milliseconds(mount.created_at),
    }


def _mount(row: Row[*tuple[object, ...]]) -> MountRow:
    return MountRow(
        LakePath(row.path),
        row.uri,
        StoreIdentity(row.store),
        StoreKey(row.prefix),
        row.readonly,
        json.loads(row.options),
        from_milliseconds(row.created_ms),
    )
