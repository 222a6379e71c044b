"""Fills: one generation's missing bytes on their way from the store, for all who wait for them."""

import asyncio
import errno
import os
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol

from forebay.cache.ahead import ReadAhead
from forebay.cache.ledger import Ledger
from forebay.cache.quota import disk_bytes_of
from forebay.cache.segments import (
    ABSENT,
    HIDDEN,
    READABLE,
    WANTED,
    WHOLE,
    Flight,
    LiveSegment,
)
from forebay.cache.writing import RangeWriter
from forebay.model.errors import (
    ForebayError,
    GenerationGone,
    NoRoom,
    ShelfDamaged,
    StoreAway,
    StoreLied,
)
from forebay.model.generation import Generation, StoreIdentity
from forebay.model.ranges import (
    BLOCK_BYTES,
    ByteRange,
    bytes_of,
    segment_range,
)
from forebay.model.status import FileStatus
from forebay.shelf.blocks import SegmentRecord
from forebay.shelf.blocks_writer import Confirmed
from forebay.shelf.handles import Handle
from forebay.shelf.verify import read_verified
from forebay.stores.contract import Abilities, Opens, PinnedReader

WRITE_BYTES: Final = 256 << 10
"""What a write to a segment file has at least, but for the last of a range."""

_SEGMENTS: Final = 8
"""Segments of one file that are kept open."""

_VERIFY_BYTES: Final = 4 << 20
"""What a verification reads at a time."""

_REFUSED: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
    }
)


class Source(Opens, Protocol):
    """What a fill needs of a store."""

    @property
    def identity(self) -> StoreIdentity:
        """Which store it is."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        ...


class Owner(Protocol):
    """Who owns fills and their tasks."""

    def spawn(self, work: Coroutine[Any, Any, None], /) -> None:
        """Start a task."""
        ...

    def left(self, fill: "Fill", /) -> None:
        """The last reader of a fill has left."""
        ...


class Fill:
    """All that is under way for one generation; of the event loop alone.

    Args:
        source: the store.
        status: what it says of the file.
        generation: which content.
        ledger: counts, enters and evicts.
        slots: bounds the flights of the store.
        owner: starts tasks, and hears when the last reader has left.
    """

    def __init__(
        self,
        source: Source,
        status: FileStatus,
        generation: Generation,
        ledger: Ledger,
        slots: asyncio.Semaphore,
        owner: Owner,
    ) -> None:
        self.generation = generation
        self.size = status.size
        self.ledger = ledger
        self.readers = 0
        self.ahead = ReadAhead(ledger.options.ahead_bytes)
        self._source = source
        self._status = status
        self._slots = slots
        self._spawn = owner.spawn
        self._left = owner.left
        self._segments: dict[int, LiveSegment] = {}
        self._openings: dict[int, asyncio.Future[None]] = {}
        self._queue: deque[Flight] = deque()
        self._queue_ahead: deque[Flight] = deque()
        self._flying = 0
        self._reader: PinnedReader | None = None
        self._retired: list[PinnedReader] = []
        self._opening = asyncio.Lock()
        self._users = 0
        self._idle: asyncio.TimerHandle | None = None
        self._unverified: list[Flight] = []
        self._verifying = False

    @property
    def is_idle(self) -> bool:
        """Whether nobody reads, and nothing is under way."""
        return not (self.readers or self._flying or self._users or self._openings)

    @property
    def is_over(self) -> bool:
        """Whether it can be forgotten."""
        return self.is_idle and not self._segments and self._reader is None

    def follow(self, source: Source) -> None:
        """Ask this store from now on: the one before may have been closed, or have been away."""
        if source is self._source:
            return
        self._source = source
        self._retire()
        if not self._users:
            self._close_retired()

    async def end(self) -> None:
        """The node stops: let go of everything."""
        self.readers = 0
        await self.let_go()

    # Segments

    def live(self, number: int) -> LiveSegment | None:
        """The live segment, if it was opened and is still held."""
        segment = self._segments.get(number)
        return None if segment is None or segment.dropped else segment

    async def segment(self, number: int) -> LiveSegment:
        """The live segment; opened, and verified if need be, once for all who ask."""
        # Whoever waits wakes a little later: by then it may have been evicted again.
        while (segment := self.live(number)) is None:
            opening = self._openings.get(number)
            if opening is None:
                opening = asyncio.get_running_loop().create_future()
                self._openings[number] = opening
                self._spawn(self._open_segment(number, opening))
            await asyncio.shield(opening)
        return segment

    async def _open_segment(self, number: int, opening: "asyncio.Future[None]") -> None:
        try:
            segment = await self._make_segment(number)
        except BaseException as error:
            if not opening.cancelled():
                opening.set_exception(_as_ours(error))
                opening.exception()  # whoever waited may have gone
            if not isinstance(error, ForebayError | OSError):
                raise
        else:
            self._trim()
            self._segments[number] = segment
            opening.set_result(None)
        finally:
            del self._openings[number]

    async def _make_segment(self, number: int) -> LiveSegment:
        span = segment_range(number, self.size)
        raw = self.generation.raw
        record = self.ledger.record(raw, number)
        if record is not None:
            segment = LiveSegment(raw, number, span.start, len(span), record.file)
            if await self._take(segment, record):
                return segment
        segment = LiveSegment(raw, number, span.start, len(span), self.ledger.new_file())
        self.ledger.attend(segment)
        return segment

    async def _take(self, segment: LiveSegment, record: SegmentRecord) -> bool:
        """Go on with a segment of the index; False if nothing of it is left."""
        ledger = self.ledger
        rows = ledger.shelf.blocks.files(record.file, 1)
        if not rows or rows[0].file != record.file:
            return False
        # From here on its eviction is told to it, and counts what it holds.
        segment.entered, segment.held = True, rows[0].held
        ledger.attend(segment)
        try:
            path = ledger.shelf.layout.segment(record.file)
            handle = await ledger.in_disk(Handle, path, record.file, ledger.shelf.files)
        except FileNotFoundError:
            ledger.leave(segment)
            await ledger.drop(rows)
            return False
        if segment.dropped:
            return False
        segment.take(record, handle)
        if record.run < ledger.shelf.trusted_run:
            await self._verify_segment(segment, record)
        # It may have been evicted, or free may have dropped it, while we looked at it.
        return not segment.dropped

    async def _verify_segment(self, segment: LiveSegment, record: SegmentRecord) -> None:
        """Read all that is held of a segment, and hold no longer what is not what it was."""
        assert segment.handle is not None  # noqa: S101 - it was just taken
        damaged = await self.ledger.in_disk(damaged_blocks, self.ledger, segment.handle, record)
        segment.spoil(damaged)
        await self.ledger.confirm(
            Confirmed(segment.file, segment.generation, segment.number, frozenset(damaged))
        )

    # What is wanted

    def want(
        self, segment: LiveSegment, start: int, end: int, *, is_ahead: bool = False
    ) -> list[range]:
        """Have the blocks of [start, end) that lie in this segment brought, if nobody does.

        Returns the runs of blocks that are brought because of it.
        """
        longest = max(self.ledger.options.range_bytes // BLOCK_BYTES, 1)
        runs = list(segment.missing(start, end, longest))
        for blocks in runs:
            flight = Flight(segment, blocks, is_ahead=is_ahead)
            segment.mark(blocks, WANTED)
            segment.flights.append(flight)
            (self._queue_ahead if is_ahead else self._queue).append(flight)
        self._start()
        return runs

    async def arrival(self, segment: LiveSegment, block: int) -> None:
        """Return when the block can be read, or may be asked for again.

        Raises:
            ForebayError: the flight that was to bring it failed.
        """
        if segment.states[block] >= READABLE:
            return
        flight = segment.flight_of(block)
        if flight is None:
            return
        if flight in self._queue_ahead:
            # Somebody waits for it now.
            self._queue_ahead.remove(flight)
            self._queue.append(flight)
            self._start()
        waiter = asyncio.get_running_loop().create_future()
        flight.waiters.append((block, waiter))
        await waiter

    def leave(self) -> None:
        """A reader is gone; with the last one, what has not started does not start."""
        self.readers -= 1
        if self.readers == 0:
            self.call_off()
            self._left(self)

    def call_off(self) -> None:
        """Start nothing of what has not started."""
        for queue in (self._queue, self._queue_ahead):
            while queue:
                self._call_off(queue.popleft())

    def _call_off(self, flight: Flight) -> None:
        segment = flight.segment
        segment.flights.remove(flight)
        segment.mark(flight.blocks, ABSENT)
        flight.wake(StoreAway(self._status.key, "its reader has gone"))

    def _start(self) -> None:
        while self._flying < self.ledger.options.flights and (self._queue or self._queue_ahead):
            flight = (self._queue or self._queue_ahead).popleft()
            self._flying += 1
            self._spawn(self._fly(flight))

    # Flights

    async def _fly(self, flight: Flight) -> None:
        try:
            async with self._slots:
                await self._bring(flight)
        except (ForebayError, OSError) as error:
            self._fail(flight, _as_ours(error))
        except BaseException:
            self._fail(flight, StoreAway(self._status.key, "the node is stopping"))
            raise
        finally:
            self._flying -= 1
            self._start()

    async def _bring(self, flight: Flight) -> None:
        segment = flight.segment
        if not segment.dropped:
            await self._take_room(flight)
            await self._make_writable(segment)
        if segment.dropped:
            self._abandon(flight)
            return
        reader = await self.pinned()
        try:
            await self._stream(flight, reader)
        except GenerationGone:
            self._retire()
            raise
        finally:
            self.unpinned()
        if self._source.abilities.pinned_ranges:
            self._land(flight)
            return
        self._unverified.append(flight)
        if not self._verifying:
            await self._verify()

    async def _take_room(self, flight: Flight) -> None:
        """Set room aside for the blocks that do not count yet: strays of earlier flights do."""
        segment = flight.segment
        count = {
            block: disk_bytes_of(range(block, block + 1), segment.size) for block in flight.blocks
        }
        needed = sum(count[block] for block in flight.blocks if block not in segment.strays)
        await self.ledger.reserve(needed)
        segment.reserved += needed
        flight.reserved = needed
        for block in flight.blocks:
            in_reserve = segment.strays.pop(block, None)
            if in_reserve:
                flight.touched_disk = True
                flight.reserved += count[block]
            elif in_reserve is not None:
                flight.counted.add(block)

    def _abandon(self, flight: Flight) -> None:
        """Its segment is held no longer: who waits looks again, and finds another one."""
        segment = flight.segment
        segment.flights.remove(flight)
        segment.reserved -= flight.reserved
        self.ledger.quota.unlink(segment.file, 0, flight.reserved)
        flight.reserved = 0
        flight.give_up()

    async def _make_writable(self, segment: LiveSegment) -> None:
        if segment.writable:
            return
        ledger = self.ledger
        flags = os.O_RDWR | (0 if segment.entered else os.O_CREAT)
        try:
            handle = await ledger.in_disk(
                Handle,
                ledger.shelf.layout.segment(segment.file),
                segment.file,
                ledger.shelf.files,
                flags,
            )
        except FileNotFoundError:
            # Somebody else removed it: it is held no longer.
            await ledger.scrap(segment)
            return
        except OSError as error:
            raise self._refusal(error) from error
        if segment.dropped:
            if not segment.entered:
                await ledger.unlink(segment.file)
        elif not segment.writable:
            segment.handle = handle
            segment.writable = True

    async def _stream(self, flight: Flight, reader: PinnedReader) -> None:
        segment = flight.segment
        assert segment.handle is not None  # noqa: S101 - it was made writable
        span = bytes_of(flight.blocks, segment.size)
        whole = ByteRange(segment.start + span.start, segment.start + span.end)
        writer = RangeWriter(segment.handle, flight.blocks, segment.size)
        buffer, left = bytearray(), len(whole)
        async for chunk in reader.stream(whole):
            left -= len(chunk)
            if left < 0:
                raise StoreLied(self._status.key, "the store sent more than was asked for")
            if not buffer and len(chunk) >= WRITE_BYTES:
                await self._write(flight, writer, chunk)
                continue
            buffer += chunk
            if len(buffer) >= WRITE_BYTES:
                await self._write(flight, writer, buffer)
                buffer = bytearray()
        if left:
            raise StoreLied(self._status.key, f"the store sent {left} bytes too few")
        if buffer:
            await self._write(flight, writer, buffer)
        self.ledger.fetched += len(whole)

    async def _write(
        self, flight: Flight, writer: RangeWriter, piece: bytes | bytearray | memoryview
    ) -> None:
        flight.touched_disk = True
        try:
            sums = await self.ledger.in_disk(writer.write, memoryview(piece))
        except OSError as error:
            raise self._refusal(error) from error
        flight.sums.update(sums)
        state = READABLE if self._source.abilities.pinned_ranges else HIDDEN
        states = flight.segment.states
        for block in sums:
            states[block] = state
        flight.wake()

    def _refusal(self, error: OSError) -> ForebayError:
        """The disk took no write: keep nothing for a while, and go on without."""
        self.ledger.quota.disk_refused(self.ledger.options.full_seconds)
        reason = os.strerror(error.errno or 0)
        if error.errno in _REFUSED:
            return NoRoom(self.ledger.shelf.layout.root, reason)
        return ShelfDamaged(self.ledger.shelf.layout.root, reason)

    async def _verify(self) -> None:
        """Ask the store once for all ranges that have come in: are they of our generation?"""
        self._verifying = True
        try:
            while self._unverified:
                flights, self._unverified = self._unverified, []
                await self._verify_flights(flights)
        finally:
            self._verifying = False
            # Only when the node stops is something left here.
            for flight in self._unverified:
                self._fail(flight, StoreAway(self._status.key, "the node is stopping"))
            self._unverified = []

    async def _verify_flights(self, flights: list[Flight]) -> None:
        try:
            reader = await self.pinned()
            try:
                await reader.verify()
            finally:
                self.unpinned()
        except (ForebayError, OSError) as error:
            self._retire()
            for flight in flights:
                self._fail(flight, _as_ours(error))
        except BaseException:
            for flight in flights:
                self._fail(flight, StoreAway(self._status.key, "the node is stopping"))
            raise
        else:
            for flight in flights:
                self._land(flight)

    def _land(self, flight: Flight) -> None:
        """A range is whole, and of our generation."""
        segment = flight.segment
        segment.flights.remove(flight)
        segment.mark(flight.blocks, WHOLE)
        flight.wake()
        self.ledger.note(segment, flight.sums, flight.reserved)
        flight.reserved = 0

    def _fail(self, flight: Flight, error: ForebayError) -> None:
        """Nothing of the range is kept; those who wait for it hear why."""
        segment = flight.segment
        if flight not in segment.flights:
            return
        segment.flights.remove(flight)
        segment.mark(flight.blocks, ABSENT)
        if segment.dropped:
            segment.reserved -= flight.reserved
            self.ledger.quota.unlink(segment.file, 0, flight.reserved)
        elif flight.touched_disk:
            # What was written takes room until it is written again or the file goes.
            segment.strays.update(dict.fromkeys(flight.blocks, True))
        else:
            segment.reserved -= flight.reserved
            self.ledger.quota.release(flight.reserved)
        segment.strays.update(dict.fromkeys(flight.counted, False))
        flight.reserved = 0
        flight.wake(error)

    # The reader of the store

    async def pinned(self) -> PinnedReader:
        """The one reader of the generation; give it back with `unpinned`."""
        self._users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            async with self._opening:
                while self._reader is None:
                    source = self._source
                    reader = await source.open(self._status)
                    if source is self._source:
                        self._reader = reader
                    else:
                        self._retired.append(reader)
                return self._reader
        except BaseException:
            self._users -= 1
            raise

    def unpinned(self) -> None:
        """Its user is done; it is closed when nobody uses it for a while."""
        self._users -= 1
        if self._users:
            return
        self._close_retired()
        if self._idle is None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self.ledger.options.idle_seconds, self._let_reader_go)

    @property
    def is_pinned(self) -> bool:
        """Whether the store binds each range to the generation."""
        return self._source.abilities.pinned_ranges

    async def bypass(self, span: ByteRange) -> AsyncGenerator[bytes, None]:
        """The bytes of `span` without keeping them; each piece is of our generation."""
        reader = await self.pinned()
        try:
            async for chunk in _verified(reader, span, pinned=self.is_pinned):
                self.ledger.fetched += len(chunk)
                yield chunk
        except GenerationGone:
            self._retire()
            raise
        finally:
            self.unpinned()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that the keeper owns."""
        self._spawn(work)

    def open_soon(self, number: int) -> None:
        """Open a segment that will be wanted next."""
        if number not in self._openings:
            self._spawn(self._open_ahead(number))

    async def _open_ahead(self, number: int) -> None:
        # Who wants it will hear of the error; nobody does yet.
        with suppress(ForebayError):
            await self.segment(number)

    def _let_reader_go(self) -> None:
        self._idle = None
        if not self._users:
            self._spawn(self._close_reader())

    def _retire(self) -> None:
        """The file is another one: nobody begins with this reader any more."""
        if self._reader is not None:
            self._retired.append(self._reader)
            self._reader = None

    def _close_retired(self) -> None:
        while self._retired:
            self._spawn(_close(self._retired.pop()))

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await _close(reader)

    async def let_go(self) -> None:
        """If nobody reads and nothing flies, close the reader and the segments."""
        if not self.is_idle:
            return
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        await self._close_reader()
        for number, segment in list(self._segments.items()):
            await self._let_segment_go(number, segment)

    async def _let_segment_go(self, number: int, segment: LiveSegment) -> None:
        ledger = self.ledger
        if segment.pending:
            await ledger.flush()
        strays = [block for block, in_reserve in segment.strays.items() if in_reserve]
        if strays and segment.entered and not segment.dropped and self.is_idle:
            # The room they take is counted with the file from now on.
            segment.strays.update(dict.fromkeys(strays, False))
            ledger.note(segment, {}, segment.reserved)
            await ledger.flush()
        if not self.is_idle or segment.is_busy:
            return
        self._segments.pop(number, None)
        if segment.entered:
            ledger.leave(segment)
        elif not segment.dropped:
            await ledger.scrap(segment)

    def _trim(self) -> None:
        """Of a large file that is read through, keep a few segments open."""
        for number, segment in list(self._segments.items()):
            if len(self._segments) < _SEGMENTS:
                return
            if segment.dropped:
                del self._segments[number]
            elif segment.entered and not segment.is_busy:
                self.ledger.leave(segment)
                del self._segments[number]


def damaged_blocks(ledger: Ledger, handle: Handle, record: SegmentRecord) -> list[int]:
    """The blocks of a segment that are not what was entered; reads all of it, in a thread."""
    damaged: list[int] = []
    step = _VERIFY_BYTES // BLOCK_BYTES
    held = record.blocks()
    for first in range(0, held[-1] + 1 if held else 0, step):
        blocks = range(first, min(first + step, held[-1] + 1))
        if not any(record.has(block) for block in blocks):
            continue
        span = bytes_of(blocks, record.size)
        _, wrong = read_verified(
            ledger.shelf.blocks, handle, blocks, record.offset + span.start, len(span)
        )
        damaged.extend(block for block in wrong if record.has(block))
    return damaged


async def _close(reader: PinnedReader) -> None:
    with suppress(ForebayError):
        await reader.close()


async def _verified(
    reader: PinnedReader, span: ByteRange, *, pinned: bool
) -> AsyncGenerator[bytes, None]:
    if pinned:
        async for chunk in reader.stream(span):
            yield bytes(chunk)
        return
    chunks = [bytes(chunk) async for chunk in reader.stream(span)]
    await reader.verify()
    for chunk in chunks:
        yield chunk


def _as_ours(error: BaseException) -> ForebayError:
    if isinstance(error, ForebayError):
        return error
    if isinstance(error, OSError):
        return ShelfDamaged(error.filename or "", os.strerror(error.errno or 0))
    return StoreAway("", "the node is stopping")
