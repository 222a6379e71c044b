"""The world around an S3 door: a lake that is a mapping, a shelf that is a directory."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forebay.cache.pieces import BytesPiece, FilePiece, Piece
from forebay.metrics.access_log import AccessRow
from forebay.metrics.audit_log import AuditRecord
from forebay.model.errors import FileMissing, ForebayError, NotADirectory, NotAFile
from forebay.model.generation import Fingerprint, StoreIdentity, door_etag, first_seen
from forebay.model.grants import Caller, Right
from forebay.model.paths import LakePath, StoreKey
from forebay.model.ranges import ByteRange
from forebay.model.status import Kind
from forebay.shelf.descriptors import is_resident
from forebay.shelf.handles import Handle, OpenFiles
from forebay.shelf.reader import Entry, Extent

MODIFIED = datetime(2026, 10, 21, 7, 28, 0, 250_000, UTC)


def etag_of(path: LakePath, content: bytes) -> str:
    """The ETag that doors show for this content there."""
    store = StoreIdentity("memory://lake")
    key = StoreKey(path.text[1:])
    return door_etag(first_seen(store, key, Fingerprint(f"{len(content)}:{content[:32]!r}")))


@dataclass(frozen=True)
class FakeEntry:
    """What is known of a path of the fake lake."""

    path: LakePath
    kind: Kind
    size: int = 0
    modified_at: datetime | None = MODIFIED
    etag: str = ""
    content_type: str | None = None
    age: timedelta = timedelta(seconds=3)

    @property
    def order(self) -> bytes:
        """Its place in listings."""
        text = self.path.text[1:]
        return (f"{text}/" if self.kind is Kind.DIRECTORY else text).encode()


@dataclass(frozen=True)
class FakePage:
    """A page of the fake lake."""

    entries: tuple[FakeEntry, ...]
    next_after: str | None
    age: timedelta = timedelta(seconds=3)


class FakeFile:
    """An open file; gives out its content in pieces: as files, if it has a handle, or as bytes."""

    def __init__(
        self, status: FakeEntry, content: bytes, lake: "FakeLake", handle: Handle | None
    ) -> None:
        self.status = status
        self._content = content
        self._lake = lake
        self._handle = handle
        self.from_cache = 0
        self.from_store = 0
        self.is_closed = False

    def present(self, span: ByteRange) -> int:
        """How much is cached: `lake.present` bytes, or all that lies in files."""
        if self._lake.present is not None:
            return min(self._lake.present, len(span))
        return len(span) if self._handle is not None else 0

    async def begin(self, wanted: Callable[[FakeEntry], ByteRange], *, ahead: int = 0) -> ByteRange:
        """See `OpenedFile`."""
        del ahead
        span = wanted(self.status)
        if self._lake.becomes is not None:
            self._content, self._lake.becomes = self._lake.becomes, None
            self.status = replace(
                self.status,
                size=len(self._content),
                etag=etag_of(self.status.path, self._content),
            )
            span = wanted(self.status)
        if span and span.start >= self._lake.fails_at:
            raise self._lake.failure
        return span

    async def piece(self, at: int, most: int, *, ahead: int = 0) -> Piece:
        """At most `lake.piece_bytes` from `at` on."""
        del ahead
        assert not self.is_closed
        await asyncio.sleep(0)
        if at >= self._lake.fails_at:
            raise self._lake.failure
        count = min(most, self._lake.piece_bytes, len(self._content) - at)
        assert count > 0
        if self._handle is not None:
            self.from_cache += count
            return FilePiece(self._handle, at, count)
        self.from_store += count
        return BytesPiece(self._content[at : at + count])

    def close(self) -> None:
        """Note that it is closed."""
        self.is_closed = True


@dataclass
class FakeLake:
    """The verbs of `files` over a mapping from paths to contents; checks grants as they do.

    Attributes:
        contents: files by path.
        directories: further directories, which may be empty.
        root: where file pieces lie; None: pieces are bytes.
        fails_at: from which byte on pieces cannot be had.
        failure: and why.
        present: how many bytes of a file are said to be cached; None: as it is.
        becomes: the content that the next file turns out to have when it is read.
        trouble: what every verb answers with, if anything.
        page_most: the longest page.
    """

    contents: dict[str, bytes]
    directories: set[str] = field(default_factory=set)
    root: Path | None = None
    piece_bytes: int = 100_000
    fails_at: float = float("inf")
    failure: ForebayError = field(default_factory=ForebayError)
    present: int | None = None
    becomes: bytes | None = None
    trouble: Exception | None = None
    page_most: int = 1000
    content_types: dict[str, str] = field(default_factory=dict)
    age: timedelta = timedelta(seconds=3)
    calls: Counter[str] = field(default_factory=Counter)
    opened: list[FakeFile] = field(default_factory=list)

    def entry(self, path: LakePath) -> FakeEntry:
        """What is there."""
        content = self.contents.get(path.text)
        if content is not None:
            return FakeEntry(
                path,
                Kind.FILE,
                len(content),
                etag=etag_of(path, content),
                content_type=self.content_types.get(path.text),
                age=self.age,
            )
        below = "/" if path.is_root else f"{path.text}/"
        names = [*self.contents, *self.directories]
        if path.is_root or path.text in self.directories or any(n.startswith(below) for n in names):
            return FakeEntry(path, Kind.DIRECTORY, modified_at=None, age=self.age)
        raise FileMissing(path)

    async def stat(self, caller: Caller, path: LakePath, *, detailed: bool = True) -> FakeEntry:
        """See `Lake`."""
        del detailed
        self._called("stat", caller, path)
        return self.entry(path)

    async def open(self, caller: Caller, path: LakePath) -> FakeFile:
        """See `Lake`."""
        self._called("open", caller, path)
        caller.must(Right.READ, path)
        entry = self.entry(path)
        if entry.kind is Kind.DIRECTORY:
            raise NotAFile(path)
        handle = None
        if self.root is not None:
            handle = a_handle(self.root, path.text, self.contents[path.text])
        file = FakeFile(entry, self.contents[path.text], self, handle)
        self.opened.append(file)
        return file

    async def list(
        self,
        caller: Caller,
        path: LakePath,
        *,
        recursive: bool = False,
        after: str = "",
        most: int = 1000,
    ) -> FakePage:
        """See `Lake`."""
        self._called("list", caller, path)
        if self.entry(path).kind is Kind.FILE:
            raise NotADirectory(path)
        found = sorted(self._below(path, recursive=recursive), key=lambda entry: entry.order)
        shown = [
            entry
            for entry in found
            if entry.order > after.encode()
            and (caller.may(Right.READ, path) or caller.may_pass(entry.path))
        ]
        most = min(most, self.page_most)
        page = tuple(shown[:most])
        return FakePage(page, page[-1].order.decode() if len(shown) > most else None)

    def _below(self, path: LakePath, *, recursive: bool) -> Iterator[FakeEntry]:
        below = "/" if path.is_root else f"{path.text}/"
        names = [text for text in [*self.contents, *self.directories] if text.startswith(below)]
        if not recursive:
            heads = {text[len(below) :].partition("/")[0] for text in names}
            yield from (self.entry(path / head) for head in heads)
            return
        for text in names:
            entry = self.entry(LakePath(text))
            is_empty = not any(name.startswith(f"{text}/") for name in names)
            if entry.kind is Kind.FILE or is_empty:
                yield entry

    def _called(self, verb: str, caller: Caller, path: LakePath) -> None:
        self.calls[verb] += 1
        if self.trouble is not None:
            raise self.trouble
        if not caller.may_pass(path):
            caller.must(Right.READ, path)


def a_handle(root: Path, name: str, content: bytes) -> Handle:
    """An open file with that content."""
    path = root / name.replace("/", "-")
    if not path.exists() or path.stat().st_size != len(content):
        path.write_bytes(content)
    return Handle(str(path), 1, OpenFiles())


class FakeShelfEntry(Entry):
    """A file that the fake shelf holds; `missing_from`: bytes from there on are not held."""

    def __init__(
        self, name: str, path: str, content: bytes, handles: list[Handle], segment_bytes: int
    ) -> None:
        etag = etag_of(LakePath(path), content)
        self.name = name.encode()
        self.path = path
        self.size = len(content)
        self.etag = etag.encode()
        self.generation = bytes.fromhex(etag[1:33])
        self.modified_ms = int(MODIFIED.timestamp() * 1000)
        self.checked = 0.0
        self.fresh_until = float("inf")
        self.content_type = b""
        self.detailed = True
        self.tail = None
        self.handles = handles
        self.segment_bytes = segment_bytes
        self.missing_from = float("inf")

    def extent(self, at: int, count: int) -> Extent | None:
        """The longest run in one segment."""
        number, offset = divmod(at, self.segment_bytes)
        held = min(count, self.segment_bytes - offset, self.size - at)
        if self.missing_from < at + held:
            held = int(self.missing_from) - at
        return (self.handles[number], offset, held) if held > 0 else None


class FakeShelf:
    """A shelf over plain files: finds what was put into it, and is cold or damaged when told so."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.entries: dict[bytes, FakeShelfEntry] = {}
        self.is_cold = False
        self.is_damaged = False
        self.damaged_after: float = float("inf")
        self.always_resident = False
        self.verified = 0

    def put(
        self, name: str, path: str, content: bytes, *, segment_bytes: int = 256 << 20
    ) -> FakeShelfEntry:
        """Hold `content` under the URL path `name`."""
        pieces = [content[at : at + segment_bytes] for at in range(0, len(content), segment_bytes)]
        handles = [
            a_handle(self._root, f"shelf{name}.{number}", piece)
            for number, piece in enumerate(pieces)
        ]
        entry = FakeShelfEntry(name, path, content, handles, segment_bytes)
        self.entries[name.encode()] = entry
        return entry

    def find(self, name: bytes) -> FakeShelfEntry | None:
        """See `Reader`."""
        return self.entries.get(name)

    def resident(self, handle: Handle, offset: int, count: int) -> bool:
        """See `Shelf`."""
        return self.always_resident or (not self.is_cold and is_resident(handle, offset, count))

    def verify_cold(
        self, entry: Entry, handle: Handle, offset: int, at: int, count: int
    ) -> bytes | None:
        """See `Shelf`."""
        del entry, at
        self.verified += 1
        if self.is_damaged or self.verified > self.damaged_after:
            return None
        path = Path(f"/proc/self/fd/{handle.fd}")
        return path.read_bytes()[offset : offset + count]


class FakeLog:
    """Keeps access rows in memory."""

    def __init__(self) -> None:
        self.rows: list[AccessRow] = []

    def note(self, row: AccessRow) -> None:
        """See `Notes`."""
        self.rows.append(row)


class FakeAudit:
    """Keeps audit records in memory."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    async def note(self, record: AuditRecord) -> None:
        """See `Audit`."""
        self.records.append(record)


def a_lake(contents: Mapping[str, bytes], **changes: object) -> FakeLake:
    """A lake with these files."""
    return replace(FakeLake(dict(contents)), **changes)  # type: ignore[arg-type]
