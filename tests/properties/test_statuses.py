"""Statuses against a history of the store: every answer was true within the age asked for."""

import asyncio
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import count
from math import inf
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from forebay.metadata.index import StatusIndex
from forebay.metadata.known import Known
from forebay.metadata.statuses import Statuses, StatusOptions
from forebay.model.errors import FileMissing, StoreAway
from forebay.model.paths import StoreKey
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from forebay.stores.memory import MemoryStore
from tests.fakes.watched_store import WatchedStore

T = TypeVar("T")
KEYS = ("a", "d/x", "d/y", "d/e/z")
DIRECTORIES = ("", "d", "d/e")
MOMENTS = (0.0, 0.0, 0.25, 0.5, 1.5, 5, 20)
AGES = (None, 0, 2, 10)

NUMBERS = count()
SHELVES: list[Shelf] = []

Contents = dict[str, str]
"""What is at the store: key and content; the content is a number as text."""


@pytest.fixture(scope="module", autouse=True)
def _shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    options = ShelfOptions(names_map_bytes=64 << 20, blocks_map_bytes=64 << 20)
    directory = tmp_path_factory.mktemp("shelf")
    SHELVES.append(open_shelf(directory, options, write=True, now=lambda: 1_750_000_000.0))
    yield
    SHELVES.pop().close()


class Scene:
    """Strangers write, we write, time passes; whatever is answered was so lately enough."""

    def __init__(self, most: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.time = 1_750_000_000.0
        self.written = 0
        self.contents: Contents = {}
        self.history: list[tuple[float, Contents]] = [(-inf, {})]
        self.ours: dict[str, int] = {}
        # Each example has a store of its own: one shelf remembers them all.
        inner = MemoryStore(
            f"store-{next(NUMBERS)}", clock=lambda: datetime.fromtimestamp(self.time, UTC)
        )
        self.store = WatchedStore(inner)
        self.options = StatusOptions(remembered_entries=most)
        self.statuses = self.open_statuses()

    def open_statuses(self) -> Statuses:
        shelf = SHELVES[-1]
        index = StatusIndex(shelf.names, shelf.names_writer)
        return Statuses(index, lambda: self.time, self.options)

    def close(self) -> None:
        self.run(self.statuses.close())
        self.loop.close()

    def step(self, chance: Random) -> None:
        """Do something, and then ask."""
        key, place = chance.choice(KEYS), chance.choice(KEYS + DIRECTORIES[1:])
        chance.choices(
            (
                lambda: None,
                lambda: self.a_stranger_writes(key),
                lambda: self.a_stranger_deletes(key),
                lambda: self.we_write(key),
                lambda: self.we_delete(key),
                lambda: self.we_forget(place),
                self.we_start_anew,
                lambda: self.the_store_comes_and_goes(is_away=chance.random() < 0.3),
            ),
            weights=(8, 5, 4, 2, 3, 1, 0.3, 1),
        )[0]()
        self.time += chance.choice(MOMENTS)
        age = chance.choice(AGES)
        if chance.random() < 0.6:
            self.ask_for_one(place, age, detailed=chance.random() < 0.5)
        else:
            self.ask_for_all(chance.choice(DIRECTORIES), age, chance.choice((1, 2, 1000)))

    def run(self, work: Coroutine[None, None, T]) -> T:
        return self.loop.run_until_complete(work)

    def a_stranger_writes(self, key: str) -> None:
        self.written += 1
        content = str(self.written)
        self.store.inner.plant(key, content.encode())
        self.note({**self.contents, key: content})

    def a_stranger_deletes(self, key: str) -> None:
        if key in self.contents:
            self.run(self.store.inner.delete(StoreKey(key)))
            self.note({k: v for k, v in self.contents.items() if k != key})

    def we_write(self, key: str) -> None:
        self.a_stranger_writes(key)
        status = self.run(self.store.inner.stat(StoreKey(key)))
        self.run(self.statuses.written(self.store, status))
        # The directories that it is in are there as well.
        self.note_ours(key, *(place for place in DIRECTORIES if key.startswith(f"{place}/")))

    def we_delete(self, key: str) -> None:
        if key in self.contents:
            self.a_stranger_deletes(key)
            self.run(self.statuses.removed(self.store, StoreKey(key)))
            self.note_ours(key)

    def we_forget(self, place: str) -> None:
        self.run(self.statuses.forget(self.store, StoreKey(place)))

    def we_start_anew(self) -> None:
        self.run(self.statuses.close())
        self.statuses = self.open_statuses()

    def the_store_comes_and_goes(self, *, is_away: bool) -> None:
        self.store.is_away = is_away

    def ask_for_one(self, place: str, age: int | None, *, detailed: bool) -> None:
        max_age = None if age is None else timedelta(seconds=age)
        low = -inf if age is None else self.time - age
        try:
            known = self.run(
                self.statuses.status(self.store, StoreKey(place), max_age, detailed=detailed)
            )
        except FileMissing:
            seen = self.seen(place, max(low, self.time - 1))
            assert None in seen, f"{place} was there all the time: {seen}"
        except StoreAway:
            assert self.store.is_away
        else:
            assert told(known) in self.seen(place, low)

    def ask_for_all(self, directory: str, age: int | None, most: int) -> None:
        low = -inf if age is None else self.time - age
        try:
            entries = self.run(self.listing(directory, age, most))
        except FileMissing:
            assert None in self.seen(directory, max(low, self.time - 1))
            return
        except StoreAway:
            assert self.store.is_away
            return
        listed = {known.status.key.text: told(known) for known in entries}
        assert len(listed) == len(entries)
        for name in KEYS + DIRECTORIES[1:]:
            if StoreKey(name).parent.text == directory:
                assert listed.get(name) in self.seen(name, low), name

    async def listing(self, directory: str, age: int | None, most: int) -> list[Known]:
        entries: list[Known] = []
        after: str | None = ""
        max_age = None if age is None else timedelta(seconds=age)
        while after is not None:
            page = await self.statuses.page(
                self.store, StoreKey(directory), max_age, after=after, most=most
            )
            entries += page.entries
            after = page.next_after
        return entries

    def note(self, contents: Contents) -> None:
        self.contents = contents
        self.history.append((self.time, contents))

    def note_ours(self, *places: str) -> None:
        """From now on, what was at these places before does not count."""
        for place in places:
            # Moments of one time are told apart by their place in the history.
            self.ours[place] = len(self.history) - 1

    def seen(self, place: str, low: float) -> set[str | None]:
        """What `place` was at `low` or later: a content, 'directory', or None."""
        first = self.ours.get(place, 0)
        found: set[str | None] = set()
        for number, (_, contents) in enumerate(self.history):
            is_last = number == len(self.history) - 1
            until = inf if is_last else self.history[number + 1][0]
            if number >= first and until >= low:
                found.add(state_of(place, contents))
        return found


def state_of(place: str, contents: Contents) -> str | None:
    if place in contents:
        return contents[place]
    is_directory = any(key.startswith(f"{place}/") for key in contents)
    return "directory" if is_directory or place == "" else None


def told(known: Known) -> str:
    """The state that a status tells."""
    return "directory" if known.status.is_directory else CONTENT_OF[known.status.etag or ""]


def _etag_of(number: int) -> str:
    return f'"{md5(str(number).encode(), usedforsecurity=False).hexdigest()}"'


CONTENT_OF = {_etag_of(number): str(number) for number in range(2000)}


@settings(max_examples=12, deadline=None)
@given(seed=some.integers(0, 1 << 32), most=some.sampled_from([3, 1000]))
def test_every_answer_was_true_within_the_age_asked_for(seed: int, most: int) -> None:
    scene = Scene(most)
    chance = Random(seed)  # noqa: S311 - a test that can be run again
    try:
        for _ in range(300):
            scene.step(chance)
    finally:
        scene.close()
