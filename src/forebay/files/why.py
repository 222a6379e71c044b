"""The why: all that explains how a path is answered."""

from dataclasses import dataclass
from datetime import timedelta

from forebay.cache.keeper import HeldShare
from forebay.files.errors_seen import ErrorSeen
from forebay.files.status import Existence, LakeStatus
from forebay.model.paths import LakePath, StoreKey
from forebay.stores.contract import StoreDigest


@dataclass(frozen=True, slots=True)
class Why:
    """How a path is answered, and why so.

    Attributes:
        path: which.
        existence: present, absent or unknown.
        placement: a sentence: which mount leads where.
        mount: the lake path of the mount; None above all mounts.
        store: the identity of the store.
        store_key: where it is in it.
        sync: how old an answer may be: `never` asked again, `always`, or a duration.
        status: what is known, however old; None where nothing is.
        age: how old that is.
        is_fresh: whether it would be served without asking the store.
        cached_bytes: how much of the file is cached.
        cached_share: the same as a share of its size; 1 for an empty file, 0 for a directory.
        last_error: what went wrong with it lately.
    """

    path: LakePath
    existence: Existence
    placement: str
    mount: LakePath | None = None
    store: str | None = None
    store_key: StoreKey | None = None
    sync: str | None = None
    status: LakeStatus | None = None
    age: timedelta | None = None
    is_fresh: bool = False
    cached_bytes: int = 0
    cached_share: float = 0.0
    last_error: ErrorSeen | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes of a file are.

    Attributes:
        status: of the file.
        held: how much of it is cached on this host.
        blocks: how many blocks it has.
        hosts: of the store, that hold its bytes; empty where the store does not say.
    """

    status: LakeStatus
    held: HeldShare
    blocks: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checksum:
    """The digest that the store keeps of a file; None where it keeps none."""

    status: LakeStatus
    digest: StoreDigest | None
