"""Mounts: the longest wins, and resolving and un-resolving are inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model.errors import FileMissing
from forebay.model.generation import StoreIdentity
from forebay.model.paths import LakePath, StoreKey
from forebay.namespace.mounts import Mount, MountTable, table_of
from forebay.namespace.options import SYNC

# Few names, so that mounts nest, overlap and hide one another.
NAMES = st.sampled_from(["a", "b", "ab"])
PATHS = st.lists(NAMES, max_size=4).map(lambda names: LakePath("/" + "/".join(names)))
KEYS = st.lists(NAMES, max_size=4).map(lambda names: StoreKey("/".join(names)))
STORES = st.sampled_from(["s3://one", "hdfs://two"]).map(StoreIdentity)


def a_mount(path: LakePath, store: StoreIdentity, prefix: StoreKey) -> Mount:
    return Mount(path, f"{store}/{prefix}", store, prefix, readonly=False, sync=SYNC.default)


MOUNTS = st.builds(a_mount, PATHS, STORES, KEYS)
TABLES = st.lists(MOUNTS, max_size=6, unique_by=lambda mount: mount.path).map(table_of)


def apart(mounts: list[Mount]) -> bool:
    """Whether no two of the mounts overlap, in the lake or in a store."""
    return not any(
        one.path.is_under(other.path)
        or (one.store == other.store and one.prefix.is_under(other.prefix))
        for one in mounts
        for other in mounts
        if one is not other
    )


def naive(table: MountTable, path: LakePath) -> tuple[Mount, str] | None:
    """Look at all mounts, part by part, and take the one with the most parts."""
    wanted = path.parts
    fitting = [m for m in table.mounts if wanted[: len(m.path.parts)] == m.path.parts]
    if not fitting:
        return None
    mount = max(fitting, key=lambda m: len(m.path.parts))
    names = [n for n in mount.prefix.text.split("/") if n] + list(wanted[len(mount.path.parts) :])
    return mount, "/".join(names)


@given(TABLES, PATHS)
def test_the_longest_mount_wins(table: MountTable, path: LakePath) -> None:
    expected = naive(table, path)
    if expected is None:
        with pytest.raises(FileMissing):
            table.resolve(path)
        return

    found = table.resolve(path)

    assert (found.mount, found.key.text) == expected


@given(st.lists(MOUNTS, max_size=5, unique_by=lambda mount: mount.path).filter(apart), PATHS)
def test_without_overlap_resolving_and_unresolving_are_inverse(
    mounts: list[Mount], path: LakePath
) -> None:
    table = table_of(mounts)
    found = table.find(path)
    if found is None:
        return

    assert table.unresolve(found.mount.store, found.key) == [path]
    assert table.preferred(found.mount.store, found.key) == path


@given(TABLES, PATHS)
def test_a_path_is_among_those_that_its_key_has(table: MountTable, path: LakePath) -> None:
    found = table.find(path)
    if found is None:
        return

    assert path in table.unresolve(found.mount.store, found.key)


@given(TABLES, STORES, KEYS)
def test_each_path_of_a_key_leads_to_it(
    table: MountTable, store: StoreIdentity, key: StoreKey
) -> None:
    paths = table.unresolve(store, key)

    assert len(set(paths)) == len(paths)
    for path in paths:
        found = table.resolve(path)
        assert (found.mount.store, found.key) == (store, key)


@given(st.lists(MOUNTS, max_size=6, unique_by=lambda mount: mount.path), STORES, KEYS, st.randoms())
def test_with_overlap_one_path_is_preferred_whatever_the_order(
    mounts: list[Mount], store: StoreIdentity, key: StoreKey, chance: object
) -> None:
    table = table_of(mounts)
    preferred = table.preferred(store, key)
    chance.shuffle(mounts)  # type: ignore[attr-defined]

    assert table_of(mounts).preferred(store, key) == preferred
    if preferred is not None:
        longest = max(len(table.resolve(p).mount.prefix.text) for p in table.unresolve(store, key))
        assert len(table.resolve(preferred).mount.prefix.text) == longest


@given(TABLES, PATHS)
def test_each_mount_shows_in_the_directories_that_lead_to_it(
    table: MountTable, directory: LakePath
) -> None:
    shown = table.names_in(directory)

    assert set(shown) == {
        mount.path.parts[len(directory.parts)]
        for mount in table.mounts
        if mount.path != directory and mount.path.is_under(directory)
    }
    assert list(shown) == sorted(set(shown))


@given(TABLES, MOUNTS)
def test_mounting_and_unmounting_leaves_the_table_as_it_was(
    table: MountTable, mount: Mount
) -> None:
    if any(other.path == mount.path for other in table.mounts):
        return

    assert table.with_mount(mount).without(mount.path) == table
