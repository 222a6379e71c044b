"""Lake statuses: what is known of a lake path, as every door shows it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from forebay.metadata.known import Known
from forebay.model.generation import Fingerprint, Generation
from forebay.model.paths import LakePath, StoreKey
from forebay.model.status import Kind, Ownership
from forebay.namespace.mounts import Mount

PLAIN_BYTES: Final = "binary/octet-stream"
"""The content type of a file of which the store knows none."""


class Existence(StrEnum):
    """Whether something is there: `unknown` when the store did not answer."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LakeStatus:
    """What is known of a lake path.

    Attributes:
        path: where it is.
        kind: whether it is a file or a directory.
        size: its length in bytes; 0 for a directory.
        modified_at: when the store says it was changed.
        etag: what doors show as ETag, with its quotes; '' for a directory.
        store_etag: the store's own, where it has one.
        generation: which content it is; None for a directory.
        fingerprint: what pins the content at the store.
        content_type: its media type; None for a directory, and where only a listing was asked.
        ownership: who owns it at the store.
        mount: the lake path of the mount it is in; None for a directory that only leads to mounts.
        store_key: where it is in the mount's store.
        store_uri: the URI of the same.
        checked_at: when the store was asked.
        age: how long ago that was when this was answered.
    """

    path: LakePath
    kind: Kind
    size: int = 0
    modified_at: datetime | None = None
    etag: str = ""
    store_etag: str | None = None
    generation: Generation | None = None
    fingerprint: Fingerprint | None = None
    content_type: str | None = None
    ownership: Ownership | None = None
    mount: LakePath | None = None
    store_key: StoreKey | None = None
    store_uri: str | None = None
    checked_at: datetime | None = None
    age: timedelta = timedelta(0)

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.kind is Kind.FILE

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind is Kind.DIRECTORY

    @property
    def order(self) -> bytes:
        """Its place in listings: see `order_of_path`."""
        return order_of_path(self.path, self.kind)


@dataclass(frozen=True, slots=True)
class LakePage:
    """One page of a listing, in whole-path UTF-8 order (directories compare with '/' appended).

    Attributes:
        entries: what is listed.
        next_after: what to pass as `after` for the next page; None on the last one.
        partial: whether something may be missing because a store was away.
        age: how old the oldest knowledge on it is.
        unaddressable: names that are no lake paths and were passed over.
    """

    entries: tuple[LakeStatus, ...]
    next_after: str | None = None
    partial: bool = False
    age: timedelta = timedelta(0)
    unaddressable: int = 0


def order_of_path(path: LakePath, kind: Kind) -> bytes:
    """The path without its first '/', a directory's with '/' appended: what `after` is made of."""
    text = path.text[1:]
    return f"{text}/".encode() if kind is Kind.DIRECTORY and text else text.encode()


def lake_status(path: LakePath, mount: Mount, known: Known, now: datetime) -> LakeStatus:
    """What is known of `path`, given what is known of its key."""
    status = known.status
    content_type = status.content_type
    if content_type is None and status.is_file and known.detailed:
        content_type = PLAIN_BYTES
    return LakeStatus(
        path,
        status.kind,
        size=status.size,
        modified_at=status.modified_at,
        etag=known.etag,
        store_etag=status.etag,
        generation=known.generation,
        fingerprint=status.fingerprint if status.is_file else None,
        content_type=content_type,
        ownership=status.ownership,
        mount=mount.path,
        store_key=status.key,
        store_uri=store_uri_of(mount, status.key),
        checked_at=known.checked_at,
        age=max(timedelta(0), now - known.checked_at),
    )


def leading_status(path: LakePath, mount: Mount | None, now: datetime) -> LakeStatus:
    """A directory that is there because it leads to a mount, is one, or leads to a grant."""
    if mount is None or mount.path != path:
        return LakeStatus(path, Kind.DIRECTORY, checked_at=now)
    return LakeStatus(
        path,
        Kind.DIRECTORY,
        mount=mount.path,
        store_key=mount.prefix,
        store_uri=mount.uri,
        checked_at=now,
    )


def store_uri_of(mount: Mount, key: StoreKey) -> str:
    """The URI of `key` in the mount's store."""
    below = key.below(mount.prefix)
    return f"{mount.uri.rstrip('/')}/{below}" if below else mount.uri
