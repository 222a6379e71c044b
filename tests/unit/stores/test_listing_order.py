"""Listings of the memory store and of local files, against a model that anybody can follow."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.model.paths import StoreKey, fault_of_key
from forebay.model.status import order_of
from forebay.stores.contract import Store
from forebay.stores.local_files.store import LocalFilesStore
from forebay.stores.memory import MemoryStore

# Few letters, so that names meet: those around '/' in the order, one of several bytes, and a bell,
# with which no name can be addressed.
NAMES = st.text("a-0\u6e56\x07", min_size=1, max_size=2)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.lists(PATHS, max_size=12, unique=True)

Fill = Callable[[list[str], Path], Store]


def in_memory(paths: list[str], folder: Path) -> Store:
    del folder
    store = MemoryStore()
    for path in paths:
        store.plant(path)
    return store


def in_memory_with_directories(paths: list[str], folder: Path) -> Store:
    del folder
    store = MemoryStore(real_directories=True)
    for path in paths:
        store.plant(path)
    return store


def on_disk(paths: list[str], folder: Path) -> Store:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return LocalFilesStore(folder)


def without_conflicts(paths: list[str]) -> list[str]:
    """The paths, but for those that lie below another one: a file has nothing below it."""
    return [path for path in paths if not any(path.startswith(f"{other}/") for other in paths)]


def expected_names(paths: list[str], prefix: str, *, recursive: bool, after: str) -> list[str]:
    """What a listing shows, by collapsing, sorting and cutting."""
    shown = set()
    for path in paths:
        if not path.startswith(prefix):
            continue
        rest = path[len(prefix) :]
        name = path if recursive or "/" not in rest else prefix + rest.split("/")[0] + "/"
        if fault_of_key(name.removesuffix("/")) is None and name > after:
            shown.add(name)
    return sorted(shown, key=str.encode)


async def listed(
    store: Store, directory: str, *, recursive: bool, after: str, most: int
) -> list[str]:
    found: list[str] = []
    following: str | None = after
    while following is not None:
        page = await store.list(
            StoreKey(directory), recursive=recursive, after=following, most=most
        )
        assert len(page.entries) <= most
        found += [
            order_of(status).decode() for status in page.entries if status.is_file or not recursive
        ]
        following = page.next_after
    return found


@pytest.mark.parametrize("fill", [in_memory, in_memory_with_directories, on_disk])
@settings(max_examples=60, deadline=None)
@given(
    paths=TREES.map(without_conflicts),
    recursive=st.booleans(),
    after=st.one_of(st.just(""), PATHS, PATHS.map("{}/".format)),
    most=st.integers(1, 4),
    data=st.data(),
)
def test_a_listing_is_what_the_model_says(
    fill: Fill, paths: list[str], recursive: bool, after: str, most: int, data: st.DataObject
) -> None:
    parents = sorted({"", *(path.rpartition("/")[0] for path in paths)})
    directory = data.draw(st.sampled_from([p for p in parents if fault_of_key(p) is None]))
    prefix = f"{directory}/" if directory else ""
    with tempfile.TemporaryDirectory() as folder:
        store = fill(paths, Path(folder))
        found = asyncio.run(listed(store, directory, recursive=recursive, after=after, most=most))
    assert found == expected_names(paths, prefix, recursive=recursive, after=after)
