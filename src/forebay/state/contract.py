"""The state contract: what the durable memory promises, one Protocol a user.

Promises that hold for every verb:

- A change that was acknowledged is durable: it survives kill -9 and a power cut.
- A change is whole or not at all. A call that is cancelled may or may not have changed something.
- Errors are those of `forebay.model.errors`; StateAway when the database does not answer.
- Safe for concurrent use from one event loop; several nodes may share a PostgreSQL database.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from forebay.model.grants import Grant
from forebay.model.paths import LakePath
from forebay.state.rows import KeyRow, MountRow, NewKey, RingKey


class Topic(StrEnum):
    """What changes are counted for."""

    MOUNTS = "mounts"
    KEYS = "keys"
    SECRETS = "secrets"


class Changes(Protocol):
    """Tells cheaply whether something has changed."""

    async def count(self, topic: Topic) -> int:
        """A number that grows with every acknowledged change, from whichever node."""
        ...


class Mounts(Protocol):
    """Remembers the mounts."""

    async def all(self) -> Sequence[MountRow]:
        """All of them, by path."""
        ...

    async def add(self, mount: MountRow) -> None:
        """Remember it. Raises MountExists."""
        ...

    async def remove(self, path: LakePath) -> None:
        """Forget it. Raises MountMissing."""
        ...


class Keys(Protocol):
    """Keeps the access keys."""

    async def create(self, grants: Sequence[Grant], description: str = "") -> NewKey:
        """A new key with these grants."""
        ...

    async def all(self) -> Sequence[KeyRow]:
        """All keys, revoked ones too, the oldest first."""
        ...

    async def ring(self) -> Sequence[RingKey]:
        """The keys that are valid now, with their secrets.

        An old secret's `until` is to be looked at when the secret is used.
        """
        ...

    async def revoke(self, key_id: str) -> None:
        """Make the key invalid for ever; once more is no error. Raises BadKey."""
        ...

    async def rotate(self, key_id: str, grace: timedelta = timedelta(0)) -> NewKey:
        """A new secret for the key, with the same id and grants.

        The old secret is valid for `grace`; one from an earlier rotation is valid no longer.
        Raises BadKey when the key is unknown or revoked.
        """
        ...


class Secrets(Protocol):
    """Keeps secrets by name, encrypted."""

    async def put(self, name: str, value: str) -> None:
        """Keep `value` under `name`; what was there is replaced."""
        ...

    async def get(self, name: str) -> str | None:
        """What is kept under `name`, or None."""
        ...

    async def once(self, name: str, make: Callable[[], str]) -> str:
        """What is kept under `name`; if nothing is, what `make` gives is kept.

        All callers, of all nodes, get the same.
        """
        ...

    async def remove(self, *names: str) -> None:
        """Forget these; one that is not there is no error."""
        ...


class Settings(Protocol):
    """Keeps values that are made once, such as the id of the deployment. Not for secrets."""

    async def once(self, name: str, make: Callable[[], str]) -> str:
        """What is kept under `name`; if nothing is, what `make` gives is kept.

        All callers, of all nodes, get the same.
        """
        ...
