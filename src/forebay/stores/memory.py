"""The store in memory: the reference of the contract.

One sorted list of names holds everything; a directory is a name that ends with '/'. As an object
store, such a name is a marker that may or may not be there; with real directories, each directory
has one, and files and directories keep out of each other's way.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import md5
from itertools import count
from typing import Final

from forebay.model.conditions import IfAbsent, IfUnchanged, WriteCondition
from forebay.model.errors import (
    BadPath,
    ConditionFailed,
    DirectoryNotEmpty,
    FileExists,
    FileMissing,
    GenerationGone,
    NotADirectory,
    NotAFile,
    StoreAway,
    StoreLied,
    Unsupported,
    UploadMissing,
)
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey, fault_of_key
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus, Kind, Page, from_milliseconds, to_milliseconds
from forebay.stores.contract import (
    Abilities,
    Chunk,
    PartStatus,
    StoreDigest,
    UploadStatus,
    WriteOptions,
    fingerprint_of_etag,
)

_LARGEST_PIECE: Final = 1 << 20

_OBJECT_ABILITIES: Final = Abilities(
    pinned_ranges=True,
    conditional_create=True,
    conditional_write=True,
    conditional_delete=True,
    server_copy=True,
    native_multipart=True,
    clock=True,
    digest="md5",
)
_DIRECTORY_ABILITIES: Final = Abilities(
    real_directories=True,
    listed_details=True,
    conditional_create=True,
    conditional_write=True,
    conditional_delete=True,
    atomic_rename=True,
    directory_rename=True,
    server_copy=True,
    native_multipart=True,
    clock=True,
    digest="md5",
)


def _host_time() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Held:
    """What stands under one name."""

    content: bytes
    modified_at: datetime
    etag: str
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Part:
    content: bytes
    status: PartStatus


@dataclass(frozen=True, slots=True)
class _Upload:
    status: UploadStatus
    options: WriteOptions
    parts: dict[int, _Part] = field(default_factory=dict)


class MemoryStore:
    """A store that lives as long as the object does.

    Args:
        name: what tells it from other stores in memory.
        real_directories: play a file system; else play an object store.
        clock: the store's time.
    """

    def __init__(
        self,
        name: str = "memory",
        *,
        real_directories: bool = False,
        clock: Callable[[], datetime] = _host_time,
    ) -> None:
        self._identity = StoreIdentity(f"memory://{name}")
        self._abilities = _DIRECTORY_ABILITIES if real_directories else _OBJECT_ABILITIES
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._names: list[str] = []
        self._uploads: dict[str, _Upload] = {}
        self._upload_numbers = count(1)
        self._is_open = True

    @property
    def identity(self) -> StoreIdentity:
        """Which store it is."""
        return self._identity

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        return self._abilities

    async def check(self) -> Mapping[str, str]:
        """See the contract."""
        self._must_be_open()
        return {"store": self._identity.text, "files": str(len(self._held))}

    async def now(self) -> datetime | None:
        """See the contract."""
        self._must_be_open()
        return self._moment()

    async def close(self) -> None:
        """See the contract."""
        self._is_open = False

    async def stat(self, key: StoreKey) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        return self._stat(key)

    async def list(
        self, directory: StoreKey, *, recursive: bool = False, after: str = "", most: int = 1000
    ) -> Page:
        """See the contract."""
        self._must_be_open()
        prefix = _directory_name(directory)
        if prefix and not self._is_prefix(prefix):
            if directory.text in self._held:
                raise NotADirectory(directory, "is a file")
            raise FileMissing(directory)
        shown: list[str] = []
        unaddressable = 0
        for name in self._names_below(prefix, after, recursive=recursive):
            if len(shown) == most:
                break
            if fault_of_key(name.removesuffix("/")) is None:
                shown.append(name)
            else:
                unaddressable += 1
        else:
            return Page(tuple(map(self._listed, shown)), None, unaddressable)
        return Page(tuple(map(self._listed, shown)), shown[-1], unaddressable)

    async def open(self, status: FileStatus) -> "MemoryReader":
        """See the contract."""
        self._must_be_open()
        if status.is_directory:
            raise NotAFile(status.key, "is a directory")
        held = self._held.get(status.key.text)
        if held is None:
            raise FileMissing(status.key)
        if fingerprint_of_etag(held.etag) != status.fingerprint:
            raise GenerationGone(status.key, "was replaced")
        return MemoryReader(self, status, held.content)

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        content = await _gathered(key, body, options.size)
        return self._put(key, content, _etag_of(content), options)

    async def create_upload(self, key: StoreKey, options: WriteOptions) -> str:
        """See the contract."""
        self._must_be_open()
        if key.is_root:
            raise NotAFile(key, "is the root")
        upload_id = f"upload-{next(self._upload_numbers):08d}"
        status = UploadStatus(upload_id, key, self._moment())
        self._uploads[upload_id] = _Upload(status, options)
        return upload_id

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """See the contract."""
        self._must_be_open()
        self._upload(key, upload_id)
        content = await _gathered(key, body, size)
        status = PartStatus(number, size, _etag_of(content))
        # The upload may have been dropped while the body came in.
        self._upload(key, upload_id).parts[number] = _Part(content, status)
        return status

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """See the contract."""
        self._must_be_open()
        parts = self._upload(key, upload_id).parts
        return [parts[number].status for number in sorted(parts)]

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """See the contract."""
        self._must_be_open()
        statuses = (upload.status for upload in self._uploads.values())
        return sorted(
            (status for status in statuses if status.key.is_under(directory)),
            key=lambda status: (status.key.text, status.upload_id),
        )

    async def complete_upload(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        upload = self._upload(key, upload_id)
        chosen = [
            _part_of(upload, wanted) for wanted in sorted(parts, key=lambda part: part.number)
        ]
        if not chosen:
            raise UploadMissing(key, "no part is named")
        content = b"".join(part.content for part in chosen)
        _must_have_length(key, len(content), options.size)
        digests = b"".join(_digest_of(part.content) for part in chosen)
        # Multipart ETags are the digest of the digests, with the number of parts.
        etag = f'"{_digest_of(digests).hex()}-{len(chosen)}"'
        begun = upload.options
        written = WriteOptions(
            condition=options.condition,
            content_type=begun.content_type
            if options.content_type is None
            else options.content_type,
            metadata={**begun.metadata, **options.metadata},
        )
        status = self._put(key, content, etag, written)
        del self._uploads[upload_id]
        return status

    async def abort_upload(self, key: StoreKey, upload_id: str) -> None:
        """See the contract."""
        self._must_be_open()
        upload = self._uploads.get(upload_id)
        if upload is not None and upload.status.key == key:
            del self._uploads[upload_id]

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None = None
    ) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        held = self._file(source)
        options = WriteOptions(
            condition=condition, content_type=held.content_type, metadata=held.metadata
        )
        return self._put(target, held.content, held.etag, options)

    async def rename(self, source: StoreKey, target: StoreKey, *, replace: bool = False) -> None:
        """See the contract."""
        self._must_be_open()
        status = self._stat(source)
        if status.is_directory and not self._abilities.directory_rename:
            raise Unsupported(source, "an object store renames no directories")
        if source.is_root or target.is_root:
            raise BadPath(source, "the root keeps its name")
        if status.is_directory and target.is_under(source):
            raise BadPath(target, f"lies inside {source.text!r}")
        self._must_be_free(target, replace=replace and status.is_file)
        self._must_have_parent(target)
        if status.is_file:
            self._enter(target.text, self._remove(source.text))
        else:
            for name in [*self._names_under(f"{source.text}/")]:
                self._enter(target.text + name[len(source.text) :], self._remove(name))

    async def delete(self, key: StoreKey, condition: WriteCondition | None = None) -> None:
        """See the contract."""
        self._must_be_open()
        if key.is_root:
            raise BadPath(key, "the root is never removed")
        status = self._stat(key)
        self._must_meet(key, condition)
        if status.is_file:
            self._remove(key.text)
            return
        directory = f"{key.text}/"
        if any(name != directory for name in self._names_under(directory)):
            raise DirectoryNotEmpty(key)
        self._remove(directory)

    async def make_directory(self, key: StoreKey) -> None:
        """See the contract."""
        self._must_be_open()
        if key.is_root:
            return
        if self._abilities.real_directories:
            if key.text in self._held:
                raise NotADirectory(key, "is a file")
            self._make_parents(key)
        if f"{key.text}/" not in self._held:
            self._enter(f"{key.text}/", self._directory())

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """See the contract."""
        self._must_be_open()
        return StoreDigest("md5", _digest_of(self._file(key).content).hex())

    async def hosts(self, status: FileStatus) -> Sequence[str]:
        """See the contract."""
        self._must_be_open()
        self._file(status.key)
        return ()

    def plant(self, name: str, content: bytes = b"") -> None:
        """Put `content` under any name at all, as a stranger would who knows no store keys."""
        if self._abilities.real_directories:
            parts = name.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                directory = "/".join(parts[:depth]) + "/"
                if directory not in self._held:
                    self._enter(directory, self._directory())
        self._enter(name, _Held(content, self._moment(), _etag_of(content)))

    def is_current(self, status: FileStatus) -> bool:
        """Whether what stands there now is what `status` tells of."""
        held = self._held.get(status.key.text)
        return held is not None and fingerprint_of_etag(held.etag) == status.fingerprint

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise StoreAway(self._identity, "the store was closed")

    def _moment(self) -> datetime:
        return from_milliseconds(to_milliseconds(self._clock()))

    def _directory(self) -> _Held:
        return _Held(b"", self._moment(), _etag_of(b""))

    def _stat(self, key: StoreKey) -> FileStatus:
        if key.is_root:
            return FileStatus(key, Kind.DIRECTORY)
        if key.text in self._held:
            return self._status(key.text)
        if self._is_prefix(f"{key.text}/"):
            return self._status(f"{key.text}/")
        raise FileMissing(key)

    def _status(self, name: str) -> FileStatus:
        if name.endswith("/"):
            marker = self._held.get(name) if self._abilities.real_directories else None
            modified_at = None if marker is None else marker.modified_at
            return FileStatus(StoreKey(name[:-1]), Kind.DIRECTORY, modified_at=modified_at)
        held = self._held[name]
        return FileStatus(
            StoreKey(name),
            Kind.FILE,
            size=len(held.content),
            modified_at=held.modified_at,
            fingerprint=fingerprint_of_etag(held.etag),
            etag=held.etag,
            content_type=held.content_type,
            metadata=held.metadata,
        )

    def _listed(self, name: str) -> FileStatus:
        """The status in a listing: those of object stores tell neither type nor metadata."""
        status = self._status(name)
        if self._abilities.listed_details:
            return status
        return replace(status, content_type=None, metadata={})

    def _file(self, key: StoreKey) -> _Held:
        if self._stat(key).is_directory:
            raise NotAFile(key, "is a directory")
        return self._held[key.text]

    def _is_prefix(self, prefix: str) -> bool:
        return next(self._names_under(prefix), None) is not None

    def _names_under(self, prefix: str) -> Iterator[str]:
        """The names that begin with `prefix`, itself included."""
        for position in range(bisect_left(self._names, prefix), len(self._names)):
            if not self._names[position].startswith(prefix):
                return
            yield self._names[position]

    def _names_below(self, prefix: str, after: str, *, recursive: bool) -> Iterator[str]:
        """The names a listing of `prefix` shows after `after`, a directory's with '/'."""
        position = bisect_left(self._names, max(prefix, after))
        while position < len(self._names) and self._names[position].startswith(prefix):
            name = self._names[position]
            position += 1
            if not recursive and "/" in name[len(prefix) :]:
                name = name[: name.index("/", len(prefix)) + 1]
                # '0' follows '/': the first name that is not in this directory.
                position = bisect_left(self._names, f"{name[:-1]}0")
            if name > after and name != prefix and self._is_shown(name, recursive=recursive):
                yield name

    def _is_shown(self, name: str, *, recursive: bool) -> bool:
        if not recursive or not name.endswith("/") or fault_of_key(name[:-1]) is not None:
            return True
        alone = all(other == name for other in self._names_under(name))
        return self._abilities.real_directories and alone

    def _put(self, key: StoreKey, content: bytes, etag: str, options: WriteOptions) -> FileStatus:
        """Check and store in one step of the event loop: nobody comes between."""
        if key.is_root:
            raise NotAFile(key, "is the root")
        self._must_meet(key, options.condition)
        if self._abilities.real_directories:
            if f"{key.text}/" in self._held:
                raise NotAFile(key, "is a directory")
            self._make_parents(key)
        held = _Held(content, self._moment(), etag, options.content_type, dict(options.metadata))
        self._enter(key.text, held)
        return self._status(key.text)

    def _make_parents(self, key: StoreKey) -> None:
        missing: list[str] = []
        parent = key.parent
        while not parent.is_root:
            if parent.text in self._held:
                raise NotADirectory(parent, "is a file")
            if f"{parent.text}/" not in self._held:
                missing.append(f"{parent.text}/")
            parent = parent.parent
        for directory in missing:
            self._enter(directory, self._directory())

    def _must_meet(self, key: StoreKey, condition: WriteCondition | None) -> None:
        held = self._held.get(key.text)
        match condition:
            case None:
                return
            case IfAbsent():
                if held is not None:
                    raise ConditionFailed(key, "is there already")
            case IfUnchanged(fingerprint):
                if held is None or fingerprint_of_etag(held.etag) != fingerprint:
                    raise ConditionFailed(key, "is another by now")

    def _must_be_free(self, target: StoreKey, *, replace: bool) -> None:
        if f"{target.text}/" in self._held and self._abilities.real_directories:
            raise FileExists(target, "is a directory")
        if target.text in self._held and not replace:
            raise FileExists(target, "is taken")

    def _must_have_parent(self, target: StoreKey) -> None:
        if not self._abilities.real_directories or target.parent.is_root:
            return
        if target.parent.text in self._held:
            raise NotADirectory(target.parent, "is a file")
        if f"{target.parent.text}/" not in self._held:
            raise FileMissing(target.parent)

    def _enter(self, name: str, held: _Held) -> None:
        if name not in self._held:
            insort(self._names, name)
        self._held[name] = held

    def _remove(self, name: str) -> _Held:
        del self._names[bisect_left(self._names, name)]
        return self._held.pop(name)

    def _upload(self, key: StoreKey, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.status.key != key:
            raise UploadMissing(key, f"no upload {upload_id!r}")
        return upload


class MemoryReader:
    """Reads one generation in memory.

    Of an object store it finds out about a new generation before the first byte of a stream (as
    If-Match does); with real directories it reads on in the old one, and `verify` tells.
    """

    def __init__(self, store: MemoryStore, status: FileStatus, content: bytes) -> None:
        self._store = store
        self._status = status
        self._content = memoryview(content)
        self._is_open = True

    async def stream(self, span: ByteRange) -> AsyncIterator[Chunk]:
        """See the contract."""
        if not self._is_open:
            raise StoreAway(self._status.key, "the reader was closed")
        if self._store.abilities.pinned_ranges:
            self._must_be_current()
        for piece in span.split(_LARGEST_PIECE):
            # As with any store, others get their turn between two pieces.
            await asyncio.sleep(0)
            yield self._content[piece.start : piece.end]

    async def verify(self) -> None:
        """See the contract."""
        if not self._store.abilities.pinned_ranges:
            self._must_be_current()

    async def close(self) -> None:
        """See the contract."""
        self._is_open = False

    def _must_be_current(self) -> None:
        if not self._store.is_current(self._status):
            raise GenerationGone(self._status.key, "was replaced or deleted")


def _directory_name(directory: StoreKey) -> str:
    return "" if directory.is_root else f"{directory.text}/"


def _digest_of(content: bytes) -> bytes:
    return md5(content, usedforsecurity=False).digest()


def _etag_of(content: bytes) -> str:
    return f'"{_digest_of(content).hex()}"'


def _part_of(upload: _Upload, wanted: PartStatus) -> _Part:
    part = upload.parts.get(wanted.number)
    if part is None or part.status.etag != wanted.etag:
        raise UploadMissing(upload.status.key, f"no part {wanted.number} of this etag")
    return part


def _must_have_length(key: StoreKey, length: int, announced: int | None) -> None:
    if announced is not None and length != announced:
        raise StoreLied(key, f"a body of {length} bytes was announced as {announced}")


async def _gathered(key: StoreKey, body: AsyncIterator[Chunk], announced: int | None) -> bytes:
    content = bytearray()
    async for piece in body:
        content += piece
        if announced is not None and len(content) > announced:
            raise StoreLied(key, f"a body of more than the {announced} bytes announced")
    _must_have_length(key, len(content), announced)
    return bytes(content)
