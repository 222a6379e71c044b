"""The access keys, in a database."""

from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from forebay.model.errors import BadKey
from forebay.model.grants import Caller, Grant, Right
from forebay.model.paths import LakePath
from forebay.model.status import from_milliseconds, to_milliseconds
from forebay.state.changes import count_up
from forebay.state.contract import Topic
from forebay.state.database import Database
from forebay.state.rows import KeyRow, KeySecret, NewKey, RingKey
from forebay.state.tables import GRANTS, KEYS
from forebay.state.vault import Sealed, Vault

_SECRET_BYTES: Final = 25
"""200 bits: forty letters of Base32, which no shell, URL or file format needs escaped."""

_Rows = Sequence[Row[*tuple[object, ...]]]


class StoredKeys:
    """See `contract.Keys`.

    Args:
        database: where they are kept.
        vault: seals their secrets.
        clock: the time now, in UTC.
        random_bytes: gives that many bytes that nobody can guess.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._random_bytes = random_bytes

    async def create(self, grants: Sequence[Grant], description: str = "") -> NewKey:
        """See the contract."""
        key = NewKey(f"FB{_letters(self._random_bytes(12))[:18]}", self._new_secret())
        values = {
            "key_id": key.key_id,
            "description": description,
            "created_ms": self._now(),
            **self._sealed(key),
        }
        rights: dict[LakePath, Right] = {}
        for grant in grants:
            rights[grant.path] = max(grant.right, rights.get(grant.path, grant.right))

        def work(connection: Connection) -> None:
            connection.execute(insert(KEYS).values(values))
            for path, right in rights.items():
                connection.execute(
                    insert(GRANTS).values(
                        key_id=key.key_id, path=path.text, allowed=right.name.lower()
                    )
                )
            count_up(connection, Topic.KEYS)

        await self._database.write(work)
        return key

    async def all(self) -> Sequence[KeyRow]:
        """See the contract."""
        now = self._now()
        rows, grants = await self._read(None)
        keys = [_key(row, grants.get(row.key_id, ()), now) for row in rows]
        return sorted(keys, key=lambda key: (key.created_at, key.key_id))

    async def ring(self) -> Sequence[RingKey]:
        """See the contract."""
        now = self._now()
        rows, grants = await self._read(KEYS.c.revoked_ms.is_(None))
        return [
            RingKey(Caller(row.key_id, grants.get(row.key_id, ())), self._secrets(row, now))
            for row in rows
        ]

    async def revoke(self, key_id: str) -> None:
        """See the contract."""
        now = self._now()

        def work(connection: Connection) -> None:
            row = _row(connection, key_id)
            if row is None:
                raise BadKey(key_id, "is no key")
            if row.revoked_ms is not None:
                return
            # Nobody shall open a revoked secret again, not even the owner of the master key.
            _change(
                connection,
                key_id,
                {"revoked_ms": now, "nonce": b"", "ciphertext": b"", **_no_old_secret()},
            )

        await self._database.write(work)

    async def rotate(self, key_id: str, grace: timedelta = timedelta(0)) -> NewKey:
        """See the contract."""
        key = NewKey(key_id, self._new_secret())
        until = self._now() + grace // timedelta(milliseconds=1)
        sealed = self._sealed(key)

        def work(connection: Connection) -> None:
            row = _row(connection, key_id)
            if row is None or row.revoked_ms is not None:
                raise BadKey(key_id, "is no key" if row is None else "is revoked")
            old = _no_old_secret()
            if grace > timedelta(0):
                # Sealed under the key's id alone, so that it opens in its new place as well.
                old = {
                    "old_nonce": row.nonce,
                    "old_ciphertext": row.ciphertext,
                    "old_until_ms": until,
                }
            _change(connection, key_id, {**sealed, **old})

        await self._database.write(work)
        return key

    def _now(self) -> int:
        return to_milliseconds(self._clock())

    def _new_secret(self) -> str:
        return _letters(self._random_bytes(_SECRET_BYTES)).lower()

    def _sealed(self, key: NewKey) -> dict[str, object]:
        sealed = self._vault.seal(_sealed_name(key.key_id), key.secret)
        return {"nonce": sealed.nonce, "ciphertext": sealed.ciphertext}

    def _secrets(self, row: Row[*tuple[object, ...]], now: int) -> tuple[KeySecret, ...]:
        name = _sealed_name(row.key_id)
        newest = Sealed(bytes(row.nonce), bytes(row.ciphertext))
        secrets = [KeySecret(self._vault.open(name, newest))]
        if row.old_until_ms is not None and row.old_until_ms > now:
            old = Sealed(bytes(row.old_nonce), bytes(row.old_ciphertext))
            until = from_milliseconds(row.old_until_ms)
            secrets.append(KeySecret(self._vault.open(name, old), until))
        return tuple(secrets)

    async def _read(
        self, condition: ColumnElement[bool] | None
    ) -> tuple[_Rows, Mapping[str, tuple[Grant, ...]]]:
        def work(connection: Connection) -> tuple[_Rows, _Rows]:
            statement = select(KEYS) if condition is None else select(KEYS).where(condition)
            keys = (connection.execute(statement)).all()
            return keys, (connection.execute(select(GRANTS))).all()

        keys, rows = await self._database.read(work)
        grants: dict[str, tuple[Grant, ...]] = {}
        for row in sorted(rows, key=lambda row: str(row.path)):
            grant = Grant(LakePath(row.path), Right[row.allowed.upper()])
            grants[row.key_id] = (*grants.get(row.key_id, ()), grant)
        return keys, grants


def _row(connection: Connection, key_id: str) -> Row[*tuple[object, ...]] | None:
    # Locked: two rotations at once must not both put the same old secret aside.
    statement = select(KEYS).where(KEYS.c.key_id == key_id).with_for_update()
    return (connection.execute(statement)).one_or_none()


def _change(connection: Connection, key_id: str, values: Mapping[str, object]) -> None:
    connection.execute(update(KEYS).where(KEYS.c.key_id == key_id).values(values))
    count_up(connection, Topic.KEYS)


def _no_old_secret() -> dict[str, object]:
    return {"old_nonce": None, "old_ciphertext": None, "old_until_ms": None}


def _key(row: Row[*tuple[object, ...]], grants: tuple[Grant, ...], now: int) -> KeyRow:
    has_old = row.old_until_ms is not None and row.old_until_ms > now
    return KeyRow(
        row.key_id,
        row.description,
        grants,
        from_milliseconds(row.created_ms),
        None if row.revoked_ms is None else from_milliseconds(row.revoked_ms),
        from_milliseconds(row.old_until_ms) if has_old else None,
    )


def _letters(raw: bytes) -> str:
    return b32encode(raw).decode().rstrip("=")


def _sealed_name(key_id: str) -> str:
    return f"key:{key_id}"
