"""The state: the only durable memory, opened."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from forebay.state.changes import StoredChanges
from forebay.state.contract import Changes, Keys, Mounts, Secrets, Settings
from forebay.state.database import Database
from forebay.state.keys import StoredKeys
from forebay.state.mounts import StoredMounts
from forebay.state.opening import open_database
from forebay.state.secrets import StoredSecrets, sealed_secret
from forebay.state.settings import StoredSettings
from forebay.state.vault import Vault, key_source, master_key

_CANARY: Final = "vault.canary"
"""A secret that tells at once whether the master key is the right one."""


@dataclass(frozen=True, slots=True)
class StateOptions:
    """Where the state is.

    Attributes:
        url: `sqlite:///<path>` or `postgresql://user:password@host/name`.
        master_key: the file with the key that seals secrets, or `env:NAME`.
    """

    url: str = field(repr=False)
    master_key: str


@dataclass(frozen=True, slots=True)
class State:
    """The durable memory, one Protocol a user. Made by `open_state`; close it when done."""

    mounts: Mounts
    keys: Keys
    secrets: Secrets
    settings: Settings
    changes: Changes
    database: Database

    async def backup(self, path: Path) -> None:
        """Write a copy of one moment to the new file `path`; its secrets stay sealed.

        Raises BadOption when the file exists, or the state is in PostgreSQL.
        """
        await self.database.backup(path)

    async def close(self) -> None:
        """Finish what was begun and let go of the database."""
        await self.database.close()


async def open_state(
    options: StateOptions,
    *,
    clock: Callable[[], datetime],
    environment: Mapping[str, str],
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> State:
    """The state at `options`, made if it is not there, and migrated.

    Raises:
        BadConfiguration: the URL is none, or the master key is missing or another one.
        StateAway: the database does not answer, or a newer version wrote it.
    """
    database = await open_database(options.url)
    try:
        vault = await _open_vault(database, options.master_key, environment, random_bytes)
        kept = StoredSecrets(database, vault, clock)
        # Read at once: a wrong master key is known before anything is served.
        await kept.once(_CANARY, lambda: "sings")
    except BaseException:
        await database.close()
        raise
    return State(
        StoredMounts(database),
        StoredKeys(database, vault, clock, random_bytes),
        kept,
        StoredSettings(database),
        StoredChanges(database),
        database,
    )


async def _open_vault(
    database: Database,
    master: str,
    environment: Mapping[str, str],
    random_bytes: Callable[[int], bytes],
) -> Vault:
    def work(connection: Connection) -> bool:
        return sealed_secret(connection, _CANARY) is None

    source = key_source(master, environment)
    is_new = await database.read(work)
    key = await asyncio.to_thread(master_key, source, random_bytes, may_create=is_new)
    return Vault(key, source.name, random_bytes)
