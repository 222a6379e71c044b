"""The store contract: what every store promises, one Protocol a verb.

Promises that hold for every verb:

- It ends. Every call has a deadline of ours (the adapter's, or the retry wrapper's); a store that
  does not answer is `StoreAway`, which says nothing about whether the file exists.
- Keys of `.forebay` cannot be built (`StoreKey` refuses them); listings pass over names that are no
  store keys, and count them.
- Errors are those of `forebay.model.errors` and no others. `StoreRefused`: credentials or rights.
  `StoreBusy`: it asks us to slow down. `StoreLied`: it sent other bytes than it announced.
- Cancelling a call stops it; what it had written in part is never visible.
- Safe for concurrent use from one event loop.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from forebay.model.conditions import WriteCondition
from forebay.model.generation import Fingerprint, StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus, Page

Chunk = bytes | bytearray | memoryview
"""Bytes as they arrive from a store; valid until the next one is asked for."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a store can do. Deciders look here; nobody asks `isinstance` or `hasattr`.

    Attributes:
        real_directories: directories exist by themselves (HDFS, files); else they are prefixes.
        pinned_ranges: a ranged read is bound to the fingerprint by the store (If-Match): `verify`
            costs nothing. Else what was read must be verified before it is believed.
        conditional_create: `IfAbsent` is decided by the store, atomically.
        conditional_write: `IfUnchanged` on writes is decided by the store, atomically.
        conditional_delete: `IfUnchanged` on deletes is decided by the store, atomically.
        atomic_rename: a file's rename is one step, and never replaces unless asked to.
        directory_rename: a directory's rename is one step.
        server_copy: copies need not pass through us.
        native_multipart: uploads in parts are the store's own, and survive our restart.
        listed_details: listings tell as much as `stat` (an S3 listing has no content type).
        clock: the store tells its own time (ages are measured against it).
        access_times: statuses know when a file was last read.
        digest: name of the digest the store keeps of each file, or None.
    """

    real_directories: bool = False
    pinned_ranges: bool = False
    conditional_create: bool = False
    conditional_write: bool = False
    conditional_delete: bool = False
    atomic_rename: bool = False
    directory_rename: bool = False
    server_copy: bool = False
    native_multipart: bool = False
    listed_details: bool = False
    clock: bool = False
    access_times: bool = False
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class StoreDigest:
    """A digest that the store itself keeps of a file's content.

    `algorithm` is the store's own name for it (`crc64nvme`, `MD5-of-1MD5-of-512CRC32C`), `value`
    lower-case hex.
    """

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part of an upload. `number` counts from 1."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """An upload that was begun and neither completed nor aborted."""

    upload_id: str
    key: StoreKey
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a file is to be written.

    Attributes:
        condition: what must be there, or must not; None: write in any case.
        size: its length if known beforehand; a body of another length is `StoreLied`.
        content_type: kept where the store can hold it.
        metadata: names and values kept where the store can hold them.
    """

    condition: WriteCondition | None = None
    size: int | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Stats(Protocol):
    """Asks for one status."""

    async def stat(self, key: StoreKey) -> FileStatus:
        """The status of a file or directory, as the store has it now.

        On a store without real directories a prefix that something lies under is a directory; a
        file and a prefix of the same name give the file. The root always is a directory.
        Safe to repeat. Raises FileMissing when the store says so, StoreAway when it says nothing.
        """
        ...


class Lists(Protocol):
    """Lists in pages."""

    async def list(
        self, directory: StoreKey, *, recursive: bool = False, after: str = "", most: int = 1000
    ) -> Page:
        """A page of what is in `directory`, at most `most` entries.

        Not recursive: files and directories directly in it. Recursive: all files below it, and, on
        stores with real directories, the empty directories.
        In whole-key UTF-8 order (`order_of`); `after` is the whole key (a directory's with '/')
        after which the page begins. A name that comes and goes meanwhile may or may not be shown;
        all others are shown once.
        Raises FileMissing when there is no such directory (object stores: an empty page for a
        missing prefix is FileMissing too, but for the root), NotADirectory when it is a file.
        """
        ...


class PinnedReader(Protocol):
    """Reads one generation of one file. Close it when done; closing twice is allowed."""

    def stream(self, span: ByteRange) -> AsyncIterator[Chunk]:
        """The bytes of `span`, in order, as they arrive, in pieces of at most 1 MiB.

        Exactly `len(span)` bytes, or an error: StoreLied for a short or long body, GenerationGone
        when the store shows that the file is another by now, StoreAway when it stalls.
        `span` lies within the file. Several streams may run at once.
        """
        ...

    async def verify(self) -> None:
        """Return if all that was streamed until now is of the pinned generation.

        Costs nothing where `abilities.pinned_ranges`. Raises GenerationGone if it may be another.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds at the store."""
        ...


class Opens(Protocol):
    """Opens files for reading."""

    async def open(self, status: FileStatus) -> PinnedReader:
        """A reader of exactly the generation that `status` (from `stat` or `list`) names.

        Costs no request on stores with pinned ranges. Raises GenerationGone if the file is another
        by now, FileMissing if it is gone, NotAFile for a directory.
        """
        ...


class Writes(Protocol):
    """Writes files whole."""

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """Store `body` at `key`, whole or not at all, and return its new status.

        Replaces what was there: a reader sees the old file or the new one, never a mixture. Parent
        directories come into being. If `body` raises, nothing is written and the error passes on.
        A condition that the store itself cannot decide (`abilities`) is checked just before: it
        holds against what was there, not against another writer at the same moment.
        Raises ConditionFailed, StoreLied (length), ReadOnly, NoRoom; where directories are real,
        NotAFile (a directory is there) and NotADirectory (a parent is a file).
        """
        ...


class Uploads(Protocol):
    """Writes a file in parts, from any process, at any time."""

    async def create_upload(self, key: StoreKey, options: WriteOptions) -> str:
        """Begin an upload; its id names it until it is completed or aborted."""
        ...

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """Store part `number` (from 1), whole or not at all; a part of that number is replaced.

        Raises UploadMissing, StoreLied (length).
        """
        ...

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """The parts held, by number. Raises UploadMissing."""
        ...

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """The uploads begun below `directory`, by key and id."""
        ...

    async def complete_upload(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> FileStatus:
        """Make the file of the named parts, in order of number; whole or not at all.

        Raises UploadMissing (also for a part that is not held or has another etag, and for no
        part at all), StoreLied (length), ConditionFailed (the upload stays and can be aborted).
        """
        ...

    async def abort_upload(self, key: StoreKey, upload_id: str) -> None:
        """Drop the upload and its parts. Dropping one that is gone is no error."""
        ...


class Copies(Protocol):
    """Copies inside the store."""

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None = None
    ) -> FileStatus:
        """Make `target` a copy of the file `source`, whole or not at all.

        `condition` is about the target. Raises FileMissing, NotAFile, ConditionFailed.
        """
        ...


class Renames(Protocol):
    """Renames inside the store."""

    async def rename(self, source: StoreKey, target: StoreKey, *, replace: bool = False) -> None:
        """Give the file or directory `source` the name `target`.

        Strict: never moves into a directory of that name; unless `replace` (files only) a taken
        name is FileExists. Atomic where `abilities.atomic_rename` (`directory_rename` for
        directories); elsewhere copy then remove, and a directory is Unsupported. Where directories
        are real, the one that the target is in must be there.
        Raises FileMissing, FileExists, NotADirectory, BadPath (a directory into itself, the root).
        """
        ...


class Deletes(Protocol):
    """Removes files and directories."""

    async def delete(self, key: StoreKey, condition: WriteCondition | None = None) -> None:
        """Remove the file, or the empty directory.

        Raises FileMissing (stores that cannot tell do not), DirectoryNotEmpty, ConditionFailed;
        never removes anything else. The root is never removed (BadPath).
        """
        ...


class MakesDirectories(Protocol):
    """Makes directories."""

    async def make_directory(self, key: StoreKey) -> None:
        """Make the directory and its parents; one that is there is no error.

        On a store without real directories it is an empty object `key/`, as S3 tools make it.
        Raises NotADirectory when it, or a parent, is a file (stores with real directories).
        """
        ...


class Digests(Protocol):
    """Tells the digest a store keeps."""

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """The digest of the content as the store keeps it, or None where it keeps none."""
        ...


class Locates(Protocol):
    """Tells where bytes lie."""

    async def hosts(self, status: FileStatus) -> Sequence[str]:
        """The hosts that hold the file's bytes; empty where the store does not say."""
        ...


class Store(
    Stats,
    Lists,
    Opens,
    Writes,
    Uploads,
    Copies,
    Renames,
    Deletes,
    MakesDirectories,
    Digests,
    Locates,
    Protocol,
):
    """A whole store. Ask for the verbs you use; only wrappers and assembly name this one."""

    @property
    def identity(self) -> StoreIdentity:
        """Which store it is, for every node the same."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        ...

    async def check(self) -> Mapping[str, str]:
        """Ask the store whether it is there and what we may do; facts for people.

        Raises StoreAway, StoreRefused, StoreMissing, each with what to do.
        """
        ...

    async def now(self) -> datetime | None:
        """The store's own time, or None where it gives none."""
        ...

    async def close(self) -> None:
        """Let go of connections. Calls after it are StoreAway; closing twice is allowed."""
        ...


async def read(store: Opens, status: FileStatus, span: ByteRange) -> bytes:
    """The bytes of `span`, all in memory, verified to be of the status's generation."""
    reader = await store.open(status)
    try:
        pieces = [bytes(piece) async for piece in reader.stream(span)]
        await reader.verify()
    finally:
        await reader.close()
    return b"".join(pieces)


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """A body of the given chunks."""
    for chunk in chunks:
        yield chunk


def fingerprint_of_etag(etag: str) -> Fingerprint:
    """The fingerprint of a content that its ETag pins."""
    return Fingerprint(f"etag:{etag}")
