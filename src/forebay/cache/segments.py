"""Live segments: segments that readers have open, or that are being filled."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from forebay.model.ranges import BLOCK_BYTES, block_count, runs_of
from forebay.shelf.blocks import SegmentRecord
from forebay.shelf.handles import Handle

ABSENT: Final = 0
WANTED: Final = 1
"""A flight will bring it."""
HIDDEN: Final = 2
"""Written, and not to be read before the store was asked again (see `verify`)."""
READABLE: Final = 3
"""Written; its range is not whole yet, so that it is not in the index."""
WHOLE: Final = 4
"""In the index, or on its way there."""

_GIVEN: Final = bytes((READABLE, WHOLE))


class Flight:
    """A range of one segment on its way from the store.

    Attributes:
        blocks: of the segment.
        reserved: bytes set aside for it.
        sums: checksums of the blocks that were written.
        counted: blocks whose room the index counts already.
        touched_disk: whether anything was written.
        is_ahead: nobody asked for it yet.
    """

    __slots__ = (
        "blocks",
        "counted",
        "is_ahead",
        "reserved",
        "segment",
        "sums",
        "touched_disk",
        "waiters",
    )

    def __init__(self, segment: "LiveSegment", blocks: range, *, is_ahead: bool) -> None:
        self.segment = segment
        self.blocks = blocks
        self.is_ahead = is_ahead
        self.reserved = 0
        self.counted: set[int] = set()
        self.sums: dict[int, int] = {}
        self.touched_disk = False
        self.waiters: list[tuple[int, asyncio.Future[None]]] = []

    def give_up(self) -> None:
        """Tell those who wait to look again: the segment is another one now."""
        for _, waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters = []

    def wake(self, error: BaseException | None = None) -> None:
        """Tell those whose block can be read now; with an error: all."""
        states, waiting = self.segment.states, []
        for block, waiter in self.waiters:
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(error)
            elif states[block] >= READABLE:
                waiter.set_result(None)
            else:
                waiting.append((block, waiter))
        self.waiters = waiting


class LiveSegment:
    """One segment as the keeper works on it; of the event loop alone.

    Attributes:
        generation: 16 bytes.
        number: which segment of it.
        start: its first byte in the whole file.
        size: its bytes.
        file: number of its segment file.
        states: one byte a block.
        handle: the open file; None until something is written.
        writable: whether `handle` takes writes.
        entered: whether the index has it.
        held: bytes of disk counted as entered.
        reserved: bytes of disk counted as reserved.
        pending: commits that it waits for.
        dropped: it is held no longer; who has it open reads on.
        flights: ranges on their way.
        strays: blocks that take room without being held -> whether `reserved` counts them.
    """

    def __init__(self, generation: bytes, number: int, start: int, size: int, file: int) -> None:
        self.generation = generation
        self.number = number
        self.start = start
        self.size = size
        self.file = file
        self.states = bytearray(block_count(size))
        self.handle: Handle | None = None
        self.writable = False
        self.entered = False
        self.held = 0
        self.reserved = 0
        self.pending = 0
        self.dropped = False
        self.flights: list[Flight] = []
        self.strays: dict[int, bool] = {}

    @property
    def is_busy(self) -> bool:
        """Whether it must not be evicted now."""
        return bool(self.flights or self.pending or self.reserved)

    def let_drop(self) -> None:
        """It is held no longer: only who was given its handle reads on."""
        self.dropped = True
        self.handle = None

    def take(self, record: SegmentRecord, handle: Handle) -> None:
        """Go on with what the index has of it."""
        self.handle = handle
        for block in record.blocks():
            self.states[block] = WHOLE

    def readable(self, at: int, most: int) -> int:
        """How many bytes can be read from `at` (in the whole file) on, at most `most`."""
        first = (at - self.start) // BLOCK_BYTES
        end = min(at + most, self.start + self.size)
        states = self.states[first : block_count(end - self.start)]
        run = len(states) - len(states.lstrip(_GIVEN))
        if not run:
            return 0
        return min(end, self.start + (first + run) * BLOCK_BYTES) - at

    def gap(self, at: int, end: int) -> int:
        """Where the next byte that can be read is, at most `end`; `at` itself cannot be read."""
        first = (at - self.start) // BLOCK_BYTES
        found = [self.states.find(state, first) for state in _GIVEN]
        starts = [self.start + block * BLOCK_BYTES for block in found if block >= 0]
        return min([end, *starts])

    def missing(self, start: int, end: int, longest: int) -> Iterator[range]:
        """Runs of at most `longest` blocks of [start, end) that nobody brings yet."""
        first = max(start - self.start, 0) // BLOCK_BYTES
        stop = block_count(min(end - self.start, self.size))
        return runs_of(self._absent(first, stop), longest)

    def flight_of(self, block: int) -> Flight | None:
        """The flight that brings a block."""
        for flight in self.flights:
            if block in flight.blocks:
                return flight
        return None

    def mark(self, blocks: range, state: int) -> None:
        """Set the state of consecutive blocks."""
        self.states[blocks.start : blocks.stop] = bytes((state,)) * len(blocks)

    def spoil(self, blocks: Iterable[int]) -> None:
        """These blocks are not what they were: they take room, and are not held."""
        for block in blocks:
            if self.states[block] == WHOLE:
                self.states[block] = ABSENT
                self.strays[block] = False

    def held_bytes(self, start: int, end: int) -> int:
        """How many bytes of [start, end) (in the whole file) can be read."""
        found, at = 0, max(start, self.start)
        end = min(end, self.start + self.size)
        while at < end:
            run = self.readable(at, end - at)
            found += run
            at = at + run if run else (at // BLOCK_BYTES + 1) * BLOCK_BYTES
        return found

    def _absent(self, first: int, stop: int) -> Iterator[int]:
        block = self.states.find(ABSENT, first, stop)
        while block >= 0:
            yield block
            block = self.states.find(ABSENT, block + 1, stop)
