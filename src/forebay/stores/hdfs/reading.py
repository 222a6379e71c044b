"""The reader: one content of one HDFS file, pinned.

HDFS pins nothing by itself: what was read is believed when the identity is the same before and
after. The bytes come from one native reader for all streams, because a reader keeps the blocks
that it found when it was opened; it is opened by the file's id, which no rename can redirect.

A file that is being written can be read: its bytes up to the length of its status are there for
good. They are believed under the same rule, so a file that was closed or went on meanwhile is
another generation. hdfs-native does not see its last block; WebHDFS does, so there the bytes come
from it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from hdfs_native import FileReader

from forebay.model.errors import (
    FileMissing,
    GenerationGone,
    StoreAway,
    StoreLied,
    StoreRefused,
    Unsupported,
)
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk
from forebay.stores.hdfs.address import path_of
from forebay.stores.hdfs.identity import Stamp, file_id_of
from forebay.stores.hdfs.native import Native, pieces_of
from forebay.stores.hdfs.threads import Job
from forebay.stores.hdfs.web import WebHdfs

StampOf = Callable[[FileStatus], Awaitable[Stamp]]
"""Asks HDFS for the identity of the file that a status names, as it is now."""

First = TypeVar("First")
Second = TypeVar("Second")


class HdfsReader:
    """A `PinnedReader`."""

    def __init__(
        self,
        native: Native,
        stamp_of: StampOf,
        status: FileStatus,
        stamp: Stamp,
        source: "FileReader | WebHdfs",
    ) -> None:
        self._native = native
        self._stamp_of = stamp_of
        self._status = status
        self._stamp = stamp
        self._source: FileReader | WebHdfs | None = source

    async def stream(self, span: ByteRange) -> AsyncIterator[Chunk]:
        """The bytes of `span`, as they arrive."""
        source = self._source
        if source is None:
            raise StoreAway(self._status.key, "the reader was closed")
        if not span:
            return
        if isinstance(source, WebHdfs):
            pieces = source.read(path_of(self._status.key), span)
        else:
            pieces = self._native_pieces(source, span)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _native_pieces(
        self, reader: FileReader, span: ByteRange
    ) -> AsyncGenerator[bytes, None]:
        # The next piece is read while one is being used.
        path = path_of(self._status.key)
        following: Callable[[], bytes] | None = None

        def read() -> bytes:
            nonlocal following
            if following is None:
                following = pieces_of(reader, span.start, len(span))
            return following()

        left = len(span)
        job = self._native.begin(path, read)
        try:
            while left:
                piece = await self._arrived(job, path)
                left -= len(piece)
                if not piece or left < 0:
                    raise StoreLied(path, f"{len(span) - left} bytes came for {len(span)}")
                if left:
                    job = self._native.begin(path, read)
                yield piece
        finally:
            self._native.drop(job)

    async def verify(self) -> None:
        """Ask for the identity again: one status and one block list."""
        if not await self._is_unchanged():
            raise GenerationGone(self._status.key, "was changed while it was read")

    async def close(self) -> None:
        """Let go of the native reader; it holds nothing at the store."""
        self._source = None

    async def _arrived(self, job: Job, path: str) -> bytes:
        try:
            piece: bytes = await self._native.answer(job, path)
        except StoreAway as away:
            # Blocks that are deleted, a DataNode that is dead and a damaged block look the same.
            if isinstance(away.__cause__, TimeoutError):
                raise
            if await self._is_unchanged():
                raise
            raise GenerationGone(self._status.key, "was changed while it was read") from away
        return piece

    async def _is_unchanged(self) -> bool:
        try:
            return await self._stamp_of(self._status) == self._stamp
        except FileMissing:
            return False


async def open_reader(
    native: Native, web: WebHdfs | None, stamp_of: StampOf, status: FileStatus
) -> HdfsReader:
    """A reader of exactly what `status` names."""
    stamp, reader = await together(stamp_of(status), _opened(native, status))
    if stamp.fingerprint != status.fingerprint:
        raise GenerationGone(status.key, "is another file by now")
    if web is not None and stamp.last is not None and stamp.last.is_open:
        return HdfsReader(native, stamp_of, status, stamp, web)
    if reader is None:
        # Not by its id: it is gone, or the ids are hidden (as a router of several clusters does).
        reader = await native.open(path_of(status.key))
    length = len(reader)
    # To read past the end would make hdfs-native panic.
    if length != status.size:
        if web is None and (await stamp_of(status)).fingerprint == status.fingerprint:
            raise Unsupported(status.key, "is being written; without WebHDFS it cannot be read yet")
        raise GenerationGone(status.key, f"has {length} bytes by now, not {status.size}")
    return HdfsReader(native, stamp_of, status, stamp, reader)


async def _opened(native: Native, status: FileStatus) -> FileReader | None:
    file_id = file_id_of(status.fingerprint)
    if file_id is None:
        return None
    try:
        return await native.open(f"/.reserved/.inodes/{file_id}")
    except (FileMissing, StoreRefused):
        # By its name it may be found, or refused under its name.
        return None


async def together(first: Awaitable[First], second: Awaitable[Second]) -> tuple[First, Second]:
    """Both answers, asked for at once; the first error ends both."""
    tasks = (asyncio.ensure_future(first), asyncio.ensure_future(second))
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
