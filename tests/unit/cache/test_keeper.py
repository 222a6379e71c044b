"""The keeper, through its front: what is read is right, once fetched, and within its room."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from forebay.cache.pieces import BytesPiece, FilePiece
from forebay.model.errors import BadRange, GenerationGone, NoRoom, StoreAway, StoreLied
from forebay.model.ranges import SEGMENT_BYTES, ByteRange
from forebay.namespace.away import AwayStore
from forebay.stores.limited import Limits, limited
from tests.fakes.content_store import ContentStore, Fault, content
from tests.fakes.small_cache import MIB, a_cache, blocks, flip_a_bit, read_right


async def until(so: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    while not so():  # noqa: ASYNC110 - the fake has no event for each of its numbers
        await asyncio.sleep(0)


@pytest.fixture(params=[True, False], ids=["pinned", "verified"])
def store(request: pytest.FixtureRequest) -> ContentStore:
    return ContentStore(pinned=request.param)


async def test_what_is_read_is_what_the_store_has(tmp_path: Path, store: ContentStore) -> None:
    store.put("a", 3 * MIB + 12345)
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, 3 * MIB + 12345)
        assert await cache.read(store, "a", 1_000_001, 1_234_567)


async def test_a_second_read_asks_the_store_for_nothing(
    tmp_path: Path, store: ContentStore
) -> None:
    store.put("a", 2 * MIB + 5)
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, 2 * MIB + 5)
        given = store.given
        assert await cache.read(store, "a", 0, 2 * MIB + 5)

    assert given == 2 * MIB + 5
    assert store.given == given


async def test_two_hundred_first_readers_cause_one_fetch(
    tmp_path: Path, store: ContentStore
) -> None:
    size = 5 * MIB + 77
    store.put("a", size)
    async with a_cache(tmp_path) as cache:
        right = await asyncio.gather(*(cache.read(store, "a", 0, size) for _ in range(200)))

        assert all(right)
        assert store.given == size
        assert len(store.requests) == 2
        assert store.asked["open"] == 1


async def test_readers_are_fed_before_the_range_is_whole_where_ranges_are_pinned(
    tmp_path: Path,
) -> None:
    store = ContentStore()
    status, generation = store.put("a", 4 * MIB)
    async with a_cache(tmp_path) as cache:
        store.hold(after=1)
        file = cache.keeper.open(store, status, generation)
        piece = await file.piece(0, 4 * MIB)
        assert isinstance(piece, FilePiece)
        assert piece.count == store.piece
        assert os.pread(piece.handle.fd, piece.count, piece.offset) == content(1, 0, store.piece)
        store.go()
        file.close()


async def test_without_pinned_ranges_nothing_is_given_before_it_is_verified(
    tmp_path: Path,
) -> None:
    store = ContentStore(pinned=False)
    status, generation = store.put("a", 4 * MIB)
    async with a_cache(tmp_path) as cache:
        store.hold(after=4)
        file = cache.keeper.open(store, status, generation)
        reading = asyncio.create_task(file.piece(0, 4 * MIB))
        await until(lambda: store.given == MIB)
        store.put("a", 4 * MIB, version=2)
        store.go()

        with pytest.raises(GenerationGone):
            await reading

        file.close()
        assert cache.keeper.held(generation, 4 * MIB).bytes == 0


async def test_one_verification_covers_the_ranges_that_came_in_meanwhile(tmp_path: Path) -> None:
    store = ContentStore(pinned=False)
    store.put("a", 32 * MIB)
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, 32 * MIB)

        assert len(store.requests) == 8
        assert 1 <= store.asked["verify"] <= 8
        assert store.asked["open"] == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [("short", StoreLied), ("long", StoreLied), ("gone", GenerationGone), ("away", StoreAway)],
)
async def test_an_error_reaches_all_who_wait_and_nothing_of_the_range_is_kept(
    tmp_path: Path, store: ContentStore, kind: str, error: type[Exception]
) -> None:
    size = 8 * MIB
    status, generation = store.put("a", size)
    async with a_cache(tmp_path) as cache:
        store.faults.append(Fault(kind, 0))
        file = cache.keeper.open(store, status, generation)
        store.hold()
        # Each waits for the last block of the range, which the fault is sure to keep away.
        readers = [asyncio.create_task(file.piece(4 * MIB - 1, 1)) for _ in range(10)]
        first = asyncio.create_task(read_right(file, 1, 0, 4 * MIB))
        other = asyncio.create_task(file.piece(4 * MIB, 4 * MIB))
        await asyncio.sleep(0.01)
        store.go()
        outcomes = await asyncio.gather(*readers, first, return_exceptions=True)
        await other
        await cache.keeper.settle()

        assert any(isinstance(outcome, error) for outcome in outcomes)
        held = cache.keeper.held(generation, size)
        assert held.bytes <= size
        assert await read_right(file, 1, 0, size)
        file.close()
        assert cache.keeper.usage().reserved >= 0


async def test_of_a_failed_range_nothing_is_in_the_index(
    tmp_path: Path, store: ContentStore
) -> None:
    status, generation = store.put("a", 4 * MIB)
    async with a_cache(tmp_path) as cache:
        store.faults.append(Fault("short", 0))
        file = cache.keeper.open(store, status, generation)
        with pytest.raises(StoreLied):
            # The last byte of the range is the one that surely does not come.
            await asyncio.gather(file.piece(0, 4 * MIB), file.piece(4 * MIB - 1, 1))
        await cache.keeper.settle()
        assert cache.keeper.held(generation, 4 * MIB).bytes == 0

        assert await read_right(file, 1, 0, 4 * MIB)
        await cache.keeper.flush()
        usage = cache.keeper.usage()
        assert (usage.entered, usage.reserved) == (4 * MIB, 0)
        file.close()


async def test_when_the_readers_leave_no_new_range_is_begun(
    tmp_path: Path, store: ContentStore
) -> None:
    size = 64 * MIB
    status, generation = store.put("a", size)
    async with a_cache(tmp_path, flights=2) as cache:
        store.hold()
        file = cache.keeper.open(store, status, generation)
        reading = asyncio.create_task(file.piece(0, size))
        await until(lambda: len(store.requests) == 2)
        reading.cancel()
        file.close()
        store.go()
        await cache.keeper.settle()

        assert sorted(store.requests) == [(0, 4 * MIB), (4 * MIB, 8 * MIB)]
        assert cache.keeper.held(generation, size).bytes == 8 * MIB
        usage = cache.keeper.usage()
        assert (usage.entered, usage.reserved) == (8 * MIB, 0)


async def test_forward_reads_are_read_ahead_and_a_jump_ends_it(
    tmp_path: Path, store: ContentStore
) -> None:
    size = 64 * MIB
    status, generation = store.put("a", size)
    async with a_cache(tmp_path) as cache:
        file = cache.keeper.open(store, status, generation)
        for at in range(0, 8 * MIB, MIB):
            assert (await file.piece(at, MIB, ahead=32 * MIB)).count
        await cache.keeper.settle()
        ahead = cache.keeper.held(generation, size).bytes
        await file.piece(40 * MIB, 1, ahead=32 * MIB)
        await cache.keeper.settle()

        assert 9 * MIB <= ahead <= 24 * MIB
        assert cache.keeper.held(generation, size).bytes == ahead + blocks(1)
        file.close()


async def test_without_leave_nothing_is_read_ahead(tmp_path: Path, store: ContentStore) -> None:
    status, generation = store.put("a", 64 * MIB)
    async with a_cache(tmp_path) as cache:
        file = cache.keeper.open(store, status, generation)
        for at in range(0, 8 * MIB, MIB):
            await file.piece(at, MIB)
        await cache.keeper.settle()

        assert cache.keeper.held(generation, 64 * MIB).bytes == 8 * MIB
        file.close()


async def test_the_quota_is_never_exceeded_and_reads_go_on(
    tmp_path: Path, store: ContentStore
) -> None:
    quota = 8 * MIB
    for number in range(12):
        store.put(f"f{number}", 3 * MIB)
    async with a_cache(tmp_path, quota) as cache:
        most = 0
        for _ in range(2):
            for number in range(12):
                assert await cache.read(store, f"f{number}", 0, 3 * MIB)
                usage = cache.keeper.usage()
                most = max(most, usage.entered + usage.reserved + usage.unlinked_open)
        await cache.keeper.flush()

        assert most <= quota
        assert cache.used_on_disk() <= quota
        assert cache.keeper.usage().evictions > 12


async def test_a_file_larger_than_the_quota_is_read_through(
    tmp_path: Path, store: ContentStore
) -> None:
    store.put("a", 20 * MIB)
    async with a_cache(tmp_path, 6 * MIB) as cache:
        assert await cache.read(store, "a", 0, 20 * MIB)

        usage = cache.keeper.usage()
        assert usage.entered + usage.reserved + usage.unlinked_open <= 6 * MIB


async def test_what_cannot_be_kept_is_passed_on(tmp_path: Path, store: ContentStore) -> None:
    status, generation = store.put("a", MIB)
    async with a_cache(tmp_path, quota=1000) as cache:
        file = cache.keeper.open(store, status, generation)
        assert isinstance(await file.piece(0, 1), BytesPiece)
        assert await read_right(file, 1, 0, MIB)
        file.close()

        assert cache.keeper.held(generation, MIB).bytes == 0
        assert cache.used_on_disk() == 0


async def test_an_open_reader_reads_on_when_its_file_is_freed(
    tmp_path: Path, store: ContentStore
) -> None:
    status, generation = store.put("a", MIB)
    async with a_cache(tmp_path) as cache:
        file = cache.keeper.open(store, status, generation)
        assert await read_right(file, 1, 0, MIB)
        await cache.keeper.flush()
        piece = await file.piece(0, MIB)
        assert isinstance(piece, FilePiece)

        assert await cache.keeper.free(generation) == MIB

        assert os.pread(piece.handle.fd, piece.count, piece.offset) == content(1, 0, piece.count)
        assert cache.keeper.usage().unlinked_open == MIB
        del piece
        assert cache.keeper.usage().unlinked_open == 0
        assert cache.used_on_disk() == 0
        assert await read_right(file, 1, 0, MIB)
        file.close()


async def test_who_asks_to_free_and_goes_away_leaves_nothing_half_done(
    tmp_path: Path, store: ContentStore
) -> None:
    status, generation = store.put("a", MIB)
    async with a_cache(tmp_path) as cache:
        for turns in range(12):
            await cache.keeper.load(store, status, generation)
            freeing = asyncio.create_task(cache.keeper.free(generation))
            for _ in range(turns):
                await asyncio.sleep(0)
            freeing.cancel()
            await asyncio.gather(freeing, return_exceptions=True)
            await cache.keeper.free(generation)
            await asyncio.sleep(0.01)

            assert cache.keeper.usage().entered == cache.used_on_disk() == 0


async def test_load_has_the_whole_file_held(tmp_path: Path, store: ContentStore) -> None:
    size = 5 * MIB + 1
    status, generation = store.put("a", size)
    told: list[int] = []
    async with a_cache(tmp_path) as cache:
        assert await cache.keeper.load(store, status, generation, told.append) == size
        held = cache.keeper.held(generation, size)

    assert held.is_whole
    assert (held.blocks, held.segments) == (81, 1)
    assert told[-1] == size


async def test_load_says_when_it_does_not_fit(tmp_path: Path, store: ContentStore) -> None:
    status, generation = store.put("a", 5 * MIB)
    async with a_cache(tmp_path, quota=4 * MIB) as cache:
        with pytest.raises(NoRoom, match="do not fit"):
            await cache.keeper.load(store, status, generation)


async def test_what_was_held_is_held_after_a_clean_end(tmp_path: Path, store: ContentStore) -> None:
    store.put("a", 3 * MIB + 9)
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, 3 * MIB + 9)
    given = store.given
    async with a_cache(tmp_path) as cache:
        assert cache.keeper.usage().entered == 3 * MIB + 4096
        assert await cache.read(store, "a", 0, 3 * MIB + 9)

    assert store.given == given


async def test_after_an_unclean_end_a_damaged_block_is_fetched_again(
    tmp_path: Path, store: ContentStore
) -> None:
    _, generation = store.put("a", 3 * MIB)
    async with a_cache(tmp_path, clean=False) as cache:
        assert await cache.read(store, "a", 0, 3 * MIB)
        await cache.keeper.flush()
        record = cache.shelf.blocks.segment(generation.raw, 0)
        assert record is not None
        flip_a_bit(cache.shelf, record.file, blocks(7) + 99)
    given = store.given
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, 3 * MIB)

        assert cache.keeper.usage().damaged_blocks == 1
        assert store.given == given + blocks(1)
        await cache.keeper.flush()
        usage = cache.keeper.usage()
        assert (usage.entered, usage.reserved) == (3 * MIB, 0)


async def test_a_damaged_block_that_is_read_from_the_disk_is_not_given(
    tmp_path: Path, store: ContentStore
) -> None:
    _, generation = store.put("a", 3 * MIB)
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, 3 * MIB)
    async with a_cache(tmp_path) as cache:
        record = cache.shelf.blocks.segment(generation.raw, 0)
        assert record is not None
        flip_a_bit(cache.shelf, record.file, blocks(20) + 5)
        descriptor = os.open(cache.shelf.layout.segment(record.file), os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        given = store.given

        assert await cache.read(store, "a", 0, 3 * MIB)

        assert store.given == given + blocks(1)
        assert cache.keeper.usage().damaged_blocks == 1


async def test_a_segment_file_that_somebody_removed_is_fetched_again(
    tmp_path: Path, store: ContentStore
) -> None:
    _, generation = store.put("a", MIB)
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, MIB)
    async with a_cache(tmp_path) as cache:
        record = cache.shelf.blocks.segment(generation.raw, 0)
        assert record is not None
        os.unlink(cache.shelf.layout.segment(record.file))  # noqa: PTH108 - a path as text

        assert await cache.read(store, "a", 0, MIB)
        await cache.keeper.flush()
        assert cache.keeper.usage().entered == MIB


async def test_a_file_of_several_segments_is_read_right(tmp_path: Path) -> None:
    store = ContentStore(piece=MIB)
    size = SEGMENT_BYTES + 3 * MIB
    status, generation = store.put("a", size)
    async with a_cache(tmp_path, quota=400 * MIB) as cache:
        file = cache.keeper.open(store, status, generation)
        start = SEGMENT_BYTES - 2 * MIB
        assert await read_right(file, 1, start, size)
        await cache.keeper.flush()

        assert cache.keeper.held(generation, size).segments == 2
        assert file.present(ByteRange(start - MIB, size)) == 5 * MIB
        file.close()


async def test_a_reader_knows_what_came_from_where(tmp_path: Path, store: ContentStore) -> None:
    status, generation = store.put("a", 2 * MIB)
    async with a_cache(tmp_path) as cache:
        first = cache.keeper.open(store, status, generation)
        assert await read_right(first, 1, 0, MIB)
        second = cache.keeper.open(store, status, generation)
        assert await read_right(second, 1, 0, 2 * MIB)
        first.close()
        second.close()

        assert (first.from_cache, first.from_store) == (0, MIB)
        assert (second.from_cache, second.from_store) == (MIB, MIB)


async def test_the_reader_of_the_store_is_closed_in_the_end(
    tmp_path: Path, store: ContentStore
) -> None:
    store.put("a", MIB)
    async with a_cache(tmp_path) as cache:
        assert await cache.read(store, "a", 0, MIB)

    assert store.asked["close"] == store.asked["open"] == 1


async def test_a_range_outside_the_file_is_refused(tmp_path: Path, store: ContentStore) -> None:
    status, generation = store.put("a", 10)
    async with a_cache(tmp_path) as cache:
        file = cache.keeper.open(store, status, generation)
        with pytest.raises(BadRange):
            await file.piece(10, 1)
        with pytest.raises(BadRange):
            await file.piece(0, 0)
        file.close()


async def test_stream_gives_the_bytes_themselves(tmp_path: Path, store: ContentStore) -> None:
    status, generation = store.put("a", MIB + 3)
    async with a_cache(tmp_path) as cache:
        file = cache.keeper.open(store, status, generation)
        found = [piece async for piece in file.stream(ByteRange(11, MIB + 3))]
        file.close()

    assert b"".join(found) == content(1, 11, MIB + 3)


async def test_a_store_that_came_back_is_asked_though_readers_never_ceased_to_try(
    tmp_path: Path, store: ContentStore
) -> None:
    status, generation = store.put("a", MIB)
    away = AwayStore(store.identity, StoreAway(store.identity))
    async with a_cache(tmp_path) as cache:
        before = cache.keeper.open(away, status, generation)
        with pytest.raises(StoreAway):
            await before.piece(0, MIB)

        file = cache.keeper.open(store, status, generation)
        assert await read_right(file, 1, 0, MIB)
        before.close()
        file.close()


async def test_a_store_that_was_mounted_anew_is_asked_and_the_old_one_is_let_go(
    tmp_path: Path, store: ContentStore
) -> None:
    status, generation = store.put("a", 8 * MIB)
    anew = ContentStore(pinned=store.pinned, name=store.name)
    anew.put("a", 8 * MIB)
    async with a_cache(tmp_path) as cache:
        file = cache.keeper.open(store, status, generation)
        assert await read_right(file, 1, 0, MIB)
        file.close()

        file = cache.keeper.open(anew, status, generation)
        await until(lambda: store.asked["close"] == 1)
        assert await read_right(file, 1, 0, 8 * MIB)
        file.close()

    assert sum(end - start for start, end in anew.requests) == 7 * MIB
    assert anew.asked["close"] == 1


async def test_a_slow_reader_of_what_cannot_be_kept_holds_no_connection(tmp_path: Path) -> None:
    store = ContentStore()
    status, generation = store.put("a", 2 * MIB)
    narrow = limited(store, Limits(connections=1))  # type: ignore[arg-type]  # it only reads
    async with a_cache(tmp_path, quota=1, slow_seconds=0.01) as cache:
        file = cache.keeper.open(narrow, status, generation)
        assert await read_right(file, 1, 0, 256 << 10)

        async with asyncio.timeout(5):
            await narrow.open(status)
        assert await read_right(file, 1, 256 << 10, 2 * MIB)
        file.close()


async def test_what_never_got_room_leaves_nothing_behind(tmp_path: Path) -> None:
    store = ContentStore()
    async with a_cache(tmp_path, quota=1, idle_seconds=0.0) as cache:
        for number in range(50):
            store.put(f"f{number}", 1000)
            assert await cache.read(store, f"f{number}", 0, 1000)
        await cache.keeper.settle()
        await cache.keeper.tick()
        assert not cache.keeper._ledger._live
