"""Statuses: how fresh, how often asked, and what an unknown never does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forebay.metadata.index import StatusIndex
from forebay.metadata.known import KnownPage
from forebay.metadata.statuses import Statuses, StatusOptions
from forebay.model.errors import FileMissing, NotADirectory, StoreAway, StoreLied
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.status import Kind, Page
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from forebay.stores.memory import MemoryStore
from tests.fakes.watched_store import WatchedStore

HALF_MINUTE = timedelta(seconds=30)
ALWAYS = timedelta(0)
NEVER = None
START = 1_750_000_000.0


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = START

    def __call__(self) -> float:
        return self.seconds

    def passes(self, seconds: float) -> None:
        self.seconds += seconds


class Scene:
    """Statuses over a shelf on disk, and a store to ask."""

    def __init__(self, shelf: Shelf, clock: Clock, options: StatusOptions) -> None:
        self.clock = clock
        self.shelf = shelf
        self.index = StatusIndex(shelf.names, shelf.names_writer)
        self.statuses = Statuses(self.index, clock, options)

    def store(self, *names: str, real_directories: bool = False) -> WatchedStore:
        inner = MemoryStore(
            real_directories=real_directories,
            clock=lambda: datetime.fromtimestamp(self.clock.seconds, UTC),
        )
        for name in names:
            inner.plant(name, name.encode())
        return WatchedStore(inner)


@asynccontextmanager
async def opened(
    directory: Path, clock: Clock, options: StatusOptions | None = None
) -> AsyncIterator[Scene]:
    shelf = open_shelf(
        directory,
        ShelfOptions(names_map_bytes=256 << 20, blocks_map_bytes=64 << 20),
        write=True,
        now=clock,
    )
    scene = Scene(shelf, clock, StatusOptions() if options is None else options)
    yield scene
    await scene.statuses.close()
    shelf.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path, Clock()) as made:
        yield made


def names(page: KnownPage) -> list[str]:
    return [
        known.status.key.text + ("/" if known.status.is_directory else "") for known in page.entries
    ]


async def all_names(
    scene: Scene, store: WatchedStore, directory: str = "", most: int = 1000
) -> list[str]:
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await scene.statuses.page(
            store, StoreKey(directory), HALF_MINUTE, after=after, most=most
        )
        found += names(page)
        after = page.next_after
    return found


async def test_a_warm_status_asks_the_store_nothing_until_its_interval_is_over(
    scene: Scene,
) -> None:
    store = scene.store("a")
    known = await scene.statuses.status(store, StoreKey("a"), HALF_MINUTE)
    for _ in range(3):
        scene.clock.passes(9)
        known = await scene.statuses.status(store, StoreKey("a"), HALF_MINUTE)
    assert (known.status.size, store.asked["stat"]) == (1, 1)
    assert known.checked_at.timestamp() == START

    scene.clock.passes(5)
    known = await scene.statuses.status(store, StoreKey("a"), HALF_MINUTE)

    assert store.asked["stat"] == 2
    assert known.checked_at.timestamp() == START + 32


async def test_sync_always_asks_each_time_and_never_asks_once(scene: Scene) -> None:
    store = scene.store("a", "b")
    for _ in range(3):
        await scene.statuses.status(store, StoreKey("a"), ALWAYS)
    assert store.asked["stat"] == 3

    for _ in range(3):
        await scene.statuses.status(store, StoreKey("b"), NEVER)
        scene.clock.passes(1_000_000)
    assert store.asked["stat"] == 4


async def test_what_is_remembered_outlives_the_process(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as before:
        store = before.store("a")
        await before.statuses.status(store, StoreKey("a"), HALF_MINUTE)
    async with opened(tmp_path, clock) as after:
        known = await after.statuses.status(store, StoreKey("a"), HALF_MINUTE)

    assert (known.status.size, store.asked["stat"]) == (1, 1)


async def test_two_hundred_who_ask_at_once_ask_the_store_once(scene: Scene) -> None:
    store = scene.store("a")
    store.hold()
    asking = [
        asyncio.create_task(scene.statuses.status(store, StoreKey("a"), HALF_MINUTE))
        for _ in range(200)
    ]
    await asyncio.sleep(0)
    asking[0].cancel()
    store.go()

    answers = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(answers[0], asyncio.CancelledError)
    assert not [answer for answer in answers[1:] if isinstance(answer, BaseException)]
    assert store.asked["stat"] == 1


async def test_sync_always_does_not_take_an_answer_that_was_on_its_way(scene: Scene) -> None:
    store = scene.store("a")
    store.hold()
    early = asyncio.create_task(scene.statuses.status(store, StoreKey("a"), ALWAYS))
    for _ in range(5):
        await asyncio.sleep(0)
    scene.clock.passes(0.1)
    store.inner.plant("a", b"changed")
    late = [
        asyncio.create_task(scene.statuses.status(store, StoreKey("a"), ALWAYS)) for _ in range(9)
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    store.go()

    assert (await early).status.size == 1
    assert {known.status.size for known in await asyncio.gather(*late)} == {7}
    assert store.asked["stat"] == 2


async def test_absent_is_remembered_for_a_second_and_no_longer(scene: Scene) -> None:
    store = scene.store("a")
    for _ in range(3):
        with pytest.raises(FileMissing):
            await scene.statuses.status(store, StoreKey("b"), HALF_MINUTE)
        scene.clock.passes(0.4)
    assert store.asked["stat"] == 1

    scene.clock.passes(0.4)
    store.inner.plant("b", b"now")
    known = await scene.statuses.status(store, StoreKey("b"), HALF_MINUTE)

    assert (known.status.size, store.asked["stat"]) == (3, 2)


async def test_a_store_that_is_away_makes_nobody_forget(scene: Scene) -> None:
    store = scene.store("d/a", "d/b")
    await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    scene.clock.passes(31)
    store.is_away = True

    with pytest.raises(StoreAway):
        await scene.statuses.status(store, StoreKey("d/a"), HALF_MINUTE)
    with pytest.raises(StoreAway):
        await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)

    page = await scene.statuses.page(store, StoreKey("d"), NEVER)
    assert names(page) == ["d/a", "d/b"]
    assert (await scene.statuses.status(store, StoreKey("d/a"), NEVER)).status.size == 3


async def test_a_listing_that_breaks_off_is_unknown_and_leaves_the_old_one(scene: Scene) -> None:
    store = scene.store(*(f"d/{number:05d}" for number in range(2500)))
    before = await all_names(scene, store, "d")
    scene.clock.passes(31)
    store.inner.plant("d/00000", b"changed")
    store.fails_after = 2

    with pytest.raises(StoreAway):
        await all_names(scene, store, "d")

    page = await scene.statuses.page(store, StoreKey("d"), NEVER, most=5000)
    assert names(page) == before


async def test_a_changed_file_is_another_generation(scene: Scene) -> None:
    store = scene.store("a")
    first = await scene.statuses.status(store, StoreKey("a"), HALF_MINUTE)
    store.inner.plant("a", b"other")
    scene.clock.passes(31)

    second = await scene.statuses.status(store, StoreKey("a"), HALF_MINUTE)

    assert first.generation is not None
    assert second.generation is not None
    assert first.generation != second.generation
    assert second.etag == f'"{second.generation}-1"'


async def test_a_listed_directory_answers_its_names_without_asking(scene: Scene) -> None:
    store = scene.store("d/a", "d/b", "d/sub/c", "other")
    page = await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    assert names(page) == ["d/a", "d/b", "d/sub/"]

    for name in ("d/a", "d/b", "d/sub"):
        await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)
    again = await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)

    assert names(again) == names(page)
    assert store.asked == {"list": 1}


async def test_a_name_that_a_fresh_listing_lacks_is_absent_without_asking(scene: Scene) -> None:
    store = scene.store("d/a")
    await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    with pytest.raises(FileMissing):
        await scene.statuses.status(store, StoreKey("d/b"), HALF_MINUTE)
    assert store.asked["stat"] == 0

    scene.clock.passes(1.1)
    with pytest.raises(FileMissing):
        await scene.statuses.status(store, StoreKey("d/b"), HALF_MINUTE)
    assert store.asked["stat"] == 1


async def test_details_are_asked_once_for_each_content(scene: Scene) -> None:
    store = scene.store("d/a")
    for _ in range(3):
        await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
        known = await scene.statuses.status(store, StoreKey("d/a"), HALF_MINUTE, detailed=True)
        assert known.detailed
        scene.clock.passes(31)
    assert store.asked["stat"] == 1

    store.inner.plant("d/a", b"other")
    await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    known = await scene.statuses.status(store, StoreKey("d/a"), HALF_MINUTE, detailed=True)

    assert (known.status.size, store.asked["stat"]) == (5, 2)


async def test_names_that_vanished_are_gone_after_the_next_listing(scene: Scene) -> None:
    store = scene.store("d/a", "d/b", "d/c")
    await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    await store.inner.delete(StoreKey("d/b"))
    scene.clock.passes(31)

    page = await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    await scene.statuses.settle()

    assert names(page) == ["d/a", "d/c"]
    assert scene.index.status(store.identity, StoreKey("d/b")) is None


async def test_a_status_that_turned_out_missing_is_forgotten(scene: Scene) -> None:
    store = scene.store("d/a", "d/b")
    await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    await store.inner.delete(StoreKey("d/b"))
    with pytest.raises(FileMissing):
        await scene.statuses.status(store, StoreKey("d/b"), ALWAYS)

    page = await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)

    assert names(page) == ["d/a"]
    assert store.asked["list"] == 1


async def test_a_directory_that_is_gone_takes_what_was_below_it_along(scene: Scene) -> None:
    store = scene.store("d/sub/a")
    await scene.statuses.page(store, StoreKey("d/sub"), HALF_MINUTE)
    await store.inner.delete(StoreKey("d/sub/a"))
    scene.clock.passes(31)
    with pytest.raises(FileMissing):
        await scene.statuses.page(store, StoreKey("d/sub"), HALF_MINUTE)
    await scene.statuses.settle()

    assert scene.index.status(store.identity, StoreKey("d/sub/a")) is None


async def test_a_listing_is_asked_once_by_many_and_pages_come_from_memory(scene: Scene) -> None:
    store = scene.store(*(f"d/{number:05d}" for number in range(3500)))
    found = await asyncio.gather(*(all_names(scene, store, "d", most=700) for _ in range(5)))

    assert all(listed == [f"d/{number:05d}" for number in range(3500)] for listed in found)
    assert store.asked["list"] == 4


async def test_the_first_page_does_not_wait_for_the_whole(scene: Scene) -> None:
    store = scene.store(*(f"d/{number:05d}" for number in range(2500)))

    page = await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)

    assert len(page.entries) == 1000
    assert page.next_after == "d/00999"
    assert store.asked["list"] <= 2
    await scene.statuses.settle()
    assert len(await all_names(scene, store, "d")) == 2500
    assert store.asked["list"] == 3


async def test_a_very_large_directory_is_passed_through(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock(), StatusOptions(remembered_entries=1500)) as scene:
        store = scene.store(*(f"d/{number:05d}" for number in range(2500)))
        expected = [f"d/{number:05d}" for number in range(2500)]

        assert await all_names(scene, store, "d") == expected
        await scene.statuses.settle()
        assert scene.index.listed_at(store.identity, StoreKey("d")) is None
        before = store.asked["list"]
        assert await all_names(scene, store, "d") == expected
        assert store.asked["list"] == before + 3


async def test_listings_begin_behind_any_key(scene: Scene) -> None:
    store = scene.store("d/a", "d/b/x", "d/b.txt", "d/c", "e")
    everything = ["d/a", "d/b.txt", "d/b/", "d/c"]
    assert await all_names(scene, store, "d") == everything

    for after, expected in {
        "": everything,
        "c": everything,
        "d/b": everything[1:],
        "d/b.txt": everything[2:],
        "d/b/": ["d/c"],
        "d/c": [],
        "e": [],
    }.items():
        page = await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE, after=after)
        assert names(page) == expected, after
    assert store.asked["list"] == 1


async def test_names_that_are_no_lake_paths_are_counted(scene: Scene) -> None:
    store = scene.store("d/a", "d/.forebay", "d/b\x07")
    for _ in range(2):
        page = await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
        assert (names(page), page.unaddressable) == (["d/a"], 2)


async def test_a_file_is_no_directory(scene: Scene) -> None:
    store = scene.store("a")
    with pytest.raises(NotADirectory):
        await scene.statuses.page(store, StoreKey("a"), HALF_MINUTE)


async def test_the_root_is_a_directory_that_nobody_asks_for(scene: Scene) -> None:
    store = scene.store()
    known = await scene.statuses.status(store, STORE_ROOT, HALF_MINUTE)
    assert (known.status.kind, known.generation, known.etag) == (Kind.DIRECTORY, None, "")
    assert names(await scene.statuses.page(store, STORE_ROOT, HALF_MINUTE)) == []
    assert store.asked == {"list": 1}


async def test_what_was_written_is_seen_at_once_also_by_a_listing_on_its_way(
    scene: Scene,
) -> None:
    store = scene.store("d/a", "d/c")
    store.hold()
    listing = asyncio.create_task(scene.statuses.page(store, StoreKey("d"), HALF_MINUTE))
    for _ in range(5):
        await asyncio.sleep(0)
    scene.clock.passes(0.5)
    store.inner.plant("d/b", b"new")
    await scene.statuses.written(store, await store.inner.stat(StoreKey("d/b")))
    await store.inner.delete(StoreKey("d/c"))
    await scene.statuses.removed(store, StoreKey("d/c"))
    store.go()

    assert names(await listing) == ["d/a", "d/b"]
    assert await all_names(scene, store, "d") == ["d/a", "d/b"]
    known = await scene.statuses.status(store, StoreKey("d/b"), HALF_MINUTE)
    assert (known.status.size, store.asked["stat"]) == (3, 0)


async def test_a_missing_answer_on_its_way_does_not_undo_a_write(scene: Scene) -> None:
    store = scene.store("a")
    store.hold()
    asking = asyncio.create_task(scene.statuses.status(store, StoreKey("d/new"), HALF_MINUTE))
    for _ in range(5):
        await asyncio.sleep(0)
    store.inner.plant("d/new", b"new")
    await scene.statuses.written(store, await store.inner.stat(StoreKey("d/new")))
    store.go()
    with pytest.raises(FileMissing):
        await asking

    known = await scene.statuses.status(store, StoreKey("d/new"), HALF_MINUTE)

    assert (known.status.size, store.asked["stat"]) == (3, 1)


async def test_what_was_absent_a_moment_ago_is_there_when_written(scene: Scene) -> None:
    store = scene.store()
    for name in ("d/new", "d"):
        with pytest.raises(FileMissing):
            await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)
    store.inner.plant("d/new", b"new")
    await scene.statuses.written(store, await store.inner.stat(StoreKey("d/new")))

    assert (await scene.statuses.status(store, StoreKey("d/new"), HALF_MINUTE)).status.size == 3
    assert (await scene.statuses.status(store, StoreKey("d"), HALF_MINUTE)).status.is_directory
    assert store.asked["stat"] == 2


async def test_a_write_makes_its_directories_appear(scene: Scene) -> None:
    store = scene.store("a")
    assert await all_names(scene, store) == ["a"]
    store.inner.plant("d/sub/b", b"new")
    await scene.statuses.written(store, await store.inner.stat(StoreKey("d/sub/b")))

    assert await all_names(scene, store) == ["a", "d/"]
    assert store.asked == {"list": 1}


async def test_the_last_file_takes_its_prefix_along(scene: Scene) -> None:
    store = scene.store("a", "d/sub/b")
    assert await all_names(scene, store) == ["a", "d/"]
    await all_names(scene, store, "d/sub")
    await store.inner.delete(StoreKey("d/sub/b"))
    await scene.statuses.removed(store, StoreKey("d/sub/b"))

    assert await all_names(scene, store) == ["a"]
    with pytest.raises(FileMissing):
        await scene.statuses.status(store, StoreKey("d/sub"), HALF_MINUTE)


async def test_what_is_forgotten_is_asked_for_anew(scene: Scene) -> None:
    store = scene.store("d/a", "d/b")
    await all_names(scene, store, "d")
    await scene.statuses.forget(store, StoreKey("d/a"))

    assert (await scene.statuses.status(store, StoreKey("d/a"), NEVER)).status.size == 3
    assert store.asked == {"list": 1, "stat": 1}
    assert await all_names(scene, store, "d") == ["d/a", "d/b"]
    assert store.asked["list"] == 2


async def test_a_file_that_took_a_directorys_place_is_a_file(scene: Scene) -> None:
    store = scene.store("d/x/a", real_directories=True)
    await all_names(scene, store, "d/x")
    await all_names(scene, store, "d")
    await store.inner.delete(StoreKey("d/x/a"))
    await store.inner.delete(StoreKey("d/x"))
    store.inner.plant("d/x", b"file")
    scene.clock.passes(1)
    known = await scene.statuses.status(store, StoreKey("d/x"), ALWAYS)
    await scene.statuses.settle()

    assert known.status.is_file
    assert await all_names(scene, store, "d") == ["d/x"]
    assert scene.index.status(store.identity, StoreKey("d/x/a")) is None


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing may be logged by the event loop: no error without an owner."""
    yield
    assert not caplog.records


async def test_a_store_whose_answer_nobody_can_read_lets_nobody_wait(
    scene: Scene,
) -> None:
    class Odd(WatchedStore):
        async def list(self, *_: object, **__: object) -> Page:
            raise KeyError("fileId")

    store = Odd(scene.store("d/a").inner)
    async with asyncio.timeout(5):
        with pytest.raises(StoreLied):
            await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)


async def test_a_clock_that_goes_back_makes_nothing_absent_that_is_there(scene: Scene) -> None:
    store = scene.store("d/a")
    with pytest.raises(FileMissing):
        await scene.statuses.status(store, StoreKey("b"), HALF_MINUTE)
    await scene.statuses.page(store, StoreKey("d"), HALF_MINUTE)
    scene.clock.passes(-3600)
    for name in ("b", "d/b"):
        store.inner.plant(name, b"there")
        assert (await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)).status.size == 5


async def test_a_clock_that_goes_back_makes_nothing_old_look_fresh(scene: Scene) -> None:
    store = scene.store("d/a", "e/a")
    await scene.statuses.status(store, StoreKey("e/a"), HALF_MINUTE)
    await all_names(scene, store, "d")
    scene.clock.passes(-3600)
    for name in ("d/a", "d/b", "e/a"):
        store.inner.plant(name, b"changed")

    for _ in range(2):
        for name in ("d/a", "e/a"):
            known = await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)
            assert known.status.size == 7
    assert await all_names(scene, store, "d") == ["d/a", "d/b"]
    await scene.statuses.settle()
    asked = store.asked["stat"]
    for name in ("d/a", "e/a"):
        await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)
    assert store.asked["stat"] == asked


@pytest.mark.parametrize("real_directories", [False, True])
@pytest.mark.parametrize("sync", [HALF_MINUTE, ALWAYS, NEVER])
async def test_a_file_that_was_listed_as_if_it_were_a_directory_is_not_lost(
    scene: Scene, sync: timedelta | None, real_directories: bool
) -> None:
    store = scene.store("d/a", "d/b", real_directories=real_directories)
    assert await all_names(scene, store, "d") == ["d/a", "d/b"]
    await scene.statuses.settle()

    for name in ("d/a", "d/b"):
        with pytest.raises((FileMissing, NotADirectory)):
            await scene.statuses.page(store, StoreKey(name), sync)
    await scene.statuses.settle()

    assert (await scene.statuses.status(store, StoreKey("d/a"), HALF_MINUTE)).status.is_file
    page = await scene.statuses.page(store, StoreKey("d"), None)
    assert names(page) == ["d/a", "d/b"]


@pytest.mark.parametrize("real_directories", [False, True])
async def test_a_file_that_nothing_is_known_of_is_not_absent_because_it_is_no_directory(
    scene: Scene, real_directories: bool
) -> None:
    store = scene.store("d/a", "d/b", real_directories=real_directories)
    store.hold()
    listing = asyncio.create_task(all_names(scene, store, "d"))
    asking = asyncio.create_task(scene.statuses.page(store, StoreKey("d/a"), HALF_MINUTE))
    for _ in range(5):
        await asyncio.sleep(0)
    store.go()
    with pytest.raises((FileMissing, NotADirectory)):
        await asking

    assert (await scene.statuses.status(store, StoreKey("d/a"), HALF_MINUTE)).status.is_file
    assert await listing == ["d/a", "d/b"]
    await scene.statuses.settle()
    assert await all_names(scene, store, "d") == ["d/a", "d/b"]


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_was_seen_before_the_clock_went_back_is_not_fresh_when_that_time_comes_again(
    tmp_path: Path, restarts: bool
) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as scene:
        store = scene.store("a", "b", "d/a")
        for name in ("a", "b"):
            await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)
        await all_names(scene, store, "d")
        await scene.statuses.settle()
        clock.passes(-100)
        for name in ("a", "b", "d/a"):
            store.inner.plant(name, b"changed")
        if not restarts:
            await scene.statuses.status(store, StoreKey("a"), HALF_MINUTE)
            clock.passes(100)
            for name in ("a", "b", "d/a"):
                known = await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)
                assert known.status.size == 7
    if restarts:
        async with opened(tmp_path, clock) as scene:
            await scene.statuses.status(store, StoreKey("a"), HALF_MINUTE)
            clock.passes(100)
            for name in ("a", "b", "d/a"):
                known = await scene.statuses.status(store, StoreKey(name), HALF_MINUTE)
                assert known.status.size == 7
