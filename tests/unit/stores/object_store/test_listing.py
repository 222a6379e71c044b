"""Listings of buckets come in whole-key order and whole, however the store orders them."""

from collections.abc import Iterable
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.model.errors import FileMissing, NotADirectory
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.status import Page, order_of
from forebay.stores.object_store.address import Address
from forebay.stores.object_store.credentials import Credentials, FixedSource
from forebay.stores.object_store.listing import Listing
from forebay.stores.object_store.signed import SignedClient
from forebay.stores.object_store.statuses import Statuses
from tests.fakes.s3_listing import ListedBucket

SEAWEED = "SeaweedFS 4"


def listing_of(bucket: ListedBucket, *, by_tree: bool | None = None) -> Listing:
    client = SignedClient(
        Address("http", "s3.test", 80, "lake", "us-east-1", path_style=True, is_aws=False),
        FixedSource(Credentials("id", "secret"), "the test"),
        httpx.AsyncClient(transport=bucket.transport()),
        lambda: datetime(2024, 5, 6, tzinfo=UTC),
    )
    return Listing(client, Statuses(client), by_tree=by_tree)


async def pages_of(
    bucket: ListedBucket, directory: str = "", *, recursive: bool, most: int, afresh: bool = False
) -> list[Page]:
    listing = listing_of(bucket)
    found: list[Page] = []
    after: str | None = ""
    while after is not None:
        assert len(found) < 200, "the listing does not end"
        # `afresh`: each page by another node, which knows nothing of the store yet.
        listing = listing_of(bucket) if afresh else listing
        page = await listing.page(StoreKey(directory), recursive=recursive, after=after, most=most)
        assert len(page.entries) <= most
        found.append(page)
        after = page.next_after
    return found


def names_of(pages: Iterable[Page]) -> list[str]:
    return [order_of(entry).decode() for page in pages for entry in page.entries]


def expected_names(keys: Iterable[str], *, recursive: bool) -> list[str]:
    files = {key for key in keys if not key.endswith("/")}
    if recursive:
        return sorted(files, key=str.encode)
    shown = {
        name if not deeper else name + "/" for name, deeper, _ in (k.partition("/") for k in keys)
    }
    return sorted(shown, key=str.encode)


names = st.text(alphabet="a-.0é", min_size=1, max_size=3).filter(lambda name: name.strip("."))
keys = st.builds(
    lambda parts, marker: "/".join(parts) + marker,
    st.lists(names, min_size=1, max_size=3),
    st.sampled_from(("", "", "", "/")),
)


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(("by_tree", "server"), [(False, "S3"), (True, SEAWEED)])
@pytest.mark.parametrize("afresh", [False, True])
@given(keys=st.sets(keys, max_size=14), most=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
async def test_pages_join_to_the_whole_bucket_in_order(
    keys: set[str], most: int, recursive: bool, by_tree: bool, server: str, afresh: bool
) -> None:
    bucket = ListedBucket(keys, by_tree=by_tree, server=server)
    found = await pages_of(bucket, recursive=recursive, most=most, afresh=afresh)
    assert names_of(found) == expected_names(keys, recursive=recursive)


@given(keys=st.sets(keys, max_size=14), most=st.integers(1, 5), after=keys)
@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(("by_tree", "server"), [(False, "S3"), (True, SEAWEED)])
@settings(max_examples=60, deadline=None)
async def test_a_page_begins_after_any_key(
    keys: set[str], most: int, after: str, recursive: bool, by_tree: bool, server: str
) -> None:
    bucket = ListedBucket(keys, by_tree=by_tree, server=server)
    page = await listing_of(bucket).page(STORE_ROOT, recursive=recursive, after=after, most=most)
    expected = [
        name for name in expected_names(keys, recursive=recursive) if name.encode() > after.encode()
    ]
    assert names_of([page]) == expected[:most]
    if len(expected) > most:
        assert page.next_after is not None


@pytest.mark.parametrize("recursive", [False, True])
async def test_a_store_by_tree_behind_a_proxy_is_found_out(recursive: bool) -> None:
    keys = {"a/1", "a-b", "a0"}
    bucket = ListedBucket(keys, by_tree=True, server="proxy")
    found = await pages_of(bucket, recursive=recursive, most=100)
    assert names_of(found) == expected_names(keys, recursive=recursive)


async def test_a_store_by_tree_can_be_told_so() -> None:
    keys = {"a/1", "a-b", "a0"}
    listing = listing_of(ListedBucket(keys, by_tree=True, server="proxy"), by_tree=True)
    page = await listing.page(STORE_ROOT, recursive=True, after="", most=1)
    assert names_of([page]) == ["a-b"]


async def test_a_thousand_files_cost_one_request_in_key_order() -> None:
    bucket = ListedBucket(f"d/{number:04d}/x" for number in range(1000))
    page = await listing_of(bucket).page(STORE_ROOT, recursive=True, after="", most=1000)
    assert len(page.entries) == 1000
    assert page.next_after is None
    assert len(bucket.requests) == 1


async def test_keys_that_no_path_can_name_are_counted() -> None:
    bucket = ListedBucket({"d/a//b", "d/./x", "d/../y", "d/c\x01", "d/.forebay/x", "d/ok"})
    for recursive in (False, True):
        for most in (1, 100):
            found = await pages_of(bucket, "d", recursive=recursive, most=most)
            assert {name for name in names_of(found) if name.startswith("d/a")} <= {"d/a/"}
            assert "d/ok" in names_of(found)
            # Directly in `d`, what is wrong with `a//b` is inside the directory `a`.
            assert sum(page.unaddressable for page in found) == (5 if recursive else 4)


async def test_an_empty_object_makes_a_directory_and_is_no_entry_of_it() -> None:
    bucket = ListedBucket({"d/", "d/e/"})
    listing = listing_of(bucket)
    assert names_of([await listing.page(StoreKey("d"), recursive=False, after="", most=9)]) == [
        "d/e/"
    ]
    assert await listing.page(StoreKey("d"), recursive=True, after="", most=9) == Page(())
    assert await listing.page(StoreKey("d/e"), recursive=False, after="", most=9) == Page(())


async def test_a_missing_prefix_is_missing_and_a_file_is_no_directory() -> None:
    listing = listing_of(ListedBucket({"d/a", "dir"}))
    for after in ("", "none/x", "zzz"):
        with pytest.raises(FileMissing):
            await listing.page(StoreKey("none"), recursive=False, after=after, most=9)
    with pytest.raises(NotADirectory):
        await listing.page(StoreKey("d/a"), recursive=True, after="", most=9)


async def test_an_empty_bucket_has_a_root_that_is_empty() -> None:
    listing = listing_of(ListedBucket(()))
    assert await listing.page(STORE_ROOT, recursive=False, after="", most=9) == Page(())


async def test_times_are_whole_seconds_as_a_head_tells_them() -> None:
    page = await listing_of(ListedBucket({"a"})).page(STORE_ROOT, recursive=True, after="", most=1)
    assert page.entries[0].modified_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
