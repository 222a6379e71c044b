"""The status index: what the shelf remembers, together with what is about to be written to it."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from forebay.metadata.gathering import Gathered
from forebay.metadata.known import Known, KnownPage, known_now, known_of, record_of
from forebay.model.errors import ForebayError, ShelfDamaged
from forebay.model.generation import StoreIdentity
from forebay.model.paths import LONGEST_NAME, StoreKey
from forebay.model.status import from_milliseconds, order_of
from forebay.shelf.names import NamesReader
from forebay.shelf.names_writer import Drop, Listing, NamesWriter, Put

_MOST_WAITING: Final = 5000
"""Statuses that wait to be written; whoever brings more waits."""

_ROOM_EVERY: Final = 64
"""After so many steps the writer looks whether the index outgrew its bounds."""

_LONGEST_AFTER: Final = LONGEST_NAME + 20
"""Bytes; no name begins with all of them."""

Place = tuple[str, str]
"""A store's identity and a key in it."""


@dataclass(slots=True, eq=False)
class _Step:
    """What the writer's thread does at once; `changes` are all written in one transaction."""

    done: asyncio.Future[None]
    run: Callable[[NamesWriter], None] | None = None
    changes: dict[Place, Put | Drop] = field(default_factory=dict)
    concerns: set[Place] = field(default_factory=set)


class ListingToBe:
    """A listing that was announced to the index, and may be entered."""

    __slots__ = ("directory", "listing", "started_ms", "store")

    def __init__(self, store: StoreIdentity, directory: StoreKey, started_ms: int) -> None:
        self.store = store
        self.directory = directory
        self.started_ms = started_ms
        self.listing: Listing | None = None

    def begin(self, writer: NamesWriter) -> None:
        """From now on the index notes which names are changed meanwhile."""
        self.listing = writer.listing(self.store, self.directory, self.started_ms)

    def enter(self, gathered: Gathered, *, detailed: bool) -> None:
        """Remember it, in place of the one held."""
        if self.listing is not None:
            checked_at = from_milliseconds(self.started_ms)
            told = (
                known_now(self.store, status, checked_at, detailed=detailed)
                for status in gathered.entries
            )
            self.listing.put([(known.status.key.name, record_of(known)) for known in told])
            self.listing.finish(gathered.unaddressable)

    def end(self) -> None:
        """It is entered, or will never be."""
        if self.listing is not None:
            self.listing.close()


class StatusIndex:
    """Reads the index on the event loop; writes it, in order, in a thread of its own.

    What was put is seen at once by `status`; a page shows what is written: await `settled` before.
    """

    def __init__(self, reader: NamesReader, writer: NamesWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="names")
        self._steps: deque[_Step] = deque()
        self._overlay: dict[Place, tuple[Known | None, _Step]] = {}
        self._unsettled: dict[Place, _Step] = {}
        self._work: asyncio.Task[None] | None = None
        self._steps_done = 0
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many steps the shelf did not take; what they held is asked for again."""
        return self._failures

    def status(self, store: StoreIdentity, key: StoreKey) -> Known | None:
        """What is remembered of `key`."""
        waiting = self._overlay.get((store.text, key.text))
        if waiting is not None:
            return waiting[0]
        found = self._reader.status(store, key)
        if found is None:
            return None
        return known_of(key, found.record, from_milliseconds(found.checked_ms))

    def listed_at(self, store: StoreIdentity, directory: StoreKey) -> float | None:
        """When the complete listing that is held was begun, in seconds; None if none is held."""
        found = self._reader.directory(store, directory)
        return None if found is None or found.listed_ms == 0 else found.listed_ms / 1000

    def has_names(self, store: StoreIdentity, directory: StoreKey) -> bool:
        """Whether anything in `directory` is remembered."""
        return bool(self._reader.page(store, directory, most=1))

    def page(
        self, store: StoreIdentity, directory: StoreKey, not_before: float, after: str, most: int
    ) -> KnownPage | None:
        """A page of a complete listing that was begun at `not_before` or later, or None."""
        about = self._reader.directory(store, directory)
        if about is None or about.listed_ms == 0 or about.listed_ms / 1000 < not_before:
            return None
        checked_at = from_milliseconds(about.listed_ms)
        name = _name_after(directory, after)
        if name is None:
            return KnownPage((), None, checked_at, about.unaddressable)
        named = self._reader.page(store, directory, name, most + 1)
        seen_at = from_milliseconds(about.seen_ms)
        entries = tuple(
            known_of(
                directory / name,
                record,
                # Nearly all were seen with the listing.
                seen_at
                if record.checked_ms <= about.seen_ms
                else from_milliseconds(record.checked_ms),
            )
            for name, record in named[:most]
        )
        is_last = len(named) <= most or not entries
        next_after = None if is_last else order_of(entries[-1].status).decode()
        return KnownPage(entries, next_after, checked_at, about.unaddressable)

    def put(self, store: StoreIdentity, known: Known, *, replaces_directory: bool = False) -> None:
        """Remember a status soon.

        `replaces_directory`: where a directory of that name was remembered, it is gone.
        """
        key = known.status.key
        if replaces_directory and self._reader.directory(store, key) is not None:
            self.forget(store, key, recursive=True)
        self._change(Put(store, key, record_of(known)), known)

    def drop(self, store: StoreIdentity, key: StoreKey) -> None:
        """Forget, soon, a name that is not there any more, and what was below it."""
        self._change(Drop(store, key), None)
        if self._reader.directory(store, key) is not None:
            self.forget(store, key, recursive=True)

    def forget(self, store: StoreIdentity, key: StoreKey, *, recursive: bool) -> None:
        """Forget a name soon, and its listing if it is a directory; recursive: all below it."""
        step = self._step(lambda writer: writer.forget(store, key, recursive=recursive))
        self._unsettle((store.text, key.text), step)

    @property
    def newest(self) -> float:
        """About when the last of what is remembered was seen, in seconds."""
        return self._reader.newest_ms() / 1000

    def forget_everything(self) -> None:
        """Remember nothing any more, soon."""
        self._step(lambda writer: writer.forget_everything())

    def unlist(self, store: StoreIdentity, directory: StoreKey) -> None:
        """Hold no complete listing of `directory` any more, soon; its names stay."""
        step = self._step(lambda writer: writer.unlist(store, directory))
        self._unsettle((store.text, directory.text), step)

    def announce(self, listing: ListingToBe) -> None:
        """A listing has begun; it will be entered or ended."""
        self._step(listing.begin)

    def enter(self, listing: ListingToBe, gathered: Gathered, *, detailed: bool) -> None:
        """Remember a whole listing soon."""
        step = self._step(lambda _: listing.enter(gathered, detailed=detailed))
        self._unsettle((listing.store.text, listing.directory.text), step)

    def end(self, listing: ListingToBe) -> None:
        """The listing is entered, or will never be."""
        self._step(lambda _: listing.end())

    async def settled(self, store: StoreIdentity, directory: StoreKey) -> None:
        """Return when all that was said of `directory` until now is in the index."""
        step = self._unsettled.get((store.text, directory.text))
        if step is not None:
            await asyncio.wait([step.done])

    async def breathe(self) -> None:
        """Wait while too much is to be written."""
        if len(self._overlay) > _MOST_WAITING:
            await asyncio.wait([self._steps[0].done])

    async def written(self) -> None:
        """Return when all that was said until now is in the index.

        Raises:
            ShelfDamaged: it could not be written.
        """
        for step in [*self._steps]:
            await asyncio.shield(step.done)

    async def close(self) -> None:
        """Write what waits, and let go of the thread."""
        if self._work is not None:
            await self._work
        await asyncio.to_thread(self._thread.shutdown)

    def _change(self, change: Put | Drop, known: Known | None) -> None:
        # The first step may be in the thread's hands already.
        last = self._steps[-1] if len(self._steps) > 1 else None
        if last is None or last.run is not None or len(last.changes) >= _MOST_WAITING:
            last = self._step(None)
        place = (change.store.text, change.key.text)
        last.changes[place] = change
        self._overlay[place] = (known, last)
        self._unsettle((change.store.text, change.key.parent.text), last)

    def _unsettle(self, place: Place, step: _Step) -> None:
        self._unsettled[place] = step
        step.concerns.add(place)

    def _step(self, run: Callable[[NamesWriter], None] | None) -> _Step:
        step = _Step(asyncio.get_running_loop().create_future(), run)
        self._steps.append(step)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._write_all())
        return step

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._steps:
            step = self._steps[0]
            try:
                await loop.run_in_executor(self._thread, self._do, step)
            except ForebayError as error:
                self._failed(step, error)
            except Exception as error:  # noqa: BLE001 - the border to the shelf's library
                damaged = ShelfDamaged("names", str(error))
                damaged.__cause__ = error
                self._failed(step, damaged)
            else:
                step.done.set_result(None)
            self._steps.popleft()
            self._settle(step)

    def _do(self, step: _Step) -> None:
        """Runs in the thread."""
        if step.run is not None:
            step.run(self._writer)
        if step.changes:
            changes = step.changes.values()
            puts = [change for change in changes if isinstance(change, Put)]
            drops = [change for change in changes if isinstance(change, Drop)]
            self._writer.write(puts, drops)
        self._steps_done += 1
        if self._steps_done % _ROOM_EVERY == 0:
            self._writer.room()

    def _failed(self, step: _Step, error: ForebayError) -> None:
        self._failures += 1
        step.done.set_exception(error)
        # Whoever asked may not wait for it.
        step.done.exception()

    def _settle(self, step: _Step) -> None:
        for place in step.changes:
            if place in self._overlay and self._overlay[place][1] is step:
                del self._overlay[place]
        for place in step.concerns:
            if self._unsettled[place] is step:
                del self._unsettled[place]


def _name_after(directory: StoreKey, after: str) -> str | None:
    """The name in `directory` after which a page begins; None if all come before `after`."""
    prefix = "" if directory.is_root else f"{directory.text}/"
    if after.startswith(prefix):
        # Names are shorter than this, and so are the keys that the index takes.
        return after[len(prefix) :].encode()[:_LONGEST_AFTER].decode(errors="ignore")
    return "" if after.encode() < prefix.encode() else None
