"""The cache against the store: whatever happens, bytes are the store's, and the room is kept."""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from forebay.cache.cached_file import CachedFile
from forebay.model.errors import GenerationGone, StoreAway, StoreLied
from forebay.model.ranges import BLOCK_BYTES
from tests.fakes.content_store import ContentStore, Fault
from tests.fakes.small_cache import MIB, SmallCache, a_cache, flip_a_bit, read_right

T = TypeVar("T")
QUOTA = 4 * MIB
names = some.sampled_from(["a", "b", "c", "d"])
places = some.integers(0, 3 * MIB)


class Cache(RuleBasedStateMachine):
    """Reads, replaces, frees, damages, restarts."""

    @initialize(pinned=some.booleans())
    def begin(self, pinned: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.store = ContentStore(pinned=pinned, piece=100_003)
        for number, name in enumerate("abcd"):
            self.store.put(name, (number + 1) * 700_001, version=1)
        self.open: list[tuple[CachedFile, int, str]] = []
        self.start()

    def start(self) -> None:
        self.stack = AsyncExitStack()
        self.cache: SmallCache = self.run(
            self.stack.enter_async_context(
                a_cache(Path(self.directory.name), QUOTA, clean=False, range_bytes=MIB)
            )
        )

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def teardown(self) -> None:
        self.run(self.close_all())
        self.run(self.stack.aclose())
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()
        self.directory.cleanup()

    async def close_all(self) -> None:
        for file, _, _ in self.open:
            file.close()
        self.open.clear()

    @rule(name=names, start=places, count=some.integers(1, 2 * MIB))
    def read(self, name: str, start: int, count: int) -> None:
        version, size = self.store.files[name]
        start %= size
        assert self.run(self.cache.read(self.store, name, start, min(start + count, size), version))

    @rule(chosen=some.lists(some.tuples(names, places), min_size=2, max_size=6))
    def read_at_once(self, chosen: list[tuple[str, int]]) -> None:
        async def all_of_them() -> list[bool]:
            return list(
                await asyncio.gather(
                    *(
                        self.cache.read(
                            self.store,
                            name,
                            start % self.store.files[name][1],
                            self.store.files[name][1],
                            self.store.files[name][0],
                        )
                        for name, start in chosen
                    )
                )
            )

        assert all(self.run(all_of_them()))

    @rule(name=names)
    def keep_open(self, name: str) -> None:
        version, size = self.store.files[name]
        status, generation = self.store.put(name, size, version)
        file = self.cache.keeper.open(self.store, status, generation)
        self.open.append((file, version, name))

    @rule(start=places, ahead=some.sampled_from([0, MIB]))
    def read_what_is_open(self, start: int, ahead: int) -> None:
        for file, version, name in self.open:
            at = start % file.size
            try:
                self.run(file.piece(at, file.size - at, ahead=ahead))
                assert self.run(read_right(file, version, at, file.size))
            except GenerationGone:
                assert self.store.files[name][0] != version

    @rule(name=names)
    def replace(self, name: str) -> None:
        version, size = self.store.files[name]
        self.store.put(name, size, version + 1)

    @rule(name=names, kind=some.sampled_from(["short", "away"]), at=places)
    def read_with_a_fault(self, name: str, kind: str, at: int) -> None:
        version, size = self.store.files[name]
        self.store.faults.append(Fault(kind, at % size))
        try:
            assert self.run(self.cache.read(self.store, name, 0, size, version))
        except (StoreAway, StoreLied):
            pass
        finally:
            self.store.faults.clear()

    @rule(name=names)
    def free(self, name: str) -> None:
        version, size = self.store.files[name]
        _, generation = self.store.put(name, size, version)
        self.run(self.cache.keeper.free(generation))

    @rule(damage=some.booleans(), at=places)
    def end_and_start_again(self, damage: bool, at: int) -> None:
        self.run(self.close_all())
        self.run(self.cache.keeper.flush())
        if damage:
            for held in self.cache.shelf.blocks.files():
                path = Path(self.cache.shelf.layout.segment(held.file))
                if size := path.stat().st_size:
                    flip_a_bit(self.cache.shelf, held.file, at % size)
        self.run(self.stack.aclose())
        self.start()

    @rule()
    def tick(self) -> None:
        self.run(self.cache.keeper.settle())
        self.run(self.cache.keeper.tick())

    @invariant()
    def the_room_is_kept(self) -> None:
        if not hasattr(self, "cache"):
            return
        usage = self.cache.keeper.usage()
        assert min(usage.entered, usage.reserved, usage.unlinked_open) >= 0
        assert usage.entered + usage.reserved + usage.unlinked_open <= QUOTA
        assert self.cache.used_on_disk() <= QUOTA + 16 * BLOCK_BYTES

    @invariant()
    def what_is_counted_is_what_the_index_holds(self) -> None:
        if hasattr(self, "cache"):
            self.run(self.cache.keeper.settle())
            held = sum(row.held for row in self.cache.shelf.blocks.every_file())
            assert self.cache.keeper.usage().entered == held


Cache.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestCache = Cache.TestCase
