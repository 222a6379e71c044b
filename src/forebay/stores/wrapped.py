"""The wrapped store: one that does something around each call of the store under it.

What it does is an `Around`; retrying, limiting, measuring and being punctual are four of them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from forebay.model.conditions import WriteCondition
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus, Page
from forebay.stores.contract import (
    Abilities,
    Chunk,
    PartStatus,
    PinnedReader,
    Store,
    StoreDigest,
    UploadStatus,
    WriteOptions,
)

Answer = TypeVar("Answer")
Streams = Callable[[ByteRange], AsyncIterator[Chunk]]


class Verb(StrEnum):
    """What is asked of a store; `READ` is one stream of an open file."""

    CHECK = "check"
    NOW = "now"
    STAT = "stat"
    LIST = "list"
    OPEN = "open"
    READ = "read"
    VERIFY = "verify"
    WRITE = "write"
    CREATE_UPLOAD = "create_upload"
    WRITE_PART = "write_part"
    LIST_PARTS = "list_parts"
    LIST_UPLOADS = "list_uploads"
    COMPLETE_UPLOAD = "complete_upload"
    ABORT_UPLOAD = "abort_upload"
    COPY = "copy"
    RENAME = "rename"
    DELETE = "delete"
    MAKE_DIRECTORY = "make_directory"
    DIGEST = "digest"
    HOSTS = "hosts"


class Around(Protocol):
    """What is done around the calls of a store."""

    async def call(self, verb: Verb, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do `work`, which asks the store one `verb`, once or several times."""
        ...

    async def send(
        self,
        verb: Verb,
        body: AsyncIterator[Chunk],
        work: Callable[[AsyncIterator[Chunk]], Awaitable[Answer]],
    ) -> Answer:
        """Do `work`, which asks the store one `verb` with a body, giving it `body`."""
        ...

    def stream(self, span: ByteRange, streams: Streams) -> AsyncIterator[Chunk]:
        """The bytes of `span`, from what `streams` of it or of its parts gives."""
        ...


class WrappedStore:
    """A store whose calls go through `around` to the store `under` it."""

    def __init__(self, under: Store, around: Around) -> None:
        self._under = under
        self._around = around

    @property
    def identity(self) -> StoreIdentity:
        """That of the store under it."""
        return self._under.identity

    @property
    def abilities(self) -> Abilities:
        """Those of the store under it."""
        return self._under.abilities

    async def check(self) -> Mapping[str, str]:
        """See the contract."""
        return await self._around.call(Verb.CHECK, self._under.check)

    async def now(self) -> datetime | None:
        """See the contract."""
        return await self._around.call(Verb.NOW, self._under.now)

    async def close(self) -> None:
        """See the contract."""
        await self._under.close()

    async def stat(self, key: StoreKey) -> FileStatus:
        """See the contract."""
        return await self._around.call(Verb.STAT, lambda: self._under.stat(key))

    async def list(
        self, directory: StoreKey, *, recursive: bool = False, after: str = "", most: int = 1000
    ) -> Page:
        """See the contract."""
        return await self._around.call(
            Verb.LIST,
            lambda: self._under.list(directory, recursive=recursive, after=after, most=most),
        )

    async def open(self, status: FileStatus) -> "WrappedReader":
        """See the contract."""
        reader = await self._around.call(Verb.OPEN, lambda: self._under.open(status))
        return WrappedReader(reader, self._around)

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """See the contract."""
        return await self._around.send(
            Verb.WRITE, body, lambda sent: self._under.write(key, sent, options)
        )

    async def create_upload(self, key: StoreKey, options: WriteOptions) -> str:
        """See the contract."""
        return await self._around.call(
            Verb.CREATE_UPLOAD, lambda: self._under.create_upload(key, options)
        )

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """See the contract."""
        return await self._around.send(
            Verb.WRITE_PART,
            body,
            lambda sent: self._under.write_part(key, upload_id, number, sent, size),
        )

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """See the contract."""
        return await self._around.call(
            Verb.LIST_PARTS, lambda: self._under.list_parts(key, upload_id)
        )

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """See the contract."""
        return await self._around.call(
            Verb.LIST_UPLOADS, lambda: self._under.list_uploads(directory)
        )

    async def complete_upload(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> FileStatus:
        """See the contract."""
        return await self._around.call(
            Verb.COMPLETE_UPLOAD,
            lambda: self._under.complete_upload(key, upload_id, parts, options),
        )

    async def abort_upload(self, key: StoreKey, upload_id: str) -> None:
        """See the contract."""
        await self._around.call(Verb.ABORT_UPLOAD, lambda: self._under.abort_upload(key, upload_id))

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None = None
    ) -> FileStatus:
        """See the contract."""
        return await self._around.call(
            Verb.COPY, lambda: self._under.copy(source, target, condition)
        )

    async def rename(self, source: StoreKey, target: StoreKey, *, replace: bool = False) -> None:
        """See the contract."""
        await self._around.call(
            Verb.RENAME, lambda: self._under.rename(source, target, replace=replace)
        )

    async def delete(self, key: StoreKey, condition: WriteCondition | None = None) -> None:
        """See the contract."""
        await self._around.call(Verb.DELETE, lambda: self._under.delete(key, condition))

    async def make_directory(self, key: StoreKey) -> None:
        """See the contract."""
        await self._around.call(Verb.MAKE_DIRECTORY, lambda: self._under.make_directory(key))

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """See the contract."""
        return await self._around.call(Verb.DIGEST, lambda: self._under.digest(key))

    async def hosts(self, status: FileStatus) -> Sequence[str]:
        """See the contract."""
        return await self._around.call(Verb.HOSTS, lambda: self._under.hosts(status))


class WrappedReader:
    """A reader whose streams go through `around`."""

    def __init__(self, under: PinnedReader, around: Around) -> None:
        self._under = under
        self._around = around

    def stream(self, span: ByteRange) -> AsyncIterator[Chunk]:
        """See the contract."""
        return self._around.stream(span, self._under.stream)

    async def verify(self) -> None:
        """See the contract."""
        await self._around.call(Verb.VERIFY, self._under.verify)

    async def close(self) -> None:
        """See the contract."""
        await self._under.close()


@asynccontextmanager
async def closing(stream: AsyncIterator[Chunk]) -> AsyncIterator[AsyncIterator[Chunk]]:
    """The stream, which is closed at once when it is given up, not when memory is swept."""
    try:
        yield stream
    finally:
        # Whatever is written with `yield` can be closed; other iterators hold nothing open.
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
