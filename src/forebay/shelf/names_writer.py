"""The writer of remembered names: statuses, listings and the mount snapshot, a batch a commit.

Older knowledge never replaces newer. Every method is one or several short transactions; call them
from a thread. A lock inside keeps several callers in order.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from struct import Struct
from threading import Lock
from typing import Final

import msgspec

from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import Kind
from forebay.shelf.changes import Transaction, changing
from forebay.shelf.marks import RESERVED, SLOTS, SNAPSHOT_SLOT, Marks, slot_of
from forebay.shelf.names import (
    ID_BYTES,
    MOUNTS_KEY,
    DirectoryRecord,
    NameRecord,
    NamesDatabase,
    decode_directory,
    decode_name,
    directory_id,
    encode_name,
    ordered_name,
    owned,
)
from forebay.shelf.snapshot import MountSnapshot

_ORDER_KEY: Final = Struct(">Q8s")
_BATCH: Final = 5000
"""Names a transaction changes at most: the marks stay odd for milliseconds."""

_REORDER_MS: Final = 60_000
"""A directory moves in the order when it was checked so much later than its place says."""

_LATEST_MS: Final = 600_000
"""No answer comes later than this: what seems so much newer was seen before the clock went back."""


@dataclass(frozen=True, slots=True)
class Put:
    """A status to remember."""

    store: StoreIdentity
    key: StoreKey
    record: NameRecord


@dataclass(frozen=True, slots=True)
class Drop:
    """A name to forget: the store says that it is not there."""

    store: StoreIdentity
    key: StoreKey


class NamesWriter:
    """Changes what is remembered."""

    def __init__(self, database: NamesDatabase, marks: Marks, max_bytes: int) -> None:
        self._database = database
        self._marks = marks
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._listings: list[Listing] = []

    def write(self, puts: Sequence[Put] = (), drops: Sequence[Drop] = ()) -> None:
        """Forget and remember statuses, in this order and all in one transaction.

        A put that is older than what is known of the name changes nothing; so does one whose
        directory cannot be remembered. A name is a file or a directory: its other kind goes.
        """
        with self._lock:
            slots = {slot for put in puts for slot in _slots(put.store.text, put.key.text)}
            slots |= {slot for drop in drops for slot in _slots(drop.store.text, drop.key.text)}
            with self._changing(slots) as transaction:
                for drop in drops:
                    self._drop(transaction, drop)
                for put in puts:
                    self._put(transaction, put)

    def listing(self, store: StoreIdentity, directory: StoreKey, started_ms: int) -> "Listing":
        """Begin to replace the remembered listing of a directory by one begun at `started_ms`."""
        with self._lock:
            listing = Listing(self, store.text, directory.text, started_ms)
            self._listings.append(listing)
            return listing

    def replace_listing(
        self,
        store: StoreIdentity,
        directory: StoreKey,
        entries: Iterable[tuple[str, NameRecord]],
        started_ms: int,
        unaddressable: int = 0,
    ) -> None:
        """Remember a whole listing that is at hand; `entries` in whole-key order."""
        listing = self.listing(store, directory, started_ms)
        try:
            batch: list[tuple[str, NameRecord]] = []
            for entry in entries:
                batch.append(entry)
                if len(batch) == _BATCH:
                    listing.put(batch)
                    batch = []
            listing.put(batch)
            listing.finish(unaddressable)
        finally:
            listing.close()

    def forget(self, store: StoreIdentity, key: StoreKey, *, recursive: bool = False) -> None:
        """Forget a name and, if it is a directory, its listing; recursive: all that is below."""
        with self._lock:
            for listing in self._listings:
                listing.broken |= listing.store == store.text and (
                    listing.directory == key.text
                    or (recursive and StoreKey(listing.directory).is_under(key))
                )
            with self._changing(set(_slots(store.text, key.text))) as transaction:
                self._drop(transaction, Drop(store, key))
            for record in self._directories(store.text, key, recursive=recursive):
                self._forget_directory(record)

    def unlist(self, store: StoreIdentity, directory: StoreKey) -> None:
        """Remember no complete listing of a directory any more; its names stay."""
        with self._lock:
            for listing in self._listings:
                listing.broken |= listing.is_of(store.text, directory.text)
            with self._changing(set()) as transaction:
                identity = directory_id(store.text, directory.text)
                raw = transaction.get(identity, db=self._database.directories)
                if owned(raw, store.text, directory.text) is not None:
                    self._set_directory(transaction, identity, listed_ms=0)

    def forget_everything(self) -> None:
        """Remember nothing any more of any store; the mount table stays."""
        with self._lock:
            for listing in self._listings:
                listing.broken = True
            with self._changing(set(range(RESERVED, SLOTS))) as transaction:
                database = self._database
                for table in (database.status, database.directories, database.order):
                    transaction.drop(table, delete=False)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """No change is under way inside; one that a thread begins meanwhile waits."""
        with self._lock:
            yield

    def publish(self, snapshot: MountSnapshot) -> None:
        """Make this the mount table for all readers of this host."""
        with self._lock, self._changing({SNAPSHOT_SLOT}) as transaction:
            transaction.put(MOUNTS_KEY, snapshot.encode(), db=self._database.house)

    def room(self) -> int:
        """Drop whole directories, least recently checked first, until it fits. How many went."""
        dropped = 0
        with self._lock:
            if self._bytes() <= self._max_bytes:
                return 0
            while self._bytes() > self._max_bytes * 9 // 10:
                record = self._oldest()
                if record is None:
                    break
                self._forget_directory(record)
                dropped += 1
        return dropped

    def _bytes(self) -> int:
        database, pages = self._database, 0
        with database.environment.begin() as transaction:
            for table in (database.status, database.directories, database.order):
                stat = transaction.stat(table)
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
            return int(pages * transaction.stat(database.status)["psize"])

    def _oldest(self) -> DirectoryRecord | None:
        database = self._database
        with database.environment.begin() as transaction:
            cursor = transaction.cursor(db=database.order)
            if not cursor.first():
                return None
            raw = transaction.get(cursor.key()[ID_BYTES:], db=database.directories)
            return None if raw is None else decode_directory(raw)

    def _directories(self, store: str, key: StoreKey, *, recursive: bool) -> list[DirectoryRecord]:
        database, found = self._database, []
        with database.environment.begin() as transaction:
            if not recursive:
                raw = transaction.get(directory_id(store, key.text), db=database.directories)
                return [] if raw is None else [decode_directory(raw)]
            for _, raw in transaction.cursor(db=database.directories):
                record = decode_directory(raw)
                if record.store == store and StoreKey(record.key).is_under(key):
                    found.append(record)
        return found

    def _forget_directory(self, record: DirectoryRecord) -> None:
        """Drop all its names in short transactions, the record with the last of them."""
        identity = directory_id(record.store, record.key)
        database, more = self._database, True
        while more:
            with database.environment.begin() as transaction:
                keys = _names_from(transaction, database, identity, _BATCH)
            more = len(keys) == _BATCH
            with self._changing({slot_of(key) for key in keys}) as transaction:
                for key in keys:
                    transaction.delete(key, db=database.status)
                if more:
                    self._set_directory(transaction, identity, listed_ms=0)
                else:
                    transaction.delete(identity, db=database.directories)
                    transaction.delete(
                        _ORDER_KEY.pack(record.ordered_ms, identity), db=database.order
                    )

    def _changing(self, slots: set[int]) -> AbstractContextManager[Transaction]:
        return changing(self._database.environment, self._marks, slots)

    def _put(self, transaction: Transaction, put: Put) -> None:
        directory, _, name = put.key.text.rpartition("/")
        about = self._directory(transaction, put.store.text, directory, put.record.checked_ms)
        if about is None:
            return
        identity = directory_id(put.store.text, directory)
        place = identity + ordered_name(name, put.record.kind)
        other = Kind.FILE if put.record.kind is Kind.DIRECTORY else Kind.DIRECTORY
        checked = put.record.checked_ms
        for listing in self._listings:
            if listing.is_of(put.store.text, directory):
                if checked < listing.started_ms:
                    return
                listing.overtaken.add(name)
        raw = transaction.get(place, db=self._database.status)
        known_at = 0 if raw is None else max(decode_name(raw).checked_ms, about.seen_ms)
        if raw is None and about.listed_ms:
            known_at = about.listed_ms
        if checked < known_at <= checked + _LATEST_MS:
            return
        transaction.put(place, encode_name(put.record), db=self._database.status)
        if put.record.kind is Kind.FILE:
            return
        # A directory took the place of a file: the file would be found first.
        transaction.delete(identity + ordered_name(name, other), db=self._database.status)

    def _drop(self, transaction: Transaction, drop: Drop) -> None:
        directory, _, name = drop.key.text.rpartition("/")
        for listing in self._listings:
            if listing.is_of(drop.store.text, directory):
                listing.overtaken.add(name)
        identity = directory_id(drop.store.text, directory)
        about = transaction.get(identity, db=self._database.directories)
        if about is None or decode_directory(about).key != directory:
            return
        for kind in Kind:
            transaction.delete(identity + ordered_name(name, kind), db=self._database.status)

    def _directory(
        self, transaction: Transaction, store: str, key: str, checked_ms: int
    ) -> DirectoryRecord | None:
        """The record of a directory, made if need be; None if its id belongs to another one."""
        identity = directory_id(store, key)
        raw = transaction.get(identity, db=self._database.directories)
        if raw is None:
            record = DirectoryRecord(store, key)
        else:
            record = decode_directory(raw)
            if record.store != store or record.key != key:
                return None
        if raw is None or checked_ms > record.ordered_ms + _REORDER_MS:
            self._order(transaction, identity, record, checked_ms)
        return record

    def _order(
        self, transaction: Transaction, identity: bytes, record: DirectoryRecord, at_ms: int
    ) -> None:
        """Write the record, with its place in the order at `at_ms`."""
        database = self._database
        transaction.delete(_ORDER_KEY.pack(record.ordered_ms, identity), db=database.order)
        transaction.put(_ORDER_KEY.pack(at_ms, identity), b"", db=database.order)
        placed = msgspec.structs.replace(record, ordered_ms=at_ms)
        transaction.put(identity, encode_name(placed), db=database.directories)

    def _set_directory(self, transaction: Transaction, identity: bytes, **changes: int) -> None:
        raw = transaction.get(identity, db=self._database.directories)
        if raw is not None:
            record = msgspec.structs.replace(decode_directory(raw), **changes)
            transaction.put(identity, encode_name(record), db=self._database.directories)


class Listing:
    """A listing on its way into the memory: pages in order, then `finish`.

    Until it is finished no complete listing of the directory is remembered, from the first page on
    that changes anything; names that did not change stay known. A name that was written or dropped
    meanwhile by others keeps what they said. Close it in any case.
    """

    def __init__(self, writer: NamesWriter, store: str, directory: str, started_ms: int) -> None:
        self.store = store
        self.directory = directory
        self.started_ms = started_ms
        self.overtaken: set[str] = set()
        self.broken = False
        self._writer = writer
        self._identity = directory_id(store, directory)
        self._position = self._identity
        self._count = 0

    def is_of(self, store: str, directory: str) -> bool:
        """Whether it is of this directory."""
        return self.directory == directory and self.store == store

    def put(self, entries: Sequence[tuple[str, NameRecord]]) -> None:
        """The next page, in whole-key order: what lies between its names is gone from the store."""
        for start in range(0, len(entries), _BATCH):
            batch = {
                self._identity + ordered_name(name, record.kind): (name, record)
                for name, record in entries[start : start + _BATCH]
            }
            if batch:
                self._merge(batch, next(reversed(batch)))

    def finish(self, unaddressable: int = 0) -> bool:
        """All pages were put. False if the directory was forgotten meanwhile: nothing is kept."""
        self._merge({}, None)
        writer = self._writer
        with writer._lock:  # noqa: SLF001 - a listing is a part of its writer
            if self.broken:
                return False
            with writer._changing(set()) as transaction:  # noqa: SLF001
                about = writer._directory(  # noqa: SLF001
                    transaction, self.store, self.directory, self.started_ms
                )
                if about is None:
                    return False
                writer._set_directory(  # noqa: SLF001
                    transaction,
                    self._identity,
                    listed_ms=self.started_ms,
                    seen_ms=self.started_ms,
                    count=self._count,
                    unaddressable=unaddressable,
                )
        self.close()
        return True

    def close(self) -> None:
        """End it, finished or not."""
        writer = self._writer
        with writer._lock:  # noqa: SLF001
            if self in writer._listings:  # noqa: SLF001
                writer._listings.remove(self)  # noqa: SLF001

    def _merge(self, batch: dict[bytes, tuple[str, NameRecord]], last: bytes | None) -> None:
        """Make what is remembered up to `last` (None: to the end) be what the batch says."""
        writer = self._writer
        with writer._lock:  # noqa: SLF001
            if self.broken:
                return
            database = writer._database  # noqa: SLF001
            more = True
            while more:
                with database.environment.begin() as transaction:
                    known = _records_from(transaction, database, self._position, last)
                more = len(known) == _BATCH
                upto = next(reversed(known)) if more else last
                now = {key: entry for key, entry in batch.items() if upto is None or key <= upto}
                self._change(known, now)
                for key in now:
                    del batch[key]
                self._count += len(now)
                # The next walk begins behind what was done.
                self._position = (upto or self._position) + b"\0"

    def _change(self, known: dict[bytes, bytes], now: dict[bytes, tuple[str, NameRecord]]) -> None:
        puts = {
            key: record
            for key, (name, record) in now.items()
            if name not in self.overtaken and not _same(known.get(key), record)
        }
        gone = [key for key in known if key not in now and self._may_drop(key)]
        if not puts and not gone:
            return
        writer = self._writer
        database = writer._database  # noqa: SLF001
        slots = {slot_of(key) for key in (*puts, *gone)}
        with writer._changing(slots) as transaction:  # noqa: SLF001
            about = writer._directory(  # noqa: SLF001
                transaction, self.store, self.directory, self.started_ms
            )
            if about is None:
                self.broken = True
                return
            writer._set_directory(transaction, self._identity, listed_ms=0)  # noqa: SLF001
            for key, record in puts.items():
                transaction.put(key, encode_name(record), db=database.status)
            for key in gone:
                transaction.delete(key, db=database.status)

    def _may_drop(self, key: bytes) -> bool:
        # The root of a store is in itself, and no listing shows it.
        name = key[ID_BYTES:].decode().removesuffix("/")
        return name not in self.overtaken and name != ""


def _slots(store: str, key: str) -> tuple[int, int]:
    """The marks of a name, as a file and as a directory."""
    directory, _, name = key.rpartition("/")
    place = directory_id(store, directory) + name.encode()
    return slot_of(place), slot_of(place + b"/")


def _names_from(
    transaction: Transaction, database: NamesDatabase, start: bytes, most: int
) -> list[bytes]:
    cursor, identity = transaction.cursor(db=database.status), start[:ID_BYTES]
    found: list[bytes] = []
    if cursor.set_range(start):
        for key in cursor.iternext(keys=True, values=False):
            if len(found) == most or not key.startswith(identity):
                break
            found.append(key)
    return found


def _records_from(
    transaction: Transaction, database: NamesDatabase, start: bytes, last: bytes | None
) -> dict[bytes, bytes]:
    """The names from `start` to `last` (None: to the end of the directory), a batch at most."""
    cursor, identity = transaction.cursor(db=database.status), start[:ID_BYTES]
    found: dict[bytes, bytes] = {}
    if cursor.set_range(start):
        for key, raw in cursor:
            if len(found) == _BATCH or not key.startswith(identity):
                break
            if last is not None and key > last:
                break
            found[key] = raw
    return found


def _same(raw: bytes | None, record: NameRecord) -> bool:
    """Whether the record says what is remembered, but for the time of asking.

    A remembered status that tells more of the same content stays.
    """
    if raw is None:
        return False
    known = decode_name(raw)
    if known.detailed and not record.detailed:
        return (
            known.kind is record.kind
            and known.size == record.size
            and known.modified_ms == record.modified_ms
            and known.generation == record.generation
        )
    return known == msgspec.structs.replace(record, checked_ms=known.checked_ms)
