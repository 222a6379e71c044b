"""The ledger of segment files: what is entered, what goes when room is needed, and what is counted.

All changes of the index pass through one thread, in order; decisions are made on the event loop.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from forebay.cache.keep import Eviction, to_evict
from forebay.cache.options import CacheOptions
from forebay.cache.quota import Quota
from forebay.cache.segments import LiveSegment
from forebay.model.errors import HostTrouble, NoRoom
from forebay.shelf.blocks import HeldFile, SegmentRecord
from forebay.shelf.blocks_writer import Confirmed, Entered
from forebay.shelf.shelf import TOUCHED_BYTES, Damage, Shelf

P = ParamSpec("P")
T = TypeVar("T")

_ROUNDS = 4
"""How often room is made before the answer is that there is none."""


@dataclass(slots=True)
class _Commit:
    """Blocks of one segment that wait to be entered."""

    sums: dict[int, int] = field(default_factory=dict)
    reserved: int = 0


class Ledger:
    """Owner of the quota, of the index thread and of the live segments' place in the order."""

    def __init__(self, shelf: Shelf, options: CacheOptions, now: Callable[[], float]) -> None:
        assert shelf.run is not None  # noqa: S101 - the keeper has the writing shelf
        self.shelf = shelf
        self.options = options
        self.evicted_files = 0
        self.evicted_bytes = 0
        self.damaged_blocks = 0
        self.fetched = 0
        self._now = now
        self.quota = Quota(
            options.quota_bytes, options.free_bytes, shelf.files, self._disk_free, now
        )
        self._next_file = shelf.run.first_file
        self._index = ThreadPoolExecutor(1, "forebay-index")
        self._disk = ThreadPoolExecutor(4, "forebay-disk")
        self._hand = 0
        self._live: dict[int, LiveSegment] = {}
        self._leaving: set[int] = set()
        self._young: dict[int, float] = {}
        self._commits: dict[LiveSegment, _Commit] = {}
        self._works: set[asyncio.Task[Any]] = set()
        self._committer: asyncio.Task[None] | None = None
        self._evicting = asyncio.Lock()
        self._committing = asyncio.Lock()

    def new_file(self) -> int:
        """A number for a segment file, which none had and none will have again."""
        self._next_file += 1
        return self._next_file - 1

    def record(self, generation: bytes, number: int) -> SegmentRecord | None:
        """What the index has of a segment, unless it is on its way out."""
        record = self.shelf.blocks.segment(generation, number)
        return None if record is None or record.file in self._leaving else record

    def attend(self, segment: LiveSegment) -> None:
        """A segment is live: its eviction must be told to it."""
        self._live[segment.file] = segment

    def leave(self, segment: LiveSegment) -> None:
        """A segment is live no more; the index alone knows of it."""
        self._live.pop(segment.file, None)

    async def in_disk(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Do blocking work on segment files in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._disk, lambda: work(*args, **named))

    async def in_index(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Do blocking work on the index, after all that was handed in before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._index, lambda: work(*args, **named))

    async def reserve(self, count: int) -> None:
        """Set room aside, evicting what must go for it.

        Raises:
            NoRoom: nothing (more) can be evicted, or the disk takes no writes now.
        """
        if self.quota.reserve(count):
            return
        async with self._evicting:
            for _ in range(_ROUNDS):
                if self.quota.reserve(count):
                    return
                if self.quota.is_full or count > self.quota.quota_bytes:
                    break
                if not await self._evict(self.quota.short(count)):
                    break
            if self.quota.reserve(count):
                return
        raise NoRoom(self.shelf.layout.root, f"there is no room for {count} bytes more")

    def note(self, segment: LiveSegment, sums: dict[int, int], reserved: int) -> None:
        """Blocks of a live segment are whole: enter them with the next commit."""
        if segment.dropped:
            segment.reserved -= reserved
            self.quota.unlink(segment.file, 0, reserved)
            return
        commit = self._commits.get(segment)
        if commit is None:
            commit = self._commits[segment] = _Commit()
            segment.pending += 1
        commit.sums.update(sums)
        commit.reserved += reserved
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_soon())

    async def flush(self) -> None:
        """Enter what waits, now."""
        while self._commits:
            await self._through(self._commit())
        if self._committer is not None and not self._committer.done():
            await asyncio.shield(self._committer)

    async def drop(self, files: Sequence[HeldFile]) -> int:
        """Hold these no longer, and unlink them. Returns the bytes they held."""
        return await self._through(self._drop(files)) if files else 0

    async def _drop(self, files: Sequence[HeldFile]) -> int:
        live_held: dict[int, int] = {}
        leaving = {held.file for held in files}
        self._leaving |= leaving
        for file in leaving:
            live = self._live.pop(file, None)
            if live is not None:
                live.let_drop()
                # A commit that is on its way counts itself: see `_commit_what_waits`.
                live_held[file] = live.held
        try:
            # Of two who drop a file, one is told that it was there.
            gone = await self.in_index(self.shelf.blocks_writer.drop, files)
            await self.in_disk(self._unlink, [held.file for held in gone])
        finally:
            self._leaving -= leaving
        counted = {held.file: live_held.get(held.file, held.held) for held in gone}
        for file, held_bytes in counted.items():
            self._forget(file, held_bytes)
        return sum(counted.values())

    async def scrap(self, segment: LiveSegment) -> None:
        """Drop a live segment's file, whether it was entered or not."""
        await self._through(self._scrap(segment))

    async def _scrap(self, segment: LiveSegment) -> None:
        on_disk = segment.handle is not None
        segment.let_drop()
        if segment.entered:
            held = HeldFile(segment.file, segment.generation, segment.number, segment.held)
            await self.drop([held])
        else:
            self._live.pop(segment.file, None)
            if on_disk:
                await self.in_disk(self._unlink, [segment.file])
                self._forget(segment.file, 0)
        # Flights and commits settle what they have reserved themselves; the rest are strays.
        commit = self._commits.get(segment)
        own = sum(flight.reserved for flight in segment.flights)
        strays = segment.reserved - own - (commit.reserved if commit is not None else 0)
        segment.reserved -= strays
        self.quota.unlink(segment.file, 0, strays)

    async def confirm(self, confirmed: Confirmed) -> int | None:
        """Note what a verification found; the blocks left, or None if it is held no longer.

        A file of which nothing is left is unlinked.
        """
        return await self._through(self._confirm(confirmed))

    async def _confirm(self, confirmed: Confirmed) -> int | None:
        rows = await self.in_index(self.shelf.blocks.files, confirmed.file, 1)
        left = await self.in_index(self.shelf.blocks_writer.confirm, confirmed)
        if left is not None:
            self.damaged_blocks += len(confirmed.damaged)
        if left == 0:
            live = self._live.pop(confirmed.file, None)
            if live is not None:
                live.let_drop()
            await self.in_disk(self._unlink, [confirmed.file])
            self._forget(confirmed.file, rows[0].held if live is None else live.held)
        self.shelf.suspects.pop(confirmed.file, None)
        return left

    async def mend(self) -> None:
        """Drop the damaged blocks that readers reported."""
        if self.shelf.damage:
            await self._through(self._mend())

    async def _mend(self) -> None:
        found: dict[int, list[Damage]] = {}
        while self.shelf.damage:
            damage = self.shelf.damage.popleft()
            found.setdefault(damage.file, []).append(damage)
        for file, damages in found.items():
            rows = await self.in_index(self.shelf.blocks.files, file, 1)
            if not rows or rows[0].file != file:
                self.shelf.suspects.pop(file, None)
                continue
            blocks = frozenset(damage.block for damage in damages)
            live = self._live.get(file)
            if live is not None:
                live.spoil(blocks)
            row = rows[0]
            await self.confirm(Confirmed(file, row.generation, row.segment, blocks))

    async def unlink(self, file: int) -> None:
        """Remove a segment file that the index does not have."""
        await self.in_disk(self._unlink, [file])

    def tick(self) -> None:
        """Once a second: hits of the reading that filled a segment do not count as hits."""
        now = self._now()
        for file in [file for file, until in self._young.items() if until <= now]:
            self.shelf.touched[file % TOUCHED_BYTES] = 0
            del self._young[file]

    async def fit(self) -> None:
        """Evict what is over the quota (it may have been lowered)."""
        async with self._evicting:
            while (short := self.quota.short(0)) > 0 and await self._evict(short):
                pass

    async def close(self) -> None:
        """Enter what waits, and end the threads."""
        await self.flush()
        while self._works:
            await asyncio.gather(*self._works, return_exceptions=True)
        self._index.shutdown()
        self._disk.shutdown()

    async def _through(self, work: Coroutine[Any, Any, T]) -> T:
        """Go through with it, even if who asked for it is cancelled: half of it would not do."""
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return await asyncio.shield(task)

    def _disk_free(self) -> int:
        found = os.statvfs(self.shelf.layout.segments)
        return found.f_bavail * found.f_frsize

    async def _evict(self, room: int) -> int:
        """Let the hand walk; the bytes that went."""
        busy = frozenset(file for file, live in self._live.items() if live.is_busy)
        decided = await self.in_index(self._decide, room, busy)
        self._hand = decided.hand
        # While the hand walked, some may have become busy.
        dropped = [held for held in decided.dropped if not self._is_busy(held.file)]
        freed = await self.drop(dropped)
        self.evicted_files += len(dropped)
        self.evicted_bytes += freed
        return freed

    def _is_busy(self, file: int) -> bool:
        live = self._live.get(file)
        return live is not None and live.is_busy

    def _decide(self, room: int, busy: frozenset[int]) -> Eviction:
        touched = self.shelf.touched
        young = self._young.copy()

        def visited(file: int) -> bool:
            return file not in young and touched[file % TOUCHED_BYTES] != 0

        decided = to_evict(self._walk(), room, visited, busy.__contains__)
        for file in decided.spared:
            touched[file % TOUCHED_BYTES] = 0
        return decided

    def _walk(self) -> Iterator[HeldFile]:
        """The files from the hand on, round, and once more round."""
        blocks, hand = self.shelf.blocks, self._hand
        start, rounds = hand, 0
        while rounds <= 2:  # noqa: PLR2004 - from the hand to the end, once round, and to the hand
            rows = blocks.files(start, 64)
            if not rows:
                start, rounds = 0, rounds + 1
                continue
            yield from rows
            start = rows[-1].file + 1

    def _unlink(self, files: Sequence[int]) -> None:
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(self.shelf.layout.segment(file))  # noqa: PTH108 - a path as text

    def _forget(self, file: int, held: int) -> None:
        self.shelf.unlinked(file)
        self.quota.unlink(file, held)
        self._young.pop(file, None)
        self.shelf.touched[file % TOUCHED_BYTES] = 0

    async def _commit_soon(self) -> None:
        while self._commits:
            await asyncio.sleep(self.options.commit_seconds)
            await self._commit()

    async def _commit(self) -> None:
        # One at a time: what a file is counted with builds on the commit before.
        async with self._committing:
            await self._commit_what_waits()

    async def _commit_what_waits(self) -> None:
        commits, self._commits = self._commits, {}
        batch = [
            _entered(segment, commit) for segment, commit in commits.items() if not segment.dropped
        ]
        failed: set[LiveSegment] = set()
        try:
            await self.in_index(self.shelf.blocks_writer.enter, batch)
        except HostTrouble:
            self.quota.disk_refused(self.options.full_seconds)
            failed = set(commits)
        until = self._now() + self.options.young_seconds
        gone = []
        for segment, commit in commits.items():
            segment.pending -= 1
            segment.reserved -= commit.reserved
            if segment.dropped or segment in failed:
                self.quota.unlink(segment.file, 0, commit.reserved)
                gone.append(segment)
                continue
            segment.entered = True
            segment.held += commit.reserved
            self.quota.enter(commit.reserved)
            self._young[segment.file] = until
        for segment in gone:
            await self._bury(segment)

    async def _bury(self, segment: LiveSegment) -> None:
        """Make sure that nothing is left of a segment that was dropped while it was entered."""
        held = HeldFile(segment.file, segment.generation, segment.number, 0)
        with suppress(HostTrouble):
            await self.in_index(self.shelf.blocks_writer.drop, [held])
        await self.scrap(segment)


def _entered(segment: LiveSegment, commit: _Commit) -> Entered:
    return Entered(
        segment.file,
        segment.generation,
        segment.number,
        segment.size,
        segment.held + commit.reserved,
        commit.sums,
        first=not segment.entered,
    )
