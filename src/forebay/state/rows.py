"""The rows of the state, as its users see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from forebay.model.generation import StoreIdentity
from forebay.model.grants import Caller, Grant
from forebay.model.paths import LakePath, StoreKey


@dataclass(frozen=True, slots=True)
class MountRow:
    """A mount as it is remembered.

    `options` are as they were given, but for secrets: those are references.
    """

    path: LakePath
    uri: str
    store: StoreIdentity
    prefix: StoreKey
    readonly: bool
    options: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An access key without its secret.

    `old_secret_until` is set while the secret from before a rotation is valid as well.
    """

    key_id: str
    description: str
    grants: tuple[Grant, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    old_secret_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """An access key with its secret, which is shown this once."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeySecret:
    """A secret of a key; `until` is set for one that was rotated away."""

    text: str = field(repr=False)
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RingKey:
    """What a door needs of one key: who it is, and the secrets that are valid, newest first."""

    caller: Caller
    secrets: tuple[KeySecret, ...]
