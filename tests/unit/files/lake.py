"""A small lake for tests: stores in memory, mounted, over a shelf on disk."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forebay.cache.keeper import Keeper, open_keeper
from forebay.cache.options import CacheOptions
from forebay.files.files import Files
from forebay.files.status import LakePage
from forebay.metadata.index import StatusIndex
from forebay.metadata.statuses import Statuses
from forebay.model.grants import NODE_USER, Caller, grant_of
from forebay.model.paths import LakePath, StoreKey
from forebay.namespace.mounts import Mount, MountTable
from forebay.namespace.options import Sync
from forebay.namespace.registry import Resolved
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from forebay.stores.memory import MemoryStore
from tests.fakes.watched_store import WatchedStore

START = 1_750_000_000.0
HALF_MINUTE = Sync(timedelta(seconds=30))


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = START

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def now(self) -> float:
        return self.seconds

    def passes(self, seconds: float) -> None:
        self.seconds += seconds


class FixedMap:
    """Mounts that a test sets up."""

    def __init__(self) -> None:
        self.table = MountTable()
        self.stores: dict[str, WatchedStore] = {}

    def resolve(self, path: LakePath) -> Resolved:
        located = self.table.resolve(path)
        # A test reads only: the watched store has the verbs for that.
        store = self.stores[located.mount.path.text]
        return Resolved(located.mount, located.key, store)  # type: ignore[arg-type]


class TestLake:
    """Files over stores in memory."""

    __test__ = False

    def __init__(self, shelf: Shelf, keeper: Keeper, clock: Clock) -> None:
        self.clock = clock
        self.map = FixedMap()
        self.statuses = Statuses(StatusIndex(shelf.names, shelf.names_writer), clock.now)
        self.keeper = keeper
        self.files = Files(self.map, self.statuses, keeper, clock)

    def mount(
        self,
        path: str,
        contents: Mapping[str, bytes],
        *,
        prefix: str = "",
        sync: Sync = HALF_MINUTE,
        real_directories: bool = False,
    ) -> WatchedStore:
        inner = MemoryStore(path, real_directories=real_directories, clock=self.clock)
        for name, content in contents.items():
            inner.plant(name, content)
        store = WatchedStore(inner)
        mount = Mount(
            LakePath(path),
            f"memory://{path}/{prefix}",
            store.identity,
            StoreKey(prefix),
            readonly=False,
            sync=sync,
        )
        self.map.table = self.map.table.with_mount(mount)
        self.map.stores[path] = store
        return store

    async def names(
        self,
        path: str,
        *,
        caller: Caller = NODE_USER,
        recursive: bool = False,
        after: str = "",
        most: int = 1000,
    ) -> list[str]:
        """All names of a listing, page by page, a directory's with '/'."""
        found: list[str] = []
        begin: str | None = after
        while begin is not None:
            page = await self.files.list(
                caller, LakePath(path), recursive=recursive, after=begin, most=most
            )
            assert len(page.entries) <= most
            found += shown(page)
            begin = page.next_after
        return found


def shown(page: LakePage) -> list[str]:
    return [entry.path.text + ("/" if entry.is_directory else "") for entry in page.entries]


def a_caller(*grants: str) -> Caller:
    return Caller("KEY", tuple(grant_of(grant) for grant in grants))


@asynccontextmanager
async def opened_lake(directory: Path) -> AsyncIterator[TestLake]:
    clock = Clock()
    shelf = open_shelf(
        directory,
        ShelfOptions(names_map_bytes=256 << 20, blocks_map_bytes=64 << 20),
        write=True,
        now=clock.now,
    )
    options = CacheOptions(quota_bytes=1 << 30, free_bytes=0)
    keeper = await open_keeper(shelf, options, clock.now)
    lake = TestLake(shelf, keeper, clock)
    yield lake
    await lake.statuses.close()
    await keeper.close()
    shelf.close()
