"""What is known: a status together with its generation, and when the store was asked."""

from dataclasses import dataclass
from datetime import datetime

from forebay.model.generation import Fingerprint, Generation, StoreIdentity, door_etag, first_seen
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Ownership, from_milliseconds, to_milliseconds
from forebay.shelf.names import NameRecord


@dataclass(frozen=True, slots=True)
class Known:
    """A status, as the store had it at `checked_at`.

    Attributes:
        status: what the store said.
        generation: which content it is; None for a directory.
        etag: what doors show as ETag, with its quotes; '' for a directory.
        checked_at: when the store was asked.
        detailed: whether the status tells all that the store knows (a listing may tell less).
    """

    status: FileStatus
    generation: Generation | None
    etag: str
    checked_at: datetime
    detailed: bool


@dataclass(frozen=True, slots=True)
class KnownPage:
    """One page of a directory, in whole-key order.

    Attributes:
        entries: what is in it.
        next_after: the whole key after which the next page begins; None on the last one.
        checked_at: when the store was asked.
        unaddressable: how many names of the directory (or, while it is not remembered, of this
            page) are no lake paths.
    """

    entries: tuple[Known, ...]
    next_after: str | None
    checked_at: datetime
    unaddressable: int = 0


def known_now(
    store: StoreIdentity, status: FileStatus, checked_at: datetime, *, detailed: bool
) -> Known:
    """What is known when a store has just told `status`."""
    if status.is_directory:
        return Known(status, None, "", checked_at, detailed)
    generation = first_seen(store, status.key, status.fingerprint)
    return Known(status, generation, door_etag(generation), checked_at, detailed)


def moment(seconds: float) -> datetime:
    """The UTC time `seconds` after 1970, in whole milliseconds, never later than meant."""
    return from_milliseconds(int(seconds * 1000))


def record_of(known: Known) -> NameRecord:
    """`known` as the shelf remembers it."""
    status = known.status
    owned = status.ownership
    return NameRecord(
        kind=status.kind,
        size=status.size,
        modified_ms=None if status.modified_at is None else to_milliseconds(status.modified_at),
        checked_ms=to_milliseconds(known.checked_at),
        generation=b"" if known.generation is None else known.generation.raw,
        fingerprint=status.fingerprint.text,
        store_etag=status.etag,
        content_type=status.content_type,
        owner=None if owned is None else owned.owner,
        group=None if owned is None else owned.group,
        mode=None if owned is None else owned.mode,
        detailed=known.detailed,
    )


def known_of(key: StoreKey, record: NameRecord, checked_at: datetime) -> Known:
    """What the shelf remembers of `key`, last known to be so at `checked_at`."""
    status = FileStatus(
        key,
        record.kind,
        size=record.size,
        modified_at=None if record.modified_ms is None else from_milliseconds(record.modified_ms),
        fingerprint=Fingerprint(record.fingerprint),
        etag=record.store_etag,
        content_type=record.content_type,
        ownership=_ownership_of(record),
    )
    generation = Generation(record.generation) if record.generation else None
    etag = record.etag if generation is None or record.etag else door_etag(generation)
    return Known(status, generation, etag, checked_at, record.detailed)


def _ownership_of(record: NameRecord) -> Ownership | None:
    if record.owner is None or record.group is None or record.mode is None:
        return None
    return Ownership(record.owner, record.group, record.mode)
