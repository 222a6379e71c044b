"""Listings of the lake: mounts and stores in one order, pages that fit together."""

import pytest

from forebay.model.errors import FileMissing, NotADirectory, StoreAway
from forebay.model.grants import NODE_USER
from forebay.model.paths import LakePath
from forebay.model.status import Kind
from tests.unit.files.lake import TestLake


async def test_the_root_shows_what_is_mounted_and_asks_no_store(lake: TestLake) -> None:
    onprem = lake.mount("/onprem", {"a": b"1"})
    onprem.is_away = True
    lake.mount("/deep/er/one", {"b": b"1"})

    assert await lake.names("/") == ["/deep/", "/onprem/"]
    assert await lake.names("/deep") == ["/deep/er/"]
    assert (await lake.files.stat(NODE_USER, LakePath("/deep"))).kind is Kind.DIRECTORY
    assert (await lake.files.stat(NODE_USER, LakePath("/"))).kind is Kind.DIRECTORY
    with pytest.raises(FileMissing):
        await lake.names("/nowhere")


async def test_a_lake_without_mounts_is_empty(lake: TestLake) -> None:
    assert await lake.names("/") == []


async def test_mounts_show_in_their_parent_and_hide_what_has_their_name(lake: TestLake) -> None:
    lake.mount("/a", {"b/hidden": b"1", "c": b"1", "n/x": b"1", "m": b"file"})
    lake.mount("/a/b", {"seen": b"1"})
    lake.mount("/a/m/inner", {"y": b"1"})

    assert await lake.names("/a") == ["/a/b/", "/a/c", "/a/m/", "/a/n/"]
    assert await lake.names("/a/b") == ["/a/b/seen"]
    assert await lake.names("/a/m") == ["/a/m/inner/"]
    assert await lake.names("/a", recursive=True) == [
        "/a/b/seen",
        "/a/c",
        "/a/m/inner/y",
        "/a/n/x",
    ]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("real_directories", [False, True])
async def test_pages_of_any_size_make_the_same_listing(
    lake: TestLake, most: int, real_directories: bool
) -> None:
    names = ["a", "a-b", "a.b/x", "a0", "d/e/f", "d/e/g", "d/e.x", "d/z", "é/ü", "z"]
    lake.mount(
        "/m",
        {f"p/{name}": b"1" for name in names},
        prefix="p",
        real_directories=real_directories,
    )
    lake.mount("/m/d/mount", {"k": b"1", "l/m": b"1"})

    flat = await lake.names("/m", most=most)
    deep = await lake.names("/m", recursive=True, most=most)

    assert flat == ["/m/a", "/m/a-b", "/m/a.b/", "/m/a0", "/m/d/", "/m/z", "/m/é/"]
    assert deep == sorted(
        [*(f"/m/{name}" for name in names), "/m/d/mount/k", "/m/d/mount/l/m"],
        key=str.encode,
    )


async def test_a_listing_begins_behind_any_text(lake: TestLake) -> None:
    lake.mount("/m", {"a": b"", "b/x": b"", "b/y/z": b"", "b.c": b"", "c": b""})
    everything = ["/m/a", "/m/b.c", "/m/b/x", "/m/b/y/z", "/m/c"]
    for after in (
        "",
        "m/",
        "m/a",
        "m/b",
        "m/b.",
        "m/b/",
        "m/b/x",
        "m/b/y",
        "m/b/y/zz",
        "m/b/\U0010ffff",
    ):
        expected = [name for name in everything if name[1:].encode() > after.encode()]
        assert await lake.names("/m", recursive=True, after=after) == expected, after
    assert await lake.names("/m", recursive=True, after="l") == everything
    assert await lake.names("/m", recursive=True, after="n") == []
    assert await lake.names("/m", after="m/b") == ["/m/b.c", "/m/b/", "/m/c"]
    assert await lake.names("/m", after="m/" + "b" * 5000) == ["/m/c"]


async def test_empty_directories_show_in_a_recursive_listing(lake: TestLake) -> None:
    lake.mount("/m", {"a/b/": b"", "a/c": b""}, real_directories=True)

    assert await lake.names("/m", recursive=True) == ["/m/a/b/", "/m/a/c"]
    assert await lake.names("/m", recursive=True, after="m/a/b/") == ["/m/a/c"]


async def test_a_mounted_prefix_that_is_empty_is_a_directory(lake: TestLake) -> None:
    lake.mount("/m", {"other": b""}, prefix="new")

    assert await lake.names("/m") == []
    status = await lake.files.stat(NODE_USER, LakePath("/m"))
    assert (status.kind, status.mount) == (Kind.DIRECTORY, LakePath("/m"))
    with pytest.raises(FileMissing, match="/m/x"):
        await lake.names("/m/x")


async def test_a_file_is_not_listed(lake: TestLake) -> None:
    lake.mount("/m", {"a": b""})
    for recursive in (False, True):
        with pytest.raises(NotADirectory, match="/m/a"):
            await lake.names("/m/a", recursive=recursive)


async def test_a_warm_listing_asks_no_store_and_tells_its_age(lake: TestLake) -> None:
    store = lake.mount("/m", {"a": b"", "b/c": b"", "d/e": b""})
    await lake.names("/m", recursive=True)
    before = store.asked.copy()
    lake.clock.passes(7)

    page = await lake.files.list(NODE_USER, LakePath("/m"), recursive=True)

    assert store.asked == before
    assert {entry.age.total_seconds() for entry in page.entries} == {7}
    assert page.age.total_seconds() == 7
    assert not page.partial


async def test_a_walk_asks_for_each_directory_once(lake: TestLake) -> None:
    store = lake.mount("/m", {f"d{number:02d}/f": b"" for number in range(30)})

    walked = [status.path.text async for status in lake.files.walk(NODE_USER, LakePath("/m"))]

    assert walked == [f"/m/d{number:02d}/f" for number in range(30)]
    assert store.asked == {"list": 31}


async def test_a_store_that_goes_away_ends_a_walk_with_unknown(lake: TestLake) -> None:
    store = lake.mount("/m", {f"d{number:02d}/f": b"" for number in range(30)})
    store.fails_after = 12

    with pytest.raises(StoreAway):
        await lake.names("/m", recursive=True)


async def test_names_that_are_no_lake_paths_are_counted(lake: TestLake) -> None:
    lake.mount("/m", {"a": b"", ".forebay/x": b"", "b\n": b""})

    page = await lake.files.list(NODE_USER, LakePath("/m"))

    assert page.unaddressable == 2
