"""The verbs on lake paths: what callers may do, and what they get."""

import asyncio
from datetime import timedelta

import pytest

from forebay.files.status import PLAIN_BYTES, Existence, LakeStatus
from forebay.model.errors import (
    AccessDenied,
    FileMissing,
    GenerationGone,
    NotADirectory,
    NotAFile,
    StoreAway,
)
from forebay.model.grants import NODE_USER
from forebay.model.paths import LakePath, StoreKey
from forebay.model.ranges import ByteRange, whole
from forebay.model.status import Kind
from forebay.namespace.options import Sync
from tests.unit.files.lake import HALF_MINUTE, TestLake, a_caller

A = LakePath("/m/a")


def all_of(status: LakeStatus) -> ByteRange:
    return whole(status.size)


async def content(lake: TestLake, path: str = "/m/a") -> bytes:
    """What a door would send."""
    file = await lake.files.open(NODE_USER, LakePath(path))
    try:
        span = await file.begin(all_of)
        return b"".join([chunk async for chunk in file.stream(span)])
    finally:
        file.close()


# Grants


async def test_who_may_not_read_learns_nothing_and_no_store_is_asked(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"1", "open/b": b"2"})
    caller = a_caller("/m/open:read")
    for path in (A, LakePath("/m/missing"), LakePath("/elsewhere/x"), LakePath("/m/opened")):
        for verb in (
            lake.files.stat(caller, path),
            lake.files.exists(caller, path),
            lake.files.list(caller, path),
            lake.files.list(caller, path, recursive=True),
            lake.files.open(caller, path),
            lake.files.usage(caller, path),
            lake.files.location(caller, path),
            lake.files.checksum(caller, path),
            lake.files.why(caller, path),
            anext(lake.files.load(caller, path)),
            anext(lake.files.free(caller, path)),
            anext(lake.files.walk(caller, path)),
        ):
            with pytest.raises(AccessDenied):
                await verb
    assert not store.asked


async def test_a_directory_that_leads_to_a_grant_shows_only_what_leads_on(lake: TestLake) -> None:
    store = lake.mount("/m", {"x/secret": b"", "x/y/b": b"2", "x/file": b"3", "z": b""})
    lake.mount("/other", {"q": b""})
    caller = a_caller("/m/x/y:read", "/m/x/file:read", "/m/x/gone:read")

    assert await lake.names("/", caller=caller) == ["/m/"]
    assert await lake.names("/m", caller=caller) == ["/m/x/"]
    assert not store.asked
    assert await lake.names("/m/x", caller=caller) == ["/m/x/file", "/m/x/y/"]
    assert await lake.names("/", caller=caller, recursive=True) == ["/m/x/file", "/m/x/y/b"]
    assert await lake.names("/m/x", caller=caller, after="m/x/file") == ["/m/x/y/"]
    assert await lake.names("/m/x", caller=caller, most=1) == ["/m/x/file", "/m/x/y/"]
    status = await lake.files.stat(caller, LakePath("/m/x"))
    assert (status.kind, status.store_key, status.modified_at) == (Kind.DIRECTORY, None, None)
    with pytest.raises(AccessDenied):
        await lake.files.open(caller, LakePath("/m/x"))


async def test_reading_is_no_right_to_free(lake: TestLake) -> None:
    lake.mount("/m", {"a": b"1"})
    with pytest.raises(AccessDenied):
        await anext(lake.files.free(a_caller("/m:read"), A))


# Status


async def test_a_status_tells_where_and_how_old(lake: TestLake) -> None:
    lake.mount("/m", {"p/a": b"hello"}, prefix="p")
    await lake.files.stat(NODE_USER, A)
    lake.clock.passes(3)

    status = await lake.files.stat(NODE_USER, A)

    assert (status.size, status.age) == (5, timedelta(seconds=3))
    assert (status.mount, status.store_key) == (LakePath("/m"), StoreKey("p/a"))
    assert status.store_uri == "memory:///m/p/a"
    assert status.etag == f'"{status.generation}-1"'
    assert status.content_type == PLAIN_BYTES
    assert status.checked_at is not None


async def test_a_slash_at_the_end_insists_on_a_directory(lake: TestLake) -> None:
    lake.mount("/m", {"a": b"", "d/b": b""})
    await lake.files.stat(NODE_USER, LakePath("/m/d"), must_be_directory=True)
    with pytest.raises(NotADirectory, match="/m/a"):
        await lake.files.stat(NODE_USER, A, must_be_directory=True)


async def test_existence_has_three_values(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b""})
    assert await lake.files.exists(NODE_USER, A) is Existence.PRESENT
    assert await lake.files.exists(NODE_USER, LakePath("/m/b")) is Existence.ABSENT
    assert await lake.files.exists(NODE_USER, LakePath("/nowhere")) is Existence.ABSENT
    store.is_away = True
    lake.clock.passes(31)
    assert await lake.files.exists(NODE_USER, A) is Existence.UNKNOWN
    assert await lake.files.exists(NODE_USER, LakePath("/m/b")) is Existence.UNKNOWN


async def test_errors_speak_of_lake_paths(lake: TestLake) -> None:
    lake.mount("/m", {"p/a": b""}, prefix="p")
    with pytest.raises(FileMissing) as caught:
        await lake.files.stat(NODE_USER, LakePath("/m/b"))
    assert caught.value.subject == "/m/b"


async def test_one_stat_serves_a_cold_open_also_with_sync_always(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"1"}, sync=Sync(timedelta(0)))
    (await lake.files.open(NODE_USER, A)).close()
    assert store.asked["stat"] == 1


# Reading


async def test_a_second_read_asks_the_store_nothing(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": bytes(range(256)) * 1000})
    first = await content(lake)
    await lake.keeper.flush()
    before = store.asked.copy()

    file = await lake.files.open(NODE_USER, A)
    span = await file.begin(lambda _: ByteRange(100, 100_100))
    second = b"".join([chunk async for chunk in file.stream(span)])
    file.close()

    assert second == first[100:100_100]
    assert store.asked == before
    assert (file.from_cache, file.from_store) == (100_000, 0)


async def test_a_file_that_changed_before_its_first_byte_is_opened_anew(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"old"})
    await lake.files.stat(NODE_USER, A)
    store.inner.plant("a", b"brand new")

    file = await lake.files.open(NODE_USER, A)
    before = file.status
    span = await file.begin(all_of)
    found = b"".join([chunk async for chunk in file.stream(span)])
    file.close()

    assert (before.size, file.status.size, found) == (3, 9, b"brand new")
    assert file.status.etag != before.etag
    assert await content(lake) == b"brand new"


async def test_a_file_that_was_deleted_before_its_first_byte_is_missing(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"old"})
    await lake.files.stat(NODE_USER, A)
    await store.inner.delete(StoreKey("a"))

    file = await lake.files.open(NODE_USER, A)
    with pytest.raises(FileMissing, match="/m/a"):
        await file.begin(all_of)
    file.close()


async def test_a_file_that_changes_after_its_first_byte_is_gone_not_mixed(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"o" * (4 << 20)})
    file = await lake.files.open(NODE_USER, A)
    await file.begin(lambda _: ByteRange(0, 1))
    store.inner.plant("a", b"n" * (4 << 20))

    with pytest.raises(GenerationGone, match="/m/a"):
        await file.piece(3 << 20, 1000)
    file.close()
    why = await lake.files.why(NODE_USER, A)
    assert why.last_error is not None
    assert why.last_error.code == "generation-gone"


async def test_a_wanted_generation_is_served_or_nothing(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"old"})
    generation = (await lake.files.stat(NODE_USER, A)).generation
    (await lake.files.open(NODE_USER, A, generation=generation)).close()
    store.inner.plant("a", b"new")

    file = await lake.files.open(NODE_USER, A, generation=generation)
    with pytest.raises(GenerationGone):
        await file.begin(all_of)
    file.close()
    lake.clock.passes(31)
    with pytest.raises(GenerationGone):
        await lake.files.open(NODE_USER, A, generation=generation)


async def test_an_empty_file_has_an_empty_range(lake: TestLake) -> None:
    lake.mount("/m", {"a": b""})
    assert await content(lake) == b""


async def test_a_directory_is_not_opened(lake: TestLake) -> None:
    lake.mount("/m", {"d/a": b""})
    for path in ("/", "/m", "/m/d"):
        with pytest.raises(NotAFile):
            await lake.files.open(NODE_USER, LakePath(path))


# Load, free, usage, location


async def test_a_load_brings_all_below_a_directory_and_a_free_lets_it_go(lake: TestLake) -> None:
    sizes = {f"d/{number}": 1000 * number for number in range(12)}
    store = lake.mount("/m", {name: b"x" * size for name, size in sizes.items()})
    steps = [step async for step in lake.files.load(NODE_USER, LakePath("/m"), recursive=True)]
    total = sum(sizes.values())

    last = steps[-1]
    assert (last.files, last.bytes, last.total_files, last.total_bytes) == (12, total, 12, total)
    assert [step.bytes for step in steps] == sorted(step.bytes for step in steps)
    usage = await lake.files.usage(NODE_USER, LakePath("/m"))
    assert (usage.bytes, usage.cached_bytes) == (total, total)

    store.is_away = True
    lake.clock.passes(1000)
    freed = [step async for step in lake.files.free(NODE_USER, LakePath("/m"), recursive=True)]
    assert freed[-1].files == 12
    # On disk, a file takes whole blocks of the file system.
    assert freed[-1].bytes >= total
    store.is_away = False
    assert (await lake.files.usage(NODE_USER, LakePath("/m"))).cached_bytes == 0


async def test_a_directory_is_loaded_only_when_that_is_meant(lake: TestLake) -> None:
    lake.mount("/m", {"d/a": b"1"})
    with pytest.raises(NotAFile):
        await anext(lake.files.load(NODE_USER, LakePath("/m/d")))


async def test_a_load_that_fails_says_so(lake: TestLake) -> None:
    store = lake.mount("/m", {f"d/{number}": b"x" * 10 for number in range(12)})
    store.fails_after = 5
    with pytest.raises(StoreAway):
        async for _ in lake.files.load(NODE_USER, LakePath("/m"), recursive=True):
            pass


async def test_a_load_that_is_left_stops(lake: TestLake) -> None:
    lake.mount("/m", {f"d/{number:03}": b"x" * 10 for number in range(300)})
    before = asyncio.all_tasks()
    loading = lake.files.load(NODE_USER, LakePath("/m"), recursive=True)
    await anext(loading)
    await loading.aclose()

    # What was being fetched may come in; nothing else is asked for.
    await asyncio.wait(asyncio.all_tasks() - before, timeout=10)
    usage = await lake.files.usage(NODE_USER, LakePath("/m"))
    assert usage.cached_bytes < usage.bytes


async def test_usage_counts_what_is_below(lake: TestLake) -> None:
    lake.mount("/m", {"a": b"1", "d/b": b"22", "d/e/c": b"333"})

    usage = await lake.files.usage(NODE_USER, LakePath("/m"))

    assert (usage.files, usage.directories, usage.bytes) == (3, 3, 6)
    children = {child.path.name: (child.files, child.bytes) for child in usage.children}
    assert children == {"a": (1, 1), "d": (2, 5)}
    of_file = await lake.files.usage(NODE_USER, A)
    assert (of_file.files, of_file.directories, of_file.bytes) == (1, 0, 1)


async def test_the_location_tells_what_is_held(lake: TestLake) -> None:
    lake.mount("/m", {"a": b"x" * 100_000})
    before = await lake.files.location(NODE_USER, A)
    await content(lake)
    await lake.keeper.flush()
    after = await lake.files.location(NODE_USER, A)

    assert (before.held.bytes, before.blocks) == (0, 2)
    assert (after.held.bytes, after.held.blocks) == (100_000, 2)


async def test_the_checksum_is_the_stores(lake: TestLake) -> None:
    lake.mount("/m", {"a": b"hello"})
    checksum = await lake.files.checksum(NODE_USER, A)
    assert checksum.digest is not None
    assert checksum.digest.value == "5d41402abc4b2a76b9719d911017c592"


# Why


async def test_why_tells_placement_age_and_cached_share(lake: TestLake) -> None:
    lake.mount("/m", {"p/a": b"hello"}, prefix="p")
    await content(lake)
    await lake.keeper.flush()
    lake.clock.passes(10)

    why = await lake.files.why(NODE_USER, A)

    assert why.existence is Existence.PRESENT
    assert (why.mount, why.store_key, why.sync) == (LakePath("/m"), StoreKey("p/a"), "30s")
    assert why.age == timedelta(seconds=10)
    assert (why.is_fresh, why.cached_bytes, why.cached_share) == (True, 5, 1.0)
    assert why.last_error is None
    assert why.status is not None
    assert why.status.generation is not None

    lake.clock.passes(30)
    assert not (await lake.files.why(NODE_USER, A)).is_fresh


async def test_why_answers_when_the_store_is_away(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"hello"}, sync=HALF_MINUTE)
    await lake.files.stat(NODE_USER, A)
    lake.clock.passes(31)
    store.is_away = True
    with pytest.raises(StoreAway):
        await lake.files.stat(NODE_USER, A)

    why = await lake.files.why(NODE_USER, A)
    assert (why.existence, why.is_fresh) == (Existence.PRESENT, False)
    assert why.last_error is not None
    assert why.last_error.code == "store-away"

    never_seen = await lake.files.why(NODE_USER, LakePath("/m/b"))
    assert never_seen.existence is Existence.UNKNOWN
    assert (await lake.files.why(NODE_USER, LakePath("/nowhere"))).existence is Existence.ABSENT
    assert (await lake.files.why(NODE_USER, LakePath("/"))).existence is Existence.PRESENT
