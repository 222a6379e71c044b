"""The keeper: who holds the cached bytes of this host, fills them and lets them go."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from forebay.cache.cached_file import CachedFile
from forebay.cache.fills import Fill, Source
from forebay.cache.ledger import Ledger
from forebay.cache.options import CacheOptions
from forebay.cache.pieces import BytesPiece
from forebay.cache.recovery import recover
from forebay.model.errors import NoRoom
from forebay.model.generation import Generation, StoreIdentity
from forebay.model.ranges import segment_count
from forebay.model.status import FileStatus
from forebay.shelf.shelf import Shelf

_log = logging.getLogger(__name__)

_LINGERING: Final = 256
"""Fills without readers that are kept for the next reader; each has a descriptor or two."""


@dataclass(frozen=True, slots=True)
class HeldShare:
    """What is held of one generation.

    Attributes:
        size: of the whole file.
        bytes: held.
        blocks: held.
        segments: of which something is held.
        tier: the name of the tier they lie in, or None when nothing is held.
    """

    size: int
    bytes: int
    blocks: int
    segments: int
    tier: str | None

    @property
    def is_whole(self) -> bool:
        """Whether every byte is held."""
        return self.bytes == self.size


@dataclass(frozen=True, slots=True)
class Usage:
    """How full the cache is, and what happened since the node started.

    Attributes:
        quota: bytes it may take.
        entered: bytes in the index.
        unlinked_open: bytes of evicted files that are still being read.
        reserved: bytes set aside for fills.
        segments: segment files in the index.
        evictions: segment files evicted.
        evicted_bytes: bytes they held.
        damaged_blocks: blocks that were found damaged, and dropped.
        fetched: bytes fetched from stores.
        open_files: cached files that are open.
        is_full: whether the disk refused a write a short while ago.
    """

    quota: int
    entered: int
    unlinked_open: int
    reserved: int
    segments: int
    evictions: int
    evicted_bytes: int
    damaged_blocks: int
    fetched: int
    open_files: int
    is_full: bool


class Keeps(Protocol):
    """What others ask of a keeper."""

    def open(self, source: Source, status: FileStatus, generation: Generation) -> CachedFile:
        """The file, open for reading. Nothing is read before something is wanted."""
        ...

    async def load(
        self,
        source: Source,
        status: FileStatus,
        generation: Generation,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Have the whole file held; `progress` is told how many bytes are. Returns its size.

        Raises:
            NoRoom: it does not fit.
        """
        ...

    async def free(self, generation: Generation) -> int:
        """Hold nothing of it any more; open readers read on. Returns the bytes it held."""
        ...

    def held(self, generation: Generation, size: int) -> HeldShare:
        """What is held of a file of `size` bytes."""
        ...

    def usage(self) -> Usage:
        """How full the cache is."""
        ...


class Keeper:
    """The keeper of this process's shelf. `open_keeper` makes it; close it before the shelf."""

    def __init__(
        self, shelf: Shelf, options: CacheOptions, now: Callable[[], float], ledger: Ledger
    ) -> None:
        self._shelf = shelf
        self._options = options
        self._now = now
        self._ledger = ledger
        self._fills: dict[bytes, Fill] = {}
        self._slots: dict[StoreIdentity, asyncio.Semaphore] = {}
        self._lingering: dict[Fill, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking = asyncio.create_task(self._tick())

    def open(self, source: Source, status: FileStatus, generation: Generation) -> CachedFile:
        """The file, open for reading. Nothing is read before something is wanted."""
        fill = self._fills.get(generation.raw)
        if fill is None:
            slots = self._slots.setdefault(
                source.identity, asyncio.Semaphore(self._options.store_flights)
            )
            fill = Fill(source, status, generation, self._ledger, slots, self)
            self._fills[generation.raw] = fill
        fill.follow(source)
        self._lingering.pop(fill, None)
        return CachedFile(fill)

    async def load(
        self,
        source: Source,
        status: FileStatus,
        generation: Generation,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Have the whole file held; `progress` is told how many bytes are. Returns its size.

        Raises:
            NoRoom: it does not fit.
        """
        if status.size > self._options.quota_bytes:
            reason = f"{status.size} bytes do not fit in a quota of {self._options.quota_bytes}"
            raise NoRoom(status.key, reason)
        file = self.open(source, status, generation)
        try:
            at = 0
            while at < status.size:
                piece = await file.piece(at, status.size - at)
                if isinstance(piece, BytesPiece):
                    raise NoRoom(status.key, f"there is room for the first {at} bytes only")
                at += piece.count
                progress(at)
        finally:
            file.close()
        await self._ledger.flush()
        return status.size

    async def free(self, generation: Generation) -> int:
        """Hold nothing of it any more; open readers read on. Returns the bytes it held."""
        await self._ledger.flush()
        files = []
        for number, record in self._shelf.blocks.segments(generation.raw):
            rows = self._shelf.blocks.files(record.file, 1)
            files += [row for row in rows if row.file == record.file and row.segment == number]
        return await self._ledger.drop(files)

    def held(self, generation: Generation, size: int) -> HeldShare:
        """What is held of a file of `size` bytes."""
        count = blocks = segments = 0
        for number, record in self._shelf.blocks.segments(generation.raw):
            if number >= segment_count(size):
                continue
            held = record.blocks()
            segments += 1
            blocks += len(held)
            count += record.held_bytes()
        return HeldShare(size, count, blocks, segments, "disk" if segments else None)

    def usage(self) -> Usage:
        """How full the cache is."""
        ledger, quota = self._ledger, self._ledger.quota
        return Usage(
            quota=quota.quota_bytes,
            entered=quota.entered,
            unlinked_open=quota.unlinked_open,
            reserved=quota.reserved,
            segments=self._shelf.blocks.file_count(),
            evictions=ledger.evicted_files,
            evicted_bytes=ledger.evicted_bytes,
            damaged_blocks=ledger.damaged_blocks,
            fetched=ledger.fetched,
            open_files=sum(fill.readers for fill in self._fills.values()),
            is_full=quota.is_full,
        )

    async def flush(self) -> None:
        """Enter what is whole and waits to be entered."""
        await self._ledger.flush()

    async def settle(self) -> None:
        """Return when nothing is under way (fills that readers left, closings, commits)."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)
        await self._ledger.flush()

    async def tick(self) -> None:
        """What is done once a second: mend, let go of idle fills, keep the disk's reserve free."""
        self._ledger.tick()
        await self._ledger.mend()
        await self._ledger.fit()
        until = self._now() - self._options.idle_seconds
        for fill in [fill for fill, since in self._lingering.items() if since <= until]:
            await self._let_go(fill)

    def spawn(self, work: Coroutine[Any, Any, None], /) -> None:
        """Start a task that ends with the keeper at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def left(self, fill: Fill, /) -> None:
        """The last reader of a fill left: it lingers, since the next one may go on there."""
        self._lingering[fill] = self._now()
        if len(self._lingering) > _LINGERING:
            self.spawn(self._let_go(next(iter(self._lingering))))

    async def close(self) -> None:
        """Stop all fills, enter what is whole, and end. The shelf can then be closed as clean."""
        self._ticking.cancel()
        for fill in self._fills.values():
            fill.call_off()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(self._ticking, return_exceptions=True)
        for fill in list(self._fills.values()):
            await fill.end()
        self._fills.clear()
        await self._ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            try:
                await self.tick()
            except Exception:  # noqa: BLE001 - the border of a task
                # A disk that is in trouble may work again in a second.
                _log.exception("tick_failed")

    async def _let_go(self, fill: Fill) -> None:
        self._lingering.pop(fill, None)
        await fill.let_go()
        if fill.is_over:
            self._lingering.pop(fill, None)
            if self._fills.get(fill.generation.raw) is fill:
                del self._fills[fill.generation.raw]
        elif not fill.readers:
            # What is on its way may finish: try again later.
            self._lingering[fill] = self._now()


async def open_keeper(shelf: Shelf, options: CacheOptions, now: Callable[[], float]) -> Keeper:
    """The keeper of a writing shelf; what a crash left behind is put in order first."""
    ledger = Ledger(shelf, options, now)
    ledger.quota.entered = await ledger.in_index(recover, shelf)
    await ledger.fit()
    return Keeper(shelf, options, now, ledger)
