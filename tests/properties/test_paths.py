"""Paths: what is printed can be parsed, and no key leaves its mount."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model.errors import BadPath
from forebay.model.generation import StoreIdentity
from forebay.model.paths import LakePath, StoreKey, lake_path
from forebay.model.quantities import (
    bandwidth_of,
    bandwidth_text,
    duration_of,
    duration_text,
    frequency_of,
    frequency_text,
    size_of,
    size_text,
)
from forebay.namespace.mounts import Mount, table_of
from forebay.namespace.options import SYNC, Sync, sync_of
from forebay.namespace.uri import Scheme, store_uri

ANY_TEXT = st.text(max_size=40) | st.from_regex(r"(/|\.|\.\.|a|%2e|é|\x00)*", fullmatch=True)
NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=20
).filter(lambda name: name not in {".", "..", ".forebay"})
PARTS = st.lists(NAMES, max_size=5)


@given(ANY_TEXT)
def test_what_is_taken_as_a_path_prints_as_it_was_typed(text: str) -> None:
    try:
        path = LakePath(text)
    except BadPath:
        return

    assert str(path) == text
    assert LakePath(str(path)) == path
    assert lake_path(str(path)) == path


@given(PARTS)
def test_every_path_of_good_names_is_taken(names: list[str]) -> None:
    path = LakePath("/" + "/".join(names))

    assert path.parts == tuple(names)
    assert LakePath(str(path)) == path


@given(PARTS, ANY_TEXT)
def test_a_name_below_a_path_stays_below_it(names: list[str], text: str) -> None:
    path = LakePath("/" + "/".join(names))
    try:
        below = path / text
    except BadPath:
        return

    assert below.is_under(path)
    assert path / below.below(path) == below


@given(PARTS, PARTS, ANY_TEXT)
def test_no_key_leaves_its_mount(at: list[str], prefix: list[str], text: str) -> None:
    path = LakePath("/" + "/".join(at))
    store = StoreIdentity("s3://aws/bucket")
    key = StoreKey("/".join(prefix))
    table = table_of([Mount(path, "s3://bucket", store, key, readonly=False, sync=SYNC.default)])
    try:
        asked = LakePath(f"{'' if path.is_root else path}/{text}")
    except BadPath:
        return

    found = table.resolve(asked)

    assert found.key.is_under(key)
    assert ".." not in found.key.text.split("/")
    assert not found.key.text.startswith("/")


@given(PARTS, st.sampled_from(["s3://bucket", "hdfs://nn:8020", "hdfs://", "file://"]))
def test_a_store_uri_prints_as_it_was_typed(names: list[str], root: str) -> None:
    uri = store_uri(f"{root}/{'/'.join(names)}")

    assert store_uri(str(uri)) == uri
    assert store_uri(f"{uri}/" if names else str(uri)) == uri
    if uri.scheme is not Scheme.FILE:
        assert uri.key.text == "/".join(names)


@given(st.integers(0, 10**12))
def test_a_duration_prints_as_it_is_read(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)

    assert duration_of(duration_text(duration)) == duration
    assert sync_of(str(Sync(duration))) == Sync(duration)


@pytest.mark.parametrize("text", ["1.5h", "90m", "5400s", "5400000ms"])
def test_one_duration_may_be_written_in_several_ways(text: str) -> None:
    assert duration_text(duration_of(text)) == "90m"


@given(st.integers(0, 1 << 62))
def test_a_size_prints_as_it_is_read(size: int) -> None:
    assert size_of(size_text(size)) == size


@given(st.integers(1, 1 << 50))
def test_a_rate_prints_as_it_is_read(amount: int) -> None:
    assert bandwidth_of(bandwidth_text(amount)) == amount
    assert frequency_of(frequency_text(amount)) == amount
