"""The eviction order: frees what is asked, spares what is read, and outlives a scan."""

import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as some

from forebay.cache.keep import to_evict
from forebay.shelf.blocks import HeldFile


def held(file: int, size: int = 1) -> HeldFile:
    return HeldFile(file, bytes(16), 0, size)


def walk_of(files: list[HeldFile], hand: int) -> Iterator[HeldFile]:
    """From the hand on, once round, and to the hand again: as the ledger walks."""
    yield from (file for file in files if file.file >= hand)
    yield from files
    yield from files


files_of = some.lists(some.integers(1, 50), max_size=30).map(
    lambda sizes: [held(number, size) for number, size in enumerate(sizes)]
)


@given(files_of, some.sets(some.integers(0, 30)), some.sets(some.integers(0, 30)), some.data())
def test_what_is_asked_is_freed_if_it_is_there_and_no_more_than_needed(
    files: list[HeldFile], visited: set[int], busy: set[int], data: some.DataObject
) -> None:
    room = data.draw(some.integers(0, 600))
    hand = data.draw(some.integers(0, 31))

    found = to_evict(walk_of(files, hand), room, visited.__contains__, busy.__contains__)

    free = [file for file in files if file.file not in busy]
    assert found.freed == sum(file.held for file in found.dropped)
    assert not {file.file for file in found.dropped} & busy
    assert len({file.file for file in found.dropped}) == len(found.dropped)
    if sum(file.held for file in free) >= room:
        assert found.freed >= room
        assert found.freed - (found.dropped[-1].held if found.dropped else 0) <= room
    else:
        assert set(found.dropped) == set(free)


@given(files_of, some.sets(some.integers(0, 30)))
def test_nothing_that_was_read_goes_while_something_unread_is_there(
    files: list[HeldFile], visited: set[int]
) -> None:
    unread = [file for file in files if file.file not in visited]
    room = sum(file.held for file in unread)

    found = to_evict(walk_of(files, 0), room, visited.__contains__, lambda _: False)

    assert set(found.dropped) == set(unread)


def hits(*, sieve: bool) -> int:
    """Hits of a hot set under a scan of cold files, with room for both only in part."""
    chance = random.Random(5)  # noqa: S311 - a seeded load
    kept: dict[int, int] = {}
    visited: set[int] = set()
    numbers, hand, found, room = iter(range(10**6)), 0, 0, 100
    for step in range(20_000):
        name = chance.randrange(60) if step % 2 else 1000 + step
        if name in kept:
            found += 1
            visited.add(kept[name])
            continue
        if len(kept) == room:
            files = [held(number) for number in sorted(kept.values())]
            seen = visited if sieve else set()
            evicted = to_evict(walk_of(files, hand), 1, seen.__contains__, lambda _: False)
            hand = evicted.hand
            visited -= set(evicted.spared)
            gone = {file.file for file in evicted.dropped}
            kept = {key: number for key, number in kept.items() if number not in gone}
        kept[name] = next(numbers)
    return found


def test_a_scan_does_not_push_out_what_is_read_again_and_again() -> None:
    # Half of all reads are of the hot set: all but its first reads can be hits.
    assert hits(sieve=True) > 9_500
    assert hits(sieve=False) < 9_000
