"""Statuses: what is remembered of the stores, asked for anew when it is too old."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from math import inf
from typing import Final, Protocol

from forebay.metadata.absences import LONGEST_SECONDS, Absences
from forebay.metadata.flights import Flight, Flights
from forebay.metadata.gathering import Gathering, Pool
from forebay.metadata.index import ListingToBe, Place, StatusIndex
from forebay.metadata.known import Known, KnownPage, known_now, moment
from forebay.model.errors import FileMissing, ForebayError, NotADirectory, StoreAway, StoreLied
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Kind, Page
from forebay.stores.contract import Abilities, Lists, Stats

_STORE_PAGE: Final = 1000
_MOST_LARGE: Final = 1000
_JITTER_SECONDS: Final = 1.0
_LARGE_SECONDS: Final = 3600.0
"""After so long a directory that was too large to remember is tried again."""


class Asked(Stats, Lists, Protocol):
    """What statuses need of a store."""

    @property
    def identity(self) -> StoreIdentity:
        """Which store it is."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        ...


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """How much is remembered.

    Attributes:
        remembered_entries: directories with more entries are passed through, not remembered.
    """

    remembered_entries: int = 200_000


class Statuses:
    """Answers what is there: from memory while that is young enough, else from the store.

    Existence has three values. Present: a status with its age. Absent: `FileMissing`, which the
    store said at most a second ago. Unknown: `StoreAway`, which changes nothing that is remembered.

    `max_age` says how old an answer may be: None, as old as it may; zero, asked after the call.

    Args:
        index: what is remembered.
        now: the time in seconds since 1970.
        options: how much is remembered.
    """

    def __init__(
        self,
        index: StatusIndex,
        now: Callable[[], float],
        options: StatusOptions | None = None,
    ) -> None:
        self._index = index
        self._now = now
        self._options = StatusOptions() if options is None else options
        self._absences = Absences(now)
        self._stats: Flights[Place, Known] = Flights(now)
        self._passes: Flights[tuple[Place, str, int], KnownPage] = Flights(now)
        self._gatherings: dict[Place, Gathering] = {}
        self._pool = Pool(self._options.remembered_entries)
        self._large: dict[Place, float] = {}
        self._latest = index.newest

    async def status(
        self, store: Asked, key: StoreKey, max_age: timedelta | None, *, detailed: bool = False
    ) -> Known:
        """The status of one file or directory.

        `detailed`: with all the store knows of it, even where listings tell less.
        Raises FileMissing, StoreAway and what else a store may raise.
        """
        await self._heed_the_clock()
        not_before = self._not_before(max_age)
        if key.is_root:
            root = FileStatus(key, Kind.DIRECTORY)
            return known_now(store.identity, root, moment(self._now()), detailed=True)
        self._must_not_be_absent(store, key, not_before)
        await self._index.settled(store.identity, key.parent)
        known = self._index.status(store.identity, key)
        if known is None:
            self._must_be_in_listing(store, key, not_before)
        elif (
            max_age != timedelta(0)
            and not_before <= known.checked_at.timestamp() <= self._not_after(max_age)
            and (known.detailed or not detailed)
        ):
            return known
        try:
            return await self._stats.answer(
                (store.identity.text, key.text), not_before, partial(self._ask, store, key)
            )
        except StoreAway:
            # Nothing said how old it may be: less detail is better than no answer.
            if known is not None and max_age is None:
                return known
            raise

    async def page(
        self,
        store: Asked,
        directory: StoreKey,
        max_age: timedelta | None,
        *,
        after: str = "",
        most: int = 1000,
    ) -> KnownPage:
        """A page of what is directly in `directory`, after the whole key `after`.

        Raises FileMissing, NotADirectory, StoreAway and what else a store may raise.
        """
        await self._heed_the_clock()
        not_before = self._not_before(max_age)
        self._must_not_be_absent(store, directory, not_before)
        await self._index.settled(store.identity, directory)
        if max_age != timedelta(0):
            page = self._index.page(store.identity, directory, not_before, after, most)
            if page is not None and page.checked_at.timestamp() <= self._not_after(max_age):
                return page
        if max_age == timedelta(0) or self._is_large(store, directory):
            return await self._passed(store, directory, not_before, after, most)
        gathering = await self._gathering(store, directory, not_before, begin=after == "")
        if gathering is not None:
            page = await _page_of(gathering, store, after, most)
            if page is not None:
                return page
        return await self._passed(store, directory, not_before, after, most)

    async def written(self, store: Asked, status: FileStatus) -> Known:
        """Remember what has just been written; when this returns, every reader sees it."""
        known = known_now(store.identity, status, moment(self._now()), detailed=True)
        self._changed(store, status.key, known)
        self._put(store, known)
        self._appeared(store, status.key.parent)
        await self._index.written()
        return known

    async def removed(self, store: Asked, key: StoreKey) -> None:
        """Forget what has just been removed; when this returns, no reader sees it."""
        self._changed(store, key, None)
        self._index.drop(store.identity, key)
        await self._index.written()
        if not store.abilities.real_directories:
            await self._may_have_vanished(store, key.parent)

    async def forget(self, store: Asked, key: StoreKey, *, recursive: bool = True) -> None:
        """Forget what is remembered of `key` (and below it): it will be asked for anew."""
        self._overtake(store, key, recursive=recursive)
        for (identity, directory), gathering in self._gatherings.items():
            if identity == store.identity.text and _concerns(key, StoreKey(directory)):
                gathering.spoil()
        self._index.forget(store.identity, key, recursive=recursive)
        self._index.unlist(store.identity, key.parent)
        await self._index.written()

    async def settle(self) -> None:
        """Return when the listings under way have come in and all is in the index."""
        tasks = [held.task for held in self._gatherings.values() if held.task is not None]
        await asyncio.gather(*tasks)
        await self._index.written()

    async def close(self) -> None:
        """Cancel what is under way, and write what is to be remembered."""
        tasks = [held.task for held in self._gatherings.values() if held.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stats.close()
        await self._passes.close()
        await self._index.close()

    async def _heed_the_clock(self) -> None:
        """Forget everything when the clock has gone back: nobody knows how old anything is."""
        now = self._now()
        if now >= self._latest - _JITTER_SECONDS:
            self._latest = max(self._latest, now)
            return
        self._latest = now
        self._absences.forget_everything()
        self._stats.overtake(lambda _: True)
        self._passes.overtake(lambda _: True)
        for gathering in self._gatherings.values():
            gathering.spoil()
        self._index.forget_everything()
        await self._index.written()

    def _not_before(self, max_age: timedelta | None) -> float:
        return -inf if max_age is None else self._now() - max_age.total_seconds()

    def _not_after(self, max_age: timedelta | None) -> float:
        """What was seen later than now was seen before the clock went back: it is of any age."""
        return inf if max_age is None else self._now() + _JITTER_SECONDS

    def _must_not_be_absent(self, store: Asked, key: StoreKey, not_before: float) -> None:
        if self._absences.knows(store.identity.text, key.text, not_before):
            raise FileMissing(key, "was not there a moment ago")

    def _must_be_in_listing(self, store: Asked, key: StoreKey, not_before: float) -> None:
        """A complete listing of a moment ago that lacks the name says that it is absent."""
        listed_at = self._index.listed_at(store.identity, key.parent)
        now = self._now()
        if listed_at is not None and max(not_before, now - LONGEST_SECONDS) <= listed_at <= now:
            raise FileMissing(key, "was not in its directory a moment ago")

    async def _ask(self, store: Asked, key: StoreKey, flight: Flight[Known]) -> Known:
        """Ask the store for one status, and remember the answer."""
        try:
            status = await store.stat(key)
        except FileMissing:
            if not flight.overtaken:
                self._absences.note(store.identity.text, key.text, flight.started)
                self._tell_gathering(store, key, None, flight.started)
                self._index.drop(store.identity, key)
            raise
        known = known_now(store.identity, status, moment(flight.started), detailed=True)
        if not flight.overtaken:
            self._tell_gathering(store, key, known, flight.started)
            self._put(store, known)
            await self._index.breathe()
        return known

    async def _gathering(
        self, store: Asked, directory: StoreKey, not_before: float, *, begin: bool
    ) -> Gathering | None:
        """The gathering of `directory` that began at `not_before` or later; else a new one."""
        place = (store.identity.text, directory.text)
        found = self._gatherings.get(place)
        while found is not None and begin and (found.started < not_before or found.spoiled):
            if found.task is not None:
                await asyncio.wait([found.task])
            found = self._gatherings.get(place)
        if found is None and begin:
            found = Gathering(directory, self._now(), self._pool)
            self._gatherings[place] = found
            found.task = asyncio.create_task(self._gather(store, place, found))
        return found

    async def _gather(self, store: Asked, place: Place, gathering: Gathering) -> None:
        """Bring in the whole listing, and remember it."""
        directory = gathering.directory
        listing = ListingToBe(store.identity, directory, int(gathering.started * 1000))
        self._index.announce(listing)
        try:
            await self._bring_in(store, place, gathering, listing)
        except ForebayError as error:
            gathering.fail(error)
            if not gathering.spoiled:
                self._listing_failed(store, directory, error, gathering.started)
        except BaseException as error:
            # Whoever waits for a page must hear of it, whatever it is.
            gathering.fail(_unreadable(store, error))
            if not isinstance(error, Exception):
                raise
        finally:
            self._index.end(listing)
            gathering.release()
            del self._gatherings[place]

    async def _bring_in(
        self, store: Asked, place: Place, gathering: Gathering, listing: ListingToBe
    ) -> None:
        directory = gathering.directory
        page = await store.list(directory, most=_STORE_PAGE)
        while gathering.add(page) and page.next_after is not None:
            page = await store.list(directory, after=page.next_after, most=_STORE_PAGE)
        if gathering.count > self._options.remembered_entries:
            self._note_large(place)
        elif not gathering.is_given_up and not gathering.spoiled:
            detailed = store.abilities.listed_details
            self._index.enter(listing, gathering.gathered(), detailed=detailed)

    async def _passed(
        self, store: Asked, directory: StoreKey, not_before: float, after: str, most: int
    ) -> KnownPage:
        """A page straight from the store."""
        place = (store.identity.text, directory.text)
        return await self._passes.answer(
            (place, after, most), not_before, partial(self._pass, store, directory, after, most)
        )

    async def _pass(
        self, store: Asked, directory: StoreKey, after: str, most: int, flight: Flight[KnownPage]
    ) -> KnownPage:
        try:
            page = await store.list(directory, after=after, most=most)
        except ForebayError as error:
            if not flight.overtaken:
                self._listing_failed(store, directory, error, flight.started)
            raise
        if after == "" and page.next_after is None:
            self._large.pop((store.identity.text, directory.text), None)
        return _known_page(store, page, flight.started)

    def _listing_failed(
        self, store: Asked, directory: StoreKey, error: ForebayError, asked_at: float
    ) -> None:
        match error:
            case FileMissing():
                self._absences.note(store.identity.text, directory.text, asked_at)
                self._tell_gathering(store, directory, None)
                self._index.drop(store.identity, directory)
            case NotADirectory():
                self._found_no_directory(store, directory)
            case _:
                # The store said nothing about the directory: what is remembered stays.
                pass

    def _found_no_directory(self, store: Asked, key: StoreKey) -> None:
        """A file is at `key`: forget the directory that was there, and lose the file nowhere."""
        known = self._index.status(store.identity, key)
        if known is None or known.status.is_directory:
            self._index.forget(store.identity, key, recursive=True)
            # A listing that has the directory, or nothing, lacks the file.
            self._index.unlist(store.identity, key.parent)

    def _is_large(self, store: Asked, directory: StoreKey) -> bool:
        seen_at = self._large.get((store.identity.text, directory.text))
        return seen_at is not None and self._now() - seen_at < _LARGE_SECONDS

    def _note_large(self, place: Place) -> None:
        self._large[place] = self._now()
        if len(self._large) > _MOST_LARGE:
            del self._large[next(iter(self._large))]

    def _changed(self, store: Asked, key: StoreKey, known: Known | None) -> None:
        """Something was written or removed by us: whoever asks the store just now may be late."""
        self._overtake(store, key, recursive=known is None)
        self._absences.clear(store.identity.text, key.text)
        self._tell_gathering(store, key, known)
        if known is None:
            for (identity, directory), gathering in self._gatherings.items():
                if identity == store.identity.text and StoreKey(directory).is_under(key):
                    gathering.spoil()

    def _overtake(self, store: Asked, key: StoreKey, *, recursive: bool) -> None:
        identity = store.identity.text

        def concerns(place: Place) -> bool:
            other = StoreKey(place[1])
            return place[0] == identity and (
                key.is_under(other) or (recursive and other.is_under(key))
            )

        self._stats.overtake(concerns)
        self._passes.overtake(lambda asked: concerns(asked[0]))

    def _tell_gathering(
        self, store: Asked, key: StoreKey, known: Known | None, asked_at: float = inf
    ) -> None:
        """What was told at `asked_at` (or written now) is newer than a page of a gathering."""
        gathering = self._gatherings.get((store.identity.text, key.parent.text))
        if gathering is not None and not key.is_root and asked_at >= gathering.started:
            gathering.change(key.name, known)

    def _put(self, store: Asked, known: Known) -> None:
        replaces_directory = known.status.is_file and store.abilities.real_directories
        self._index.put(store.identity, known, replaces_directory=replaces_directory)

    def _appeared(self, store: Asked, directory: StoreKey) -> None:
        """A file was written in `directory`, so it is there, and the directories above it."""
        while not directory.is_root:
            self._absences.clear(store.identity.text, directory.text)
            known = self._index.status(store.identity, directory)
            if known is None or known.status.is_file:
                status = FileStatus(directory, Kind.DIRECTORY)
                known = known_now(store.identity, status, moment(self._now()), detailed=False)
                self._put(store, known)
            self._tell_gathering(store, directory, known)
            directory = directory.parent

    async def _may_have_vanished(self, store: Asked, directory: StoreKey) -> None:
        """A prefix is a directory as long as something is in it."""
        while not directory.is_root:
            if self._index.has_names(store.identity, directory):
                return
            self._index.forget(store.identity, directory, recursive=False)
            self._index.unlist(store.identity, directory.parent)
            await self._index.written()
            directory = directory.parent


async def _page_of(gathering: Gathering, store: Asked, after: str, most: int) -> KnownPage | None:
    found = await gathering.page(after, most)
    if found is None:
        return None
    return gathering.overlaid(_known_page(store, found, gathering.started), after)


def _unreadable(store: Asked, error: BaseException) -> ForebayError:
    """What those hear who waited for a listing that ended in an error that is none of ours."""
    if not isinstance(error, Exception):
        return StoreAway(store.identity, "the node is stopping")
    lied = StoreLied(store.identity, f"its listing could not be read: {error!r}")
    lied.__cause__ = error
    return lied


def _known_page(store: Asked, page: Page, asked_at: float) -> KnownPage:
    checked_at = moment(asked_at)
    detailed = store.abilities.listed_details
    entries = tuple(
        known_now(store.identity, entry, checked_at, detailed=detailed) for entry in page.entries
    )
    return KnownPage(entries, page.next_after, checked_at, page.unaddressable)


def _concerns(key: StoreKey, directory: StoreKey) -> bool:
    """Whether a listing of `directory` may tell something of `key` or below it."""
    return directory.is_under(key) or key.parent == directory
