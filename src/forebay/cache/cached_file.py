"""A cached file: one generation, open for reading, whatever of it is held now."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Final

from forebay.cache.ahead import FIRST_BYTES
from forebay.cache.fills import Fill
from forebay.cache.pieces import BytesPiece, FilePiece, Piece
from forebay.cache.segments import READABLE, WHOLE, LiveSegment
from forebay.model.errors import BadRange, NoRoom, ShelfDamaged
from forebay.model.generation import Generation
from forebay.model.ranges import (
    BLOCK_BYTES,
    JOINED_BYTES,
    SEGMENT_BYTES,
    ByteRange,
    block_count,
    bytes_of,
)
from forebay.shelf.blocks import SEGMENT_KEY
from forebay.shelf.descriptors import is_resident
from forebay.shelf.shelf import TOUCHED_BYTES, Damage
from forebay.shelf.verify import read_verified

COLD_BYTES: Final = 2 << 20
"""How much is read from the disk at a time when pages are not resident."""

_READ_BYTES: Final = 256 << 10


class CachedFile:
    """An open file. It keeps its generation: when that can be had nowhere, `GenerationGone`.

    Close it; a fill whose readers have all gone starts nothing new.

    Attributes:
        size: bytes.
        generation: which content.
        from_cache: bytes given that were held before this reader wanted them.
        from_store: bytes given that were fetched for this reader, or while it waited.
    """

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        fill.readers += 1
        self.size = fill.size
        self.generation: Generation = fill.generation
        self.from_cache = 0
        self.from_store = 0
        self._caused: list[ByteRange] = []
        self._bypass: _Bypass | None = None
        self._closed = False

    async def piece(self, at: int, most: int, *, ahead: int = 0) -> Piece:
        """The next bytes from `at` on: at least one, at most `most`.

        Returns as soon as a block at `at` is there; what is missing of [at, at + most) is fetched
        meanwhile, as far as the fill's window reaches. `most` may be the whole rest that the
        caller wants. `ahead`: how many bytes beyond that may be fetched, if this generation is
        read forward.

        Raises:
            BadRange: `at` is not in the file, or nothing is wanted.
            GenerationGone: the file is another one by now, and these bytes are not held.
            StoreTrouble: as the store has it; asking again begins anew.
        """
        if self._closed or not 0 <= at < self.size or most <= 0:
            raise BadRange(self.generation, f"no bytes {at}-{at + most} in a file of {self.size}")
        end = min(at + most, self.size)
        if self._fill.ledger.shelf.damage:
            await self._fill.ledger.mend()
        if self._bypass is not None and self._bypass.at == at:
            data = await self._bypass.next(end - at)
            if data:
                return self._given_uncached(data)
        self._end_bypass()
        try:
            return await self._kept_piece(at, end, ahead)
        except (NoRoom, ShelfDamaged):
            return await self._uncached_piece(at, end)

    def present(self, span: ByteRange) -> int:
        """How many bytes of `span` are held now."""
        found, ledger = 0, self._fill.ledger
        for number in range(span.start // SEGMENT_BYTES, -(-span.end // SEGMENT_BYTES)):
            segment = self._fill.live(number)
            if segment is None:
                record = ledger.record(self.generation.raw, number)
                if record is None:
                    continue
                segment = LiveSegment(b"", number, number * SEGMENT_BYTES, record.size, 0)
                for block in record.blocks():
                    segment.states[block] = WHOLE
            found += segment.held_bytes(span.start, span.end)
        return found

    async def stream(self, span: ByteRange, *, ahead: int = 0) -> AsyncIterator[bytes]:
        """The bytes of `span` in pieces of at most 256 KiB, for who cannot use `sendfile`."""
        at = span.start
        while at < span.end:
            piece = await self.piece(at, span.end - at, ahead=ahead)
            at += piece.count
            match piece:
                case BytesPiece(data):
                    yield bytes(data)
                case FilePiece(handle, offset, count):
                    for start in range(0, count, _READ_BYTES):
                        wanted = min(_READ_BYTES, count - start)
                        found = os.pread(handle.fd, wanted, offset + start)
                        if len(found) != wanted:
                            raise ShelfDamaged(self.generation, "a segment file is too short")
                        yield found

    def close(self) -> None:
        """Let go of it; closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        self._end_bypass()
        self._fill.leave()

    async def _kept_piece(self, at: int, end: int, ahead: int) -> Piece:
        fill = self._fill
        # The blocks as they were before we waited for one.
        before: tuple[LiveSegment, bytes] | None = None
        while True:
            segment = await fill.segment(at // SEGMENT_BYTES)
            count = segment.readable(at, end - at)
            if before is None or not count:
                self._want(segment, at, end, ahead, first=before is None)
            if count:
                piece = await self._file_piece(segment, at, count)
                if piece is not None:
                    self._count(segment, at, piece.count, before)
                    return piece
                continue
            if before is None or before[0] is not segment:
                before = (segment, bytes(segment.states))
            await fill.arrival(segment, (at - segment.start) // BLOCK_BYTES)

    def _want(self, segment: LiveSegment, at: int, end: int, ahead: int, *, first: bool) -> None:
        """Have fetched what is missing of [at, end), as far as the window reaches, and beyond."""
        fill, options = self._fill, self._fill.ledger.options
        window = options.range_bytes * options.flights
        reach = min(at + window, end)
        if reach < end:
            # The window moves by whole ranges, not by a block whenever a block was read.
            reach = max(reach - reach % options.range_bytes, min(at + options.range_bytes, end))
        self._want_in(segment, at, reach, is_ahead=False)
        if not first:
            return
        beyond = min(fill.ahead.reach(at, end, ahead), self.size)
        if reach == end and beyond > end:
            self._want_in(segment, end, beyond, is_ahead=True)

    def _want_in(self, segment: LiveSegment, start: int, end: int, *, is_ahead: bool) -> None:
        fill = self._fill
        if start >= end:
            return
        for run in fill.want(segment, start, end, is_ahead=is_ahead):
            span = bytes_of(run, segment.size)
            self._cause(segment.start + span.start, segment.start + span.end)
        stop = segment.start + SEGMENT_BYTES
        if end <= stop:
            return
        following = fill.live(segment.number + 1)
        if following is not None:
            self._want_in(following, max(start, stop), end, is_ahead=is_ahead)
        else:
            fill.open_soon(segment.number + 1)

    async def _file_piece(self, segment: LiveSegment, at: int, count: int) -> Piece | None:
        """The piece, its pages in memory; None if it turned out to be damaged."""
        handle = segment.handle
        assert handle is not None  # noqa: S101 - something can be read, so it is open
        offset = at - segment.start
        first = offset // BLOCK_BYTES
        if segment.states[first] != WHOLE or segment.pending:
            # It was written a moment ago: it is in memory.
            return FilePiece(handle, offset, count)
        ledger = self._fill.ledger
        if is_resident(handle, offset, count):
            return FilePiece(handle, offset, count)
        count = min(count, COLD_BYTES)
        blocks = range(first, -(-(offset + count) // BLOCK_BYTES))
        start = first * BLOCK_BYTES
        length = min(blocks.stop * BLOCK_BYTES, segment.size) - start
        _, damaged = await ledger.in_disk(
            read_verified, ledger.shelf.blocks, handle, blocks, start, length
        )
        if not damaged:
            return FilePiece(handle, offset, count)
        segment.spoil(damaged)
        if not segment.dropped:
            row = ledger.shelf.blocks.raw(SEGMENT_KEY.pack(segment.generation, segment.number))
            ledger.shelf.report(
                [
                    Damage(segment.generation, segment.number, segment.file, block)
                    for block in damaged
                ],
                row if row is not None else b"",
            )
            await ledger.mend()
        return None

    async def _uncached_piece(self, at: int, end: int) -> Piece:
        """There is no room: pass the store's bytes on."""
        fill = self._fill
        longest = JOINED_BYTES if fill.is_pinned else FIRST_BYTES
        segment = fill.live(at // SEGMENT_BYTES)
        if segment is not None and not segment.readable(at, 1):
            end = segment.gap(at, end)
        self._bypass = _Bypass(fill, ByteRange(at, min(end, at + longest)))
        data = await self._bypass.next(end - at)
        return self._given_uncached(data)

    def _given_uncached(self, data: bytes) -> BytesPiece:
        self.from_store += len(data)
        return BytesPiece(data)

    def _end_bypass(self) -> None:
        if self._bypass is not None:
            self._fill.spawn(self._bypass.close())
            self._bypass = None

    def _cause(self, start: int, end: int) -> None:
        """Remember what this reader had fetched: it does not come from the cache."""
        if self._caused and self._caused[-1].end == start:
            self._caused[-1] = ByteRange(self._caused[-1].start, end)
        else:
            self._caused.append(ByteRange(start, end))

    def _count(
        self,
        segment: LiveSegment,
        at: int,
        count: int,
        before: tuple[LiveSegment, bytes] | None,
    ) -> None:
        end = at + count
        if before is None:
            fetched = sum(max(min(end, span.end) - max(at, span.start), 0) for span in self._caused)
        elif before[0] is segment:
            fetched = count - _given(segment, before[1], at, end)
        else:
            fetched = count
        self._caused = [span for span in self._caused if span.end > end]
        self.from_store += fetched
        self.from_cache += count - fetched
        if not fetched:
            self._fill.ledger.shelf.touched[segment.file % TOUCHED_BYTES] = 1


def _given(segment: LiveSegment, states: bytes, at: int, end: int) -> int:
    """How many bytes of [at, end) lie in blocks that could be read when the states were these."""
    found = 0
    for block in range((at - segment.start) // BLOCK_BYTES, block_count(end - segment.start)):
        if states[block] >= READABLE:
            start = segment.start + block * BLOCK_BYTES
            found += min(end, start + BLOCK_BYTES) - max(at, start)
    return found


class _Bypass:
    """A range that is passed on without being kept.

    A stream holds one of the few connections that the store allows. It waits a moment for its
    reader and no longer: else as many slow readers as there are connections would stop everybody.
    """

    def __init__(self, fill: Fill, span: ByteRange) -> None:
        self.at = span.start
        self._fill = fill
        self._stream = fill.bypass(span)
        self._rest = b""
        self._waiting: asyncio.TimerHandle | None = None
        self._is_over = False

    async def next(self, most: int) -> bytes:
        """The next bytes, at most `most`; b"" at the end of the range, or of the waiting."""
        self._wait_no_longer()
        data = self._rest
        if not data and not self._is_over:
            data = await anext(self._stream, b"")
        self._rest = data[most:]
        data = data[:most]
        self.at += len(data)
        if self._fill.is_pinned and not self._is_over:
            # Without pinned ranges all bytes have come by now, and no connection is held.
            seconds = self._fill.ledger.options.slow_seconds
            self._waiting = asyncio.get_running_loop().call_later(seconds, self._give_up)
        return data

    async def close(self) -> None:
        """End the stream, however much of it was read."""
        self._wait_no_longer()
        if not self._is_over:
            await self._end()

    def _give_up(self) -> None:
        self._waiting = None
        self._is_over = True
        self._fill.spawn(self._end())

    async def _end(self) -> None:
        self._is_over = True
        await self._stream.aclose()

    def _wait_no_longer(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
