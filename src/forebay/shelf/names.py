"""Remembered names: what was last seen of each file and directory of the stores, on this host.

Keyed by store, not by mount: two mounts of one place remember it once. One LMDB environment:

    status       directory id (8) + ordered name  ->  NameRecord
    directories  directory id (8)                 ->  DirectoryRecord
    order        checked at (8, ms) + id (8)      ->  nothing; the least recently checked first
    house        b"mounts"                        ->  the mount snapshot

The ordered name of a directory ends with '/', so that a walk gives whole-key order. The id is a
hash: the directory record holds its texts, which are compared, and a directory whose id belongs to
another one is simply not remembered.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import lmdb
import msgspec

from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import Kind
from forebay.shelf.snapshot import MountSnapshot, decode_snapshot

ID_BYTES: Final = 8
MOUNTS_KEY: Final = b"mounts"


class NameRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was last seen of one name.

    Attributes:
        kind: file or directory.
        size: bytes; 0 for a directory.
        modified_ms: milliseconds since the epoch; None where the store has none.
        checked_ms: when the store was asked (see `Remembered.checked_ms` for the time that counts).
        generation: 16 bytes, or b"" for a directory.
        fingerprint: what pins the content; '' for a directory.
        etag: the ETag that doors show; '': `door_etag(generation)`.
        store_etag: the store's own, with its quotes, or None.
        content_type: or None where it is not known.
        owner: or None where the store has none; so `group`, `mode`.
        group: see `owner`.
        mode: see `owner`.
        detailed: it tells as much as the store's `stat` does.
    """

    kind: Kind
    size: int
    modified_ms: int | None
    checked_ms: int
    generation: bytes
    fingerprint: str
    etag: str = ""
    store_etag: str | None = None
    content_type: str | None = None
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    detailed: bool = False


class DirectoryRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is remembered of a directory as a whole.

    Attributes:
        store: identity of the store, as text.
        key: its store key, as text.
        listed_ms: when the complete listing that is held was begun; 0: none is held.
        seen_ms: every status of it was seen to be so at this time or later.
        ordered_ms: its place in the order in which directories are dropped.
        count: entries of the complete listing.
        unaddressable: names of the listing that are no lake paths.
    """

    store: str
    key: str
    listed_ms: int = 0
    seen_ms: int = 0
    ordered_ms: int = 0
    count: int = 0
    unaddressable: int = 0


class Remembered(NamedTuple):
    """A record and when it was last known to be so (an unchanged listing renews all its names)."""

    record: NameRecord
    checked_ms: int


encode_name = msgspec.msgpack.Encoder().encode
decode_name = msgspec.msgpack.Decoder(NameRecord).decode
decode_directory = msgspec.msgpack.Decoder(DirectoryRecord).decode


def directory_id(store: str, directory: str) -> bytes:
    """The id of a directory of a store."""
    return blake2b(f"{store}\0{directory}".encode(), digest_size=ID_BYTES).digest()


def ordered_name(name: str, kind: Kind) -> bytes:
    """The name as it is ordered: a directory's with '/' appended."""
    return name.encode() + b"/" if kind is Kind.DIRECTORY else name.encode()


class NamesDatabase:
    """The open environment and its tables."""

    __slots__ = ("directories", "environment", "house", "order", "status")

    def __init__(self, path: Path, map_bytes: int, *, write: bool) -> None:
        self.environment = lmdb.open(
            str(path),
            map_size=map_bytes,
            max_dbs=4,
            readonly=not write,
            create=write,
            mode=0o600,
            # Nothing here cannot be had again: no commit waits for the disk.
            sync=False,
            readahead=False,
            max_readers=1024,
            max_spare_txns=4,
        )
        open_table = self.environment.open_db
        self.status = open_table(b"status", create=write)
        self.directories = open_table(b"directories", create=write)
        self.order = open_table(b"order", create=write)
        self.house = open_table(b"house", create=write)


class NamesReader:
    """Looks names up; a few microseconds each, and no lock."""

    __slots__ = ("_database",)

    def __init__(self, database: NamesDatabase) -> None:
        self._database = database

    def status(self, store: StoreIdentity, key: StoreKey) -> Remembered | None:
        """What is remembered of a key; a file before a directory of the same name."""
        directory, _, name = key.text.rpartition("/")
        identity = directory_id(store.text, directory)
        place = identity + name.encode()
        database = self._database
        with database.environment.begin() as transaction:
            raw = transaction.get(place, db=database.status) or transaction.get(
                place + b"/", db=database.status
            )
            if raw is None:
                return None
            about = transaction.get(identity, db=database.directories)
        return remembered(raw, about, store.text, directory)

    def raw(self, place: bytes, identity: bytes) -> tuple[bytes, bytes | None] | None:
        """The rows of a name and of its directory, undecoded: the hot path's way."""
        database = self._database
        with database.environment.begin() as transaction:
            found = transaction.get(place, db=database.status)
            if found is None:
                return None
            return found, transaction.get(identity, db=database.directories)

    def newest_ms(self) -> int:
        """About when the last directory that is remembered was checked; 0: none is."""
        database = self._database
        with database.environment.begin() as transaction:
            cursor = transaction.cursor(db=database.order)
            return int.from_bytes(cursor.key()[:8], "big") if cursor.last() else 0

    def directory(self, store: StoreIdentity, key: StoreKey) -> DirectoryRecord | None:
        """What is remembered of a directory as a whole; `listed_ms` tells if its page is held."""
        database = self._database
        with database.environment.begin() as transaction:
            raw = transaction.get(directory_id(store.text, key.text), db=database.directories)
        return owned(raw, store.text, key.text)

    def page(
        self, store: StoreIdentity, directory: StoreKey, after: str = "", most: int = 1000
    ) -> list[tuple[str, NameRecord]]:
        """At most `most` names directly in a directory, in whole-key order, with their records.

        `after` is a name as ordered (a directory's with '/'). The names come without the '/'.
        What is remembered may be less than what is there: see `directory(...).listed_ms`; that
        record's `seen_ms` renews every `checked_ms` of the page.
        """
        return list(self._walk(store.text, directory.text, after.encode(), most))

    def snapshot(self) -> MountSnapshot:
        """The mount table as it was last published."""
        database = self._database
        with database.environment.begin() as transaction:
            raw = transaction.get(MOUNTS_KEY, db=database.house)
        return MountSnapshot() if raw is None else decode_snapshot(raw)

    def _walk(
        self, store: str, directory: str, after: bytes, most: int
    ) -> Iterator[tuple[str, NameRecord]]:
        identity = directory_id(store, directory)
        database = self._database
        decode = decode_name
        with database.environment.begin() as transaction:
            if owned(transaction.get(identity, db=database.directories), store, directory) is None:
                return
            cursor = transaction.cursor(db=database.status)
            # NUL is in no name: nothing lies between a name and the name with NUL behind it.
            if not cursor.set_range(identity + after + b"\0" if after else identity):
                return
            for key, raw in cursor:
                if not most or not key.startswith(identity):
                    return
                if key[-1] == _SLASH:
                    if len(key) == ID_BYTES + 1:
                        continue  # the root of the store, which is in itself
                    name = key[ID_BYTES:-1].decode()
                else:
                    name = key[ID_BYTES:].decode()
                most -= 1
                yield name, decode(raw)


_SLASH: Final = ord("/")


def owned(raw: bytes | None, store: str, directory: str) -> DirectoryRecord | None:
    """The directory record, if it is this directory's and not one with the same id."""
    if raw is None:
        return None
    about = decode_directory(raw)
    return about if about.store == store and about.key == directory else None


def remembered(raw: bytes, about: bytes | None, store: str, directory: str) -> Remembered | None:
    """The record of a name, given its directory's."""
    parent = owned(about, store, directory)
    if parent is None:
        return None
    record = decode_name(raw)
    return Remembered(record, max(record.checked_ms, parent.seen_ms))
