"""A disk that takes no writes: reads go on, uncached, and what is held stays right."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.content_store import ContentStore
from tests.fakes.small_cache import MIB, a_cache


@contextmanager
def files_no_larger_than(count: int) -> Iterator[None]:
    """The kernel refuses writes beyond `count` bytes of a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("pinned", [True, False])
async def test_reads_go_on_when_the_disk_is_full_and_are_cached_again_later(
    tmp_path: Path, pinned: bool
) -> None:
    clock = FakeClock()
    store = ContentStore(pinned=pinned)
    for name in ("a", "b"):
        store.put(name, 6 * MIB)
    async with a_cache(tmp_path, now=clock) as cache:
        assert await cache.read(store, "b", 0, MIB)
        with files_no_larger_than(2 * MIB):
            assert await cache.read(store, "a", 0, 6 * MIB)
            assert cache.keeper.usage().is_full
            assert await cache.read(store, "b", 0, 6 * MIB)
        await cache.keeper.settle()
        assert cache.keeper.usage().is_full

        clock.time += 60
        assert await cache.read(store, "a", 0, 6 * MIB)
        await cache.keeper.flush()
        given = store.given
        assert await cache.read(store, "a", 0, 6 * MIB)
        assert store.given == given
        assert not cache.keeper.usage().is_full


async def test_what_the_disk_must_keep_free_is_kept_free(tmp_path: Path) -> None:
    store = ContentStore()
    store.put("a", MIB)
    # More than any disk has: there is no room for anything.
    async with a_cache(tmp_path) as cache:
        cache.keeper._ledger.quota._free_bytes = 1 << 60
        assert await cache.read(store, "a", 0, MIB)
        assert cache.used_on_disk() == 0


async def test_an_index_that_cannot_grow_costs_no_wrong_byte(tmp_path: Path) -> None:
    store = ContentStore()
    for number in range(200):
        store.put(f"f{number}", 5000)
    async with a_cache(tmp_path) as cache:
        with files_no_larger_than(40_000):
            for number in range(200):
                assert await cache.read(store, f"f{number}", 0, 5000)
                await cache.keeper.flush()
        await cache.keeper.settle()
        held = {row.file for row in cache.shelf.blocks.every_file()}
        assert {file for file, _ in cache.shelf.layout.segment_files()} >= held
        usage = cache.keeper.usage()
        assert usage.entered == sum(row.held for row in cache.shelf.blocks.every_file())
