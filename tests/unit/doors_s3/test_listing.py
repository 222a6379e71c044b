"""Listings show what S3 would show of the same keys."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.listing import Listing, ListWish, list_keys
from forebay.doors.s3.token import Tokens
from forebay.model.errors import AccessDenied, BadPath
from forebay.model.grants import Caller, Grant, Right
from forebay.model.paths import ROOT, LakePath
from tests.fakes.s3_world import FakeLake

ANYBODY = Caller("k", (Grant(ROOT, Right.READ),))


def a_lake(*keys: str, directories: Iterable[str] = ()) -> FakeLake:
    """A lake whose bucket `box` has these keys."""
    return FakeLake(
        {f"/box/{key}": key.encode() for key in keys},
        directories={f"/box/{name}" for name in directories} | {"/box"},
    )


def texts(listing: Listing) -> list[str]:
    """Keys as they are, common prefixes in angle brackets."""
    return [shown.key if shown.entry is not None else f"<{shown.key}>" for shown in listing.shown]


async def listed(lake: FakeLake, **wishes: object) -> list[str]:
    return texts(await list_keys(lake, ANYBODY, ListWish("box", **wishes)))  # type: ignore[arg-type]


KEYS = ("a/1", "a/2", "a/b/3", "a-b", "a.txt", "ab", "b/x|y", "b/x|z", "c")


@pytest.mark.parametrize(
    ("wishes", "shown"),
    [
        ({}, ["a-b", "a.txt", "a/1", "a/2", "a/b/3", "ab", "b/x|y", "b/x|z", "c"]),
        ({"delimiter": "/"}, ["a-b", "a.txt", "<a/>", "ab", "<b/>", "c"]),
        ({"delimiter": "/", "prefix": "a"}, ["a-b", "a.txt", "<a/>", "ab"]),
        ({"delimiter": "/", "prefix": "a/"}, ["a/1", "a/2", "<a/b/>"]),
        ({"delimiter": "/", "prefix": "a/b"}, ["<a/b/>"]),
        ({"prefix": "a/"}, ["a/1", "a/2", "a/b/3"]),
        ({"prefix": "a/b/3"}, ["a/b/3"]),
        ({"prefix": "a.txt/"}, []),
        ({"prefix": "nothing/"}, []),
        ({"prefix": "/"}, []),
        ({"prefix": "a//"}, []),
        ({"delimiter": "|"}, ["a-b", "a.txt", "a/1", "a/2", "a/b/3", "ab", "<b/x|>", "c"]),
        (
            {"delimiter": "/b/"},
            ["a-b", "a.txt", "a/1", "a/2", "<a/b/>", "ab", "b/x|y", "b/x|z", "c"],
        ),
        ({"after": "a/2"}, ["a/b/3", "ab", "b/x|y", "b/x|z", "c"]),
        ({"after": "a/2", "delimiter": "/"}, ["<a/>", "ab", "<b/>", "c"]),
        ({"after": "a/", "delimiter": "/"}, ["ab", "<b/>", "c"]),
        ({"after": "a/b/9", "delimiter": "/"}, ["ab", "<b/>", "c"]),
        ({"after": "b/x|", "delimiter": "|"}, ["c"]),
        ({"after": "b/x|y", "delimiter": "|"}, ["<b/x|>", "c"]),
        ({"after": "z"}, []),
        ({"most": 2}, ["a-b", "a.txt"]),
        ({"most": 0}, []),
    ],
)
async def test_listings(wishes: dict[str, object], shown: list[str]) -> None:
    assert await listed(a_lake(*KEYS), **wishes) == shown


async def test_empty_directories_are_keys_that_end_in_a_slash() -> None:
    lake = a_lake("a/x", directories=["void", "a/none"])

    assert await listed(lake) == ["a/none/", "a/x", "void/"]
    assert await listed(lake, delimiter="/") == ["<a/>", "<void/>"]
    assert await listed(lake, delimiter="/", prefix="void/") == ["void/"]
    assert await listed(lake, prefix="void/") == ["void/"]
    assert await listed(lake, prefix="void/", after="void/") == []
    assert await listed(lake, delimiter="/", prefix="a/") == ["<a/none/>", "a/x"]
    assert await listed(a_lake()) == []


async def test_a_missing_bucket_is_told_from_a_missing_prefix() -> None:
    lake = a_lake("a")
    for bucket in ("nothing", "file"):
        lake.contents["/file"] = b""
        for wish in (ListWish(bucket), ListWish(bucket, prefix="x/"), ListWish(bucket, most=0)):
            with pytest.raises(Refusal) as caught:
                await list_keys(lake, ANYBODY, wish)
            assert caught.value.code == "NoSuchBucket"


async def test_the_bucket_lake_shows_the_whole_namespace() -> None:
    lake = a_lake("a", "b/c")
    assert texts(await list_keys(lake, ANYBODY, ListWish("lake"))) == ["box/a", "box/b/c"]
    assert texts(await list_keys(lake, ANYBODY, ListWish("lake", delimiter="/"))) == ["<box/>"]
    assert texts(await list_keys(lake, ANYBODY, ListWish("lake", prefix="box/b"))) == ["box/b/c"]


@pytest.mark.parametrize(
    "wish", [{"prefix": "a/../b/"}, {"prefix": ".forebay/"}, {"prefix": "a\n"}]
)
async def test_prefixes_that_no_key_can_have_are_refused(wish: dict[str, str]) -> None:
    with pytest.raises(BadPath):
        await listed(a_lake("a"), **wish)


async def test_dots_may_begin_a_name() -> None:
    assert await listed(a_lake("..a", ".b"), prefix="..") == ["..a"]
    assert await listed(a_lake("..a", ".b"), prefix=".", delimiter="/") == ["..a", ".b"]


async def test_who_may_not_even_pass_is_denied() -> None:
    nobody = Caller("k", (Grant(LakePath("/elsewhere"), Right.READ),))
    for wish in (ListWish("box"), ListWish("box", most=0), ListWish("nothing")):
        with pytest.raises(AccessDenied):
            await list_keys(a_lake("a"), nobody, wish)


async def test_a_generic_delimiter_passes_over_what_it_rolls_up() -> None:
    lake = a_lake(*(f"g|{number:04}" for number in range(3000)), "z")
    lake.page_most = 100

    assert await listed(lake, delimiter="|", most=10) == ["<g|>", "z"]
    assert lake.calls["list"] <= 3


def reference(keys: Iterable[str], wish: ListWish) -> list[str]:
    """What S3 shows, the slow and simple way."""
    shown: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(wish.prefix) or key.encode() <= wish.after.encode():
            continue
        at = key.find(wish.delimiter, len(wish.prefix)) if wish.delimiter else -1
        text = key if at < 0 else f"<{key[: at + len(wish.delimiter)]}>"
        if text not in shown and text != f"<{wish.after}>":
            shown.append(text)
    return shown


NAMES = st.lists(
    st.sampled_from(["a", "b", "aa", "a-", "b|c", "|", "é", "\U00010000"]), min_size=1, max_size=3
)


@settings(max_examples=300, deadline=None)
@given(
    st.sets(NAMES.map("/".join), max_size=12),
    st.sampled_from(["", "a", "a/", "b/a", "a/a/", "|", "é"]),
    st.sampled_from(["", "/", "|", "a/"]),
    st.integers(1, 4),
    st.integers(1, 3),
)
async def test_pages_that_follow_each_other_show_what_s3_shows(
    keys: set[str], prefix: str, delimiter: str, most: int, page_most: int
) -> None:
    # A file has nothing below it.
    files = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    lake = a_lake(*files)
    lake.page_most = page_most
    shown: list[str] = []
    wish = ListWish("box", prefix, delimiter, most=most)
    while True:
        listing = await list_keys(lake, ANYBODY, wish)
        assert len(listing.shown) <= most
        shown += texts(listing)
        if not listing.truncated:
            break
        wish = ListWish("box", prefix, delimiter, listing.last, most)

    assert shown == reference(files, ListWish("box", prefix, delimiter))


@settings(max_examples=300, deadline=None)
@given(
    st.sets(NAMES.map("/".join), max_size=12),
    NAMES.map("/".join),
    st.sampled_from(["", "/", "|"]),
)
async def test_a_listing_may_start_after_anything(
    keys: set[str], after: str, delimiter: str
) -> None:
    files = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    wish = ListWish("box", "", delimiter, after)

    assert texts(await list_keys(a_lake(*files), ANYBODY, wish)) == reference(files, wish)


def test_tokens_go_on_where_they_were_made_and_nowhere_else() -> None:
    tokens = Tokens(b"secret")
    token = tokens.token("box\0p\0/", "p/ä")

    assert tokens.key("box\0p\0/", token) == "p/ä"
    for listing, given_token in (
        ("box\0q\0/", token),
        ("box\0p\0/", token[:-4]),
        ("box\0p\0/", "AAAA" + token[4:]),
        ("box\0p\0/", "no token"),
        ("box\0p\0/", "ä"),
        ("box\0p\0/", ""),
        ("box\0p\0/", Tokens(b"other").token("box\0p\0/", "p/ä")),
    ):
        with pytest.raises(Refusal):
            tokens.key(listing, given_token)
