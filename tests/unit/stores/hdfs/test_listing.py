"""Listings are in whole-key order, however HDFS orders and cuts its pages."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forebay.model.errors import FileMissing, NotADirectory
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.status import FileStatus, Kind, from_milliseconds, order_of
from forebay.stores.hdfs.listing import Batch, Listings, entry_of


class SignedDirectories:
    """A tree that is listed as HDFS does: names by signed bytes, `limit` at a time."""

    def __init__(self, paths: Iterable[str], limit: int) -> None:
        self.files: set[str] = set()
        self.directories = {""}
        self.limit = limit
        self.fetches = 0
        self.asks = 0
        self.changes = 0
        for path in paths:
            self.add(path)

    def add(self, path: str) -> None:
        self.changes += 1
        parts = path.rstrip("/").split("/")
        for end in range(1, len(parts)):
            self.directories.add("/".join(parts[:end]))
        (self.directories if path.endswith("/") else self.files).add("/".join(parts))

    def remove(self, path: str) -> None:
        self.changes += 1
        self.files.remove(path)

    def is_consistent(self) -> bool:
        return not self.files & self.directories

    def status(self, key: StoreKey) -> FileStatus:
        if key.text in self.directories:
            return FileStatus(key, Kind.DIRECTORY, modified_at=from_milliseconds(self.changes))
        if key.text in self.files:
            return FileStatus(key, Kind.FILE)
        raise FileMissing(key)

    async def ask(self, key: StoreKey) -> FileStatus:
        self.asks += 1
        return self.status(key)

    async def fetch(self, directory: StoreKey, after: str) -> Batch:
        self.fetches += 1
        if not self.status(directory).is_directory:
            raise NotADirectory(directory)
        prefix = f"{directory.text}/" if directory.text else ""
        names = sorted(
            {
                path[len(prefix) :].partition("/")[0]
                for path in self.files | self.directories
                if path.startswith(prefix) and path != directory.text
            },
            key=signed,
        )
        left = [name for name in names if signed(name) > signed(after)]
        entries = (entry_of(directory, name, self.status) for name in left[: self.limit])
        return Batch(tuple(entries), more=len(left) > self.limit)

    def expected(self, directory: str, *, recursive: bool) -> list[str]:
        prefix = f"{directory}/" if directory else ""
        below = [path for path in self.files if path.startswith(prefix)]
        inner = [path for path in self.directories if path.startswith(prefix) and path]
        every = self.files | self.directories
        if recursive:
            empty = [
                path
                for path in inner
                if path != directory and not any(other.startswith(f"{path}/") for other in every)
            ]
            found = below + [f"{path}/" for path in empty]
        else:
            found = [path for path in below if "/" not in path[len(prefix) :]]
            found += [f"{path}/" for path in inner if "/" not in path[len(prefix) :]]
        return sorted(found, key=str.encode)


def signed(name: str) -> list[int]:
    return [byte - 256 if byte > 127 else byte for byte in name.encode()]


async def listed(
    listings: Listings, directory: str, *, recursive: bool, most: int, after: str = ""
) -> list[str]:
    found: list[str] = []
    following: str | None = after
    while following is not None:
        page = await listings.page(
            StoreKey(directory), recursive=recursive, after=following, most=most
        )
        found += [order_of(status).decode() for status in page.entries]
        following = page.next_after
    return found


letters = st.sampled_from(["a", "b", "-", ".", "0", "é", "湖", "🌊"])
name = st.text(letters, min_size=1, max_size=4).filter(lambda text: text not in (".", ".."))
path = st.lists(name, min_size=1, max_size=3).map("/".join)
trees = st.lists(st.one_of(path, path.map(lambda text: f"{text}/")), max_size=25)


@example(["0", "-é"], 1, 1, False, "-0")
@example(["a0", "aé"], 1, 1, False, "")
@given(
    trees,
    st.integers(1, 7),
    st.integers(1, 5),
    st.booleans(),
    st.one_of(st.just(""), path, path.map(lambda text: f"{text}/")),
)
@settings(max_examples=300, deadline=None)
def test_any_tree_is_listed_in_order_from_any_key(
    paths: list[str], limit: int, most: int, recursive: bool, after: str
) -> None:
    tree = SignedDirectories(paths, limit)
    if not tree.is_consistent():
        return
    listings = Listings(tree.fetch, tree.ask)
    for start in ("", after):
        expected = [
            text
            for text in tree.expected("", recursive=recursive)
            if text.encode() > start.encode()
        ]
        found = listed(listings, "", recursive=recursive, most=most, after=start)
        assert asyncio.run(found) == expected


@given(trees, st.integers(1, 3), st.integers(1, 3), name, name)
@settings(max_examples=200, deadline=None)
def test_names_that_stay_are_listed_once_while_others_come_and_go(
    paths: list[str], limit: int, most: int, coming: str, going: str
) -> None:
    tree = SignedDirectories([*paths, going], limit)
    if not tree.is_consistent() or coming in tree.directories:
        return
    staying = set(tree.expected("", recursive=False)) - {coming, going}

    async def listing() -> list[str]:
        listings = Listings(tree.fetch, tree.ask)
        first = await listings.page(STORE_ROOT, recursive=False, after="", most=most)
        tree.add(coming)
        if coming != going:
            tree.remove(going)
        found = [order_of(status).decode() for status in first.entries]
        if first.next_after is not None:
            after = first.next_after
            found += await listed(listings, "", recursive=False, most=most, after=after)
        return found

    found = asyncio.run(listing())
    assert found == sorted(set(found), key=str.encode)
    assert staying <= set(found)


async def test_a_small_directory_costs_one_request() -> None:
    tree = SignedDirectories(["a", "b/x", "é"], limit=1000)
    await listed(Listings(tree.fetch, tree.ask), "", recursive=False, most=1000)
    assert (tree.fetches, tree.asks) == (1, 0)


@pytest.mark.parametrize("pattern", ["part-{:05d}", "dt={:05d}/x", "é-{:05d}"])
async def test_a_large_directory_is_read_about_once(pattern: str) -> None:
    tree = SignedDirectories([pattern.format(number) for number in range(5000)], limit=100)
    found = await listed(Listings(tree.fetch, tree.ask), "", recursive=False, most=100)
    assert len(found) == 5000
    assert tree.fetches <= 3 * 50 + 10


async def test_a_directory_of_files_and_directories_of_one_beginning_is_read_about_once() -> None:
    names = [f"{number:04d}{end}" for number in range(1000) for end in ("/x", "-b", ".c", "é")]
    tree = SignedDirectories(names, limit=100)
    found = await listed(Listings(tree.fetch, tree.ask), "", recursive=False, most=100)
    assert found == tree.expected("", recursive=False)
    assert tree.fetches <= 4 * 40 + 10
