"""An open file: one generation, from the first byte to the last."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, assert_never

from forebay.cache.cached_file import CachedFile
from forebay.cache.pieces import BytesPiece, FilePiece, Piece
from forebay.files.lookups import speaking_of
from forebay.files.status import LakeStatus
from forebay.model.errors import ForebayError, GenerationGone, ShelfDamaged
from forebay.model.ranges import ByteRange

_CHUNK_BYTES: Final = 256 << 10

Reopen = Callable[[LakeStatus], Awaitable[tuple[LakeStatus, CachedFile]]]
"""Opens the file anew, with a status asked for now. Raises GenerationGone if it is no other."""


class OpenFile:
    """Reads one generation. Close it when done.

    Until the first byte has come, a generation that turns out to be gone is replaced, once, by
    the one that is there: use `status` after `begin`. Afterwards it is an error.

    Args:
        status: what was known when it was opened.
        kept: the generation's bytes.
        reopen: how to open it anew; None: this generation or none.
        note: told of each error.
    """

    def __init__(
        self,
        status: LakeStatus,
        kept: CachedFile,
        reopen: Reopen | None,
        note: Callable[[ForebayError], None],
    ) -> None:
        self._status = status
        self._kept = kept
        self._reopen = reopen
        self._note = note
        self._first: tuple[int, Piece] | None = None

    @property
    def status(self) -> LakeStatus:
        """What is known of the file; another after `begin` if it was replaced meanwhile."""
        return self._status

    @property
    def from_cache(self) -> int:
        """Bytes given out that were cached."""
        return self._kept.from_cache

    @property
    def from_store(self) -> int:
        """Bytes given out that had to be fetched."""
        return self._kept.from_store

    def present(self, span: ByteRange) -> int:
        """How many bytes of `span` are cached now."""
        return self._kept.present(span)

    async def begin(
        self, wanted: Callable[[LakeStatus], ByteRange], *, ahead: int = 0
    ) -> ByteRange:
        """The range that `wanted` makes of the status, when its first byte is at hand.

        `wanted` is asked again if the file turned out to be another by now; what it raises passes.
        Raises GenerationGone (it is neither), FileMissing, StoreAway.
        """
        span = wanted(self._status)
        if not span:
            return span
        try:
            with self._noted():
                await self._fetch_first(span, ahead)
        except GenerationGone:
            if self._reopen is None:
                raise
        else:
            return span
        await self._open_anew()
        span = wanted(self._status)
        if span:
            with self._noted():
                await self._fetch_first(span, ahead)
        return span

    async def piece(self, at: int, most: int, *, ahead: int = 0) -> Piece:
        """Bytes from `at`, at least one, at most `most`. Raises GenerationGone, StoreAway."""
        first, self._first = self._first, None
        if first is not None and first[0] == at and first[1].count <= most:
            return first[1]
        self._reopen = None
        with self._noted():
            return await self._kept.piece(at, most, ahead=ahead)

    async def stream(self, span: ByteRange, *, ahead: int = 0) -> AsyncIterator[bytes]:
        """The bytes of `span` in order, for who cannot use `sendfile`."""
        at = span.start
        while at < span.end:
            piece = await self.piece(at, span.end - at, ahead=ahead)
            at += piece.count
            for chunk in _chunks(piece):
                yield chunk

    def close(self) -> None:
        """Let go of it."""
        self._first = None
        self._kept.close()

    async def _fetch_first(self, span: ByteRange, ahead: int) -> None:
        piece = await self._kept.piece(span.start, len(span), ahead=ahead)
        self._first = (span.start, piece)
        self._reopen = None

    async def _open_anew(self) -> None:
        """Replace the generation by the one that is there now."""
        reopen, self._reopen = self._reopen, None
        if reopen is not None:
            with self._noted():
                status, kept = await reopen(self._status)
            self._kept.close()
            self._status, self._kept = status, kept

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            with speaking_of(self._status.path):
                yield
        except ForebayError as error:
            self._note(error)
            raise


def _chunks(piece: Piece) -> Iterator[bytes]:
    match piece:
        case BytesPiece(data):
            yield bytes(data)
        case FilePiece(handle, offset, count):
            end = offset + count
            while offset < end:
                chunk = os.pread(handle.fd, min(_CHUNK_BYTES, end - offset), offset)
                if not chunk:
                    raise ShelfDamaged("segment", "a segment file is too short")
                offset += len(chunk)
                yield chunk
        case _:
            assert_never(piece)
