"""The reader: one content of one HDFS file, pinned.

HDFS pins nothing by itself: what was read is believed when the identity is the same before and
after. The bytes come from one native reader for all streams, because a reader keeps the blocks
that it found when it was opened; it is opened by the file's id, which no rename can redirect.

A file that is being written can be read: its bytes up to the length of its status are there for
good. They are believed under the same rule, so a file that was closed or went on meanwhile is
another generation.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from hdfs_native import FileReader

from forebay.model.errors import FileMissing, GenerationGone, StoreAway, StoreLied
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk
from forebay.stores.hdfs.address import path_of
from forebay.stores.hdfs.identity import Stamp, file_id_of
from forebay.stores.hdfs.native import Native, pieces_of
from forebay.stores.hdfs.threads import Job

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
        reader: FileReader,
    ) -> None:
        self._native = native
        self._stamp_of = stamp_of
        self._status = status
        self._stamp = stamp
        self._reader: FileReader | None = reader

    async def stream(self, span: ByteRange) -> AsyncIterator[Chunk]:
        """The bytes of `span`; the next piece is read while one is being used."""
        path, reader = path_of(self._status.key), self._reader
        if reader is None:
            raise StoreAway(path, "the reader was closed")
        if not span:
            return
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
        self._reader = None

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


async def open_reader(native: Native, stamp_of: StampOf, status: FileStatus) -> HdfsReader:
    """A reader of exactly what `status` names."""
    stamp, reader = await together(stamp_of(status), _opened(native, status))
    if stamp.fingerprint != status.fingerprint:
        raise GenerationGone(status.key, "is another file by now")
    is_open = stamp.last is not None and stamp.last.is_open
    if reader is None:
        # Not by its id: it is gone, or the ids are hidden (as a router of several clusters does).
        reader = await native.open(path_of(status.key))
    length = len(reader)
    # Bytes past the end make hdfs-native panic; of a file being written more may be visible.
    if length < status.size or (length > status.size and not is_open):
        raise GenerationGone(status.key, f"has {length} bytes by now, not {status.size}")
    return HdfsReader(native, stamp_of, status, stamp, reader)


async def _opened(native: Native, status: FileStatus) -> FileReader | None:
    file_id = file_id_of(status.fingerprint)
    if file_id is None:
        return None
    try:
        return await native.open(f"/.reserved/.inodes/{file_id}")
    except FileMissing:
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
