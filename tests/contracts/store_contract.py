"""The conformance suite of stores: one test a promise of `forebay.stores.contract`.

A store's test module derives a class from `StoreContract` and provides three fixtures::

    class TestMyStore(StoreContract):
        part_bytes = 5 << 20  # the least a part of an upload may have, but for the last

        @pytest.fixture
        async def store(self) -> AsyncIterator[Store]: ...  # an empty one

        @pytest.fixture
        def outsider(self, store: Store) -> Outsider: ...  # writes any name, behind our back

Nothing is skipped: where a promise depends on an ability, its other half is asserted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from forebay.model.conditions import IfAbsent, IfUnchanged
from forebay.model.errors import (
    BadPath,
    ConditionFailed,
    DirectoryNotEmpty,
    FileExists,
    FileMissing,
    ForebayError,
    GenerationGone,
    NotADirectory,
    NotAFile,
    StoreAway,
    StoreLied,
    Unsupported,
    UploadMissing,
)
from forebay.model.generation import Fingerprint
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.ranges import ByteRange, whole
from forebay.model.status import FileStatus, Page, order_of
from forebay.stores.contract import Chunk, PartStatus, Store, WriteOptions, pieces, read

Outsider = Callable[[str, bytes], Awaitable[None]]
"""Puts a file of any name into the store, as somebody would who knows no store keys."""

PLAIN = WriteOptions()
MEBIBYTE = 1 << 20


class Interrupted(Exception):
    """What a body of these tests breaks off with."""


def key(text: str) -> StoreKey:
    return StoreKey(text)


async def put(store: Store, text: str, content: bytes = b"") -> FileStatus:
    return await store.write(key(text), pieces(content), PLAIN)


async def content_of(store: Store, text: str) -> bytes:
    status = await store.stat(key(text))
    return await read(store, status, whole(status.size))


async def pages_of(
    store: Store, text: str = "", *, recursive: bool = False, most: int = 1000, after: str = ""
) -> list[Page]:
    """All pages, to the last; a walk that does not end is stopped."""
    found: list[Page] = []
    following: str | None = after
    while following is not None:
        assert len(found) < 500, "the listing does not end"
        page = await store.list(key(text), recursive=recursive, after=following, most=most)
        assert len(page.entries) <= most
        found.append(page)
        following = page.next_after
    return found


def names(statuses: Sequence[FileStatus]) -> list[str]:
    return [order_of(status).decode() for status in statuses]


async def names_in(
    store: Store, text: str = "", *, recursive: bool = False, most: int = 1000, after: str = ""
) -> list[str]:
    found = await pages_of(store, text, recursive=recursive, most=most, after=after)
    return [name for page in found for name in names(page.entries)]


async def is_there(store: Store, text: str) -> bool:
    try:
        await store.stat(key(text))
    except FileMissing:
        return False
    return True


async def breaking_off(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise Interrupted


class StalledBody:
    """A body that gives some bytes and then no more, for ever."""

    def __init__(self, first: bytes) -> None:
        self._first = first
        self.is_stalled = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._first
        self.is_stalled.set()
        await asyncio.Event().wait()


async def cancelled(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def patterned(size: int) -> bytes:
    """Content of which each part looks like no other part, the same in each run."""
    return Random(7).randbytes(size)  # noqa: S311 - nothing secret hangs on it


class StoreContract:
    """The promises. `store` is empty at the beginning of each test."""

    part_bytes: int = 16
    unaddressable_name: str = "bell\x07"

    # --- who it is, and whether it is there

    async def test_its_identity_is_a_text_that_stays(self, store: Store) -> None:
        assert store.identity.text
        assert store.identity == store.identity

    async def test_a_check_tells_facts_for_people(self, store: Store) -> None:
        facts = await store.check()
        assert facts
        assert all(isinstance(text, str) for pair in facts.items() for text in pair)

    async def test_its_clock_runs_in_utc_or_is_none(self, store: Store) -> None:
        moment = await store.now()
        assert (moment is not None) == store.abilities.clock
        assert moment is None or moment.utcoffset() == timedelta(0)

    async def test_a_closed_store_answers_no_more(self, store: Store) -> None:
        await put(store, "a", b"x")
        await store.close()
        await store.close()
        with pytest.raises(StoreAway):
            await store.stat(key("a"))

    # --- statuses

    async def test_a_file_has_a_status(self, store: Store) -> None:
        before = datetime.now(UTC) - timedelta(minutes=1)
        await put(store, "d/a", b"hello")
        status = await store.stat(key("d/a"))
        assert (status.key, status.is_file, status.size) == (key("d/a"), True, 5)
        assert status.fingerprint != Fingerprint("")
        assert status.modified_at is not None
        assert status.modified_at.utcoffset() == timedelta(0)
        assert status.modified_at.microsecond % 1000 == 0
        assert before < status.modified_at < datetime.now(UTC) + timedelta(minutes=1)

    async def test_a_write_returns_the_status_that_stat_then_tells(self, store: Store) -> None:
        written = await put(store, "a", b"hello")
        found = await store.stat(key("a"))
        assert (written.key, written.size) == (found.key, found.size)
        assert written.fingerprint == found.fingerprint
        assert written.modified_at == found.modified_at

    async def test_a_listing_tells_the_same_status_as_stat(self, store: Store) -> None:
        await put(store, "d/a", b"hello")
        (listed,) = (await store.list(key("d"))).entries
        found = await store.stat(key("d/a"))
        assert (listed.key, listed.kind, listed.size) == (found.key, found.kind, found.size)
        assert listed.fingerprint == found.fingerprint
        assert listed.modified_at == found.modified_at

    async def test_a_listing_tells_all_that_stat_tells_where_the_abilities_say_so(
        self, store: Store
    ) -> None:
        options = WriteOptions(content_type="text/csv", metadata={"colour": "blue"})
        await store.write(key("d/a"), pieces(b"1,2"), options)
        (listed,) = (await store.list(key("d"))).entries
        found = await store.stat(key("d/a"))
        told = (
            listed
            if store.abilities.listed_details
            else replace(listed, content_type=found.content_type, metadata=found.metadata)
        )
        assert (told.content_type, dict(told.metadata)) == (
            found.content_type,
            dict(found.metadata),
        )
        assert told.ownership == found.ownership

    async def test_what_something_lies_under_is_a_directory(self, store: Store) -> None:
        await put(store, "d/e/a")
        for text in ("d", "d/e"):
            status = await store.stat(key(text))
            assert status.is_directory
            assert (status.key, status.size) == (key(text), 0)
            assert status.fingerprint == Fingerprint("")

    async def test_the_root_is_a_directory_also_when_empty(self, store: Store) -> None:
        assert (await store.stat(STORE_ROOT)).is_directory

    async def test_what_is_not_there_is_missing(self, store: Store) -> None:
        await put(store, "d/abc")
        for text in ("a", "d/a", "d/ab", "d/abc/x", "ab"):
            with pytest.raises(FileMissing):
                await store.stat(key(text))

    async def test_the_beginning_of_a_name_is_no_directory(self, store: Store) -> None:
        await put(store, "dir-1/a")
        with pytest.raises(FileMissing):
            await store.stat(key("dir"))

    async def test_an_empty_file_is_a_file(self, store: Store) -> None:
        status = await put(store, "empty", b"")
        assert (await store.stat(key("empty"))).size == 0
        assert await read(store, status, whole(0)) == b""

    async def test_case_and_unicode_forms_are_different_names(self, store: Store) -> None:
        # The same letter, composed and decomposed: stores do not normalise, and neither do we.
        texts = ["caf\u00e9", "cafe\u0301", "Caf\u00e9"]
        for text in texts:
            await put(store, text, text.encode())
        for text in texts:
            assert await content_of(store, text) == text.encode()

    @pytest.mark.parametrize(
        "text",
        [
            "a b",
            "a+b%20c",
            "q?x=1&y=2#z",
            "semi;colon,comma",
            "\u6e56/\u6c34.parquet",
            "\U0001f30a",
            "dt=2024-01-01/part-0.c000.snappy.parquet",
            "'quote'\"double\"",
            "back`tick$dollar(paren)[bracket]{brace}",
            "..a/b..",
            "~tilde/@at!",
            "star*",
        ],
    )
    async def test_a_strange_name_is_a_name(self, store: Store, text: str) -> None:
        await put(store, text, b"strange")
        assert await content_of(store, text) == b"strange"
        assert await names_in(store, recursive=True) == [text]
        parent = key(text).parent.text
        assert text in await names_in(store, parent)

    # --- listings

    async def test_a_listing_shows_files_and_directories_directly_in_it(self, store: Store) -> None:
        for text in ("top", "d/a", "d/b", "d/e/deep", "d/e/f/deeper", "dd/x"):
            await put(store, text)
        assert await names_in(store) == ["d/", "dd/", "top"]
        assert await names_in(store, "d") == ["d/a", "d/b", "d/e/"]

    async def test_a_recursive_listing_shows_all_files_below(self, store: Store) -> None:
        for text in ("top", "d/a", "d/e/deep", "d/e/f/deeper", "dd/x"):
            await put(store, text)
        assert await names_in(store, recursive=True) == [
            "d/a",
            "d/e/deep",
            "d/e/f/deeper",
            "dd/x",
            "top",
        ]
        assert await names_in(store, "d", recursive=True) == ["d/a", "d/e/deep", "d/e/f/deeper"]

    async def test_a_directory_is_ordered_as_if_it_ended_with_a_slash(self, store: Store) -> None:
        # '-' and '.' come before '/', '0' after it.
        for text in ("a-b", "a/x", "a.b", "a0", "a-b-c/y"):
            await put(store, text)
        assert await names_in(store) == ["a-b", "a-b-c/", "a.b", "a/", "a0"]
        assert await names_in(store, recursive=True) == ["a-b", "a-b-c/y", "a.b", "a/x", "a0"]

    async def test_order_is_that_of_utf_8_bytes(self, store: Store) -> None:
        # In UTF-16 the emoji would come before the private-use letter.
        texts = ["Z", "a", "\u00e9", "\u6e56", "\uf8ff", "\U0001f30a"]
        for text in reversed(texts):
            await put(store, f"d/{text}")
        expected = [f"d/{text}" for text in texts]
        assert sorted(expected, key=str.encode) == expected
        assert await names_in(store, "d") == expected
        assert await names_in(store, "d", most=1) == expected
        assert await names_in(store, recursive=True, most=2) == expected

    @pytest.mark.parametrize("most", [1, 2, 3, 100])
    @pytest.mark.parametrize("recursive", [False, True])
    async def test_pages_of_any_size_join_to_the_whole(
        self, store: Store, most: int, recursive: bool
    ) -> None:
        for text in ("d/a", "d/a-", "d/b/1", "d/b/2", "d/b0", "d/c/1/2/3", "d/d", "e"):
            await put(store, text)
        listed = await names_in(store, "d", recursive=recursive, most=most)
        assert listed == await names_in(store, "d", recursive=recursive)
        assert len(listed) == (7 if recursive else 6)

    async def test_a_page_begins_after_the_key_it_is_told(self, store: Store) -> None:
        for text in ("d/a", "d/b/1", "d/b/2", "d/c"):
            await put(store, text)
        assert await names_in(store, "d", after="d/a") == ["d/b/", "d/c"]
        assert await names_in(store, "d", after="d/aa") == ["d/b/", "d/c"]
        assert await names_in(store, "d", after="d/b") == ["d/b/", "d/c"]
        assert await names_in(store, "d", after="d/b/") == ["d/c"]
        assert await names_in(store, "d", after="d/b/1") == ["d/c"]
        assert await names_in(store, "d", after="c") == ["d/a", "d/b/", "d/c"]
        assert await names_in(store, "d", recursive=True, after="d/a") == ["d/b/1", "d/b/2", "d/c"]
        assert await names_in(store, "d", recursive=True, after="d/b/1") == ["d/b/2", "d/c"]
        assert await names_in(store, "d", recursive=True, after="d/b/1/x") == ["d/b/2", "d/c"]

    async def test_a_page_after_the_last_key_is_empty_and_the_last(self, store: Store) -> None:
        await put(store, "d/a")
        for recursive in (False, True):
            page = await store.list(key("d"), recursive=recursive, after="d/zzz")
            assert page == Page(())

    async def test_the_last_page_has_no_next(self, store: Store) -> None:
        for number in range(5):
            await put(store, f"d/{number}")
        found = await pages_of(store, "d", most=2)
        assert [page.next_after is None for page in found] == [False] * (len(found) - 1) + [True]

    async def test_files_written_between_two_pages_disturb_no_others(self, store: Store) -> None:
        for text in ("d/a", "d/c", "d/e"):
            await put(store, text)
        first = await store.list(key("d"), most=2)
        await put(store, "d/b")
        await store.delete(key("d/a"))
        assert first.next_after is not None
        rest = await names_in(store, "d", after=first.next_after)
        assert names(first.entries) + rest == ["d/a", "d/c", "d/e"]

    async def test_more_files_than_a_page_holds_are_all_listed_once(self, store: Store) -> None:
        expected = [f"d/{number:04d}" for number in range(130)]
        await asyncio.gather(*(put(store, text) for text in expected))
        assert await names_in(store, "d", most=50) == expected

    async def test_the_root_can_be_listed_when_empty(self, store: Store) -> None:
        assert await names_in(store) == []
        assert await names_in(store, recursive=True) == []

    async def test_a_listing_of_nothing_is_missing(self, store: Store) -> None:
        await put(store, "dir-1/a")
        for recursive in (False, True):
            with pytest.raises(FileMissing):
                await store.list(key("dir"), recursive=recursive)

    async def test_a_listing_of_a_file_is_refused(self, store: Store) -> None:
        await put(store, "d/a")
        for recursive in (False, True):
            with pytest.raises(NotADirectory):
                await store.list(key("d/a"), recursive=recursive)

    async def test_names_that_are_no_keys_are_passed_over_and_patterned(
        self, store: Store, outsider: Outsider
    ) -> None:
        await put(store, "d/a")
        await put(store, "d/z")
        await outsider(f"d/{self.unaddressable_name}", b"x")
        for recursive in (False, True):
            for most in (1, 1000):
                found = await pages_of(store, "d", recursive=recursive, most=most)
                assert [name for page in found for name in names(page.entries)] == ["d/a", "d/z"]
                assert sum(page.unaddressable for page in found) == 1

    async def test_what_belongs_to_forebay_is_hidden(
        self, store: Store, outsider: Outsider
    ) -> None:
        await put(store, "d/a")
        await outsider("d/.forebay/secret", b"x")
        await outsider(".forebay/secret", b"x")
        assert await names_in(store, "d") == ["d/a"]
        assert await names_in(store) == ["d/"]
        assert await names_in(store, recursive=True) == ["d/a"]

    # --- reading

    async def test_a_file_reads_as_written(self, store: Store) -> None:
        content = patterned(3 * MEBIBYTE + 5)
        await put(store, "d/a", content)
        assert await content_of(store, "d/a") == content

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, 1), (0, 100), (99, 100), (7, 64), (50, 50), (0, 0), (100, 100)],
    )
    async def test_a_range_reads_exactly_its_bytes(
        self, store: Store, start: int, end: int
    ) -> None:
        content = patterned(100)
        status = await put(store, "a", content)
        assert await read(store, status, ByteRange(start, end)) == content[start:end]

    async def test_pieces_are_at_most_a_mebibyte(self, store: Store) -> None:
        content = patterned(4 * MEBIBYTE + 1)
        reader = await store.open(await put(store, "a", content))
        sizes = [len(piece) async for piece in reader.stream(whole(len(content)))]
        await reader.close()
        assert sum(sizes) == len(content)
        assert max(sizes) <= MEBIBYTE

    async def test_a_range_across_pieces_reads_exactly_its_bytes(self, store: Store) -> None:
        content = patterned(3 * MEBIBYTE)
        status = await put(store, "a", content)
        span = ByteRange(MEBIBYTE - 3, 2 * MEBIBYTE + 7)
        assert await read(store, status, span) == content[span.start : span.end]

    async def test_several_streams_of_a_reader_run_at_once(self, store: Store) -> None:
        content = patterned(2 * MEBIBYTE)
        reader = await store.open(await put(store, "a", content))

        async def streamed(span: ByteRange) -> bytes:
            return b"".join([bytes(piece) async for piece in reader.stream(span)])

        spans = list(whole(len(content)).split(300_000))
        found = await asyncio.gather(*map(streamed, spans))
        await reader.verify()
        await reader.close()
        assert b"".join(found) == content

    async def test_a_status_from_a_listing_opens_the_file(self, store: Store) -> None:
        await put(store, "d/a", b"hello")
        (status,) = (await store.list(key("d"))).entries
        assert await read(store, status, whole(5)) == b"hello"

    async def test_a_reader_may_be_closed_twice(self, store: Store) -> None:
        reader = await store.open(await put(store, "a", b"hello"))
        await reader.close()
        await reader.close()

    async def test_a_stream_that_nobody_finishes_does_no_harm(self, store: Store) -> None:
        content = patterned(3 * MEBIBYTE)
        reader = await store.open(await put(store, "a", content))
        stream = reader.stream(whole(len(content)))
        first = bytes(await anext(stream))
        await reader.close()
        assert content.startswith(first)
        assert await content_of(store, "a") == content

    async def test_a_replaced_generation_is_never_mixed_with_the_new(self, store: Store) -> None:
        old, new = b"o" * 1000, b"n" * 1000
        status = await put(store, "a", old)
        await put(store, "a", new)
        # Whoever held the old one may still give it; nobody may give the new one for it.
        try:
            found = await read(store, status, whole(1000))
        except GenerationGone:
            found = old
        assert found == old

    async def test_a_generation_replaced_while_open_is_not_believed(self, store: Store) -> None:
        old, new = b"o" * 1000, b"new and longer" * 1000
        reader = await store.open(await put(store, "a", old))
        await put(store, "a", new)
        try:
            found = b"".join([bytes(piece) async for piece in reader.stream(whole(1000))])
            await reader.verify()
        except GenerationGone:
            found = old
        await reader.close()
        assert found == old
        assert await content_of(store, "a") == new

    async def test_a_pin_on_replaced_content_is_noticed(self, store: Store) -> None:
        status = await put(store, "a", b"old content")
        await put(store, "a", b"new content of another length")
        with pytest.raises(GenerationGone):
            await read(store, status, whole(status.size))

    async def test_a_deleted_file_is_gone_for_those_who_open_it(self, store: Store) -> None:
        status = await put(store, "a", b"old content")
        await store.delete(key("a"))
        with pytest.raises((FileMissing, GenerationGone)):
            await read(store, status, whole(status.size))

    async def test_a_new_content_has_a_new_fingerprint(self, store: Store) -> None:
        first = await put(store, "a", b"same length 1")
        second = await put(store, "a", b"same length 2")
        assert first.fingerprint != second.fingerprint

    async def test_verify_is_content_with_an_unchanged_file(self, store: Store) -> None:
        reader = await store.open(await put(store, "a", b"hello"))
        found = [bytes(piece) async for piece in reader.stream(ByteRange(1, 4))]
        await reader.verify()
        await reader.verify()
        await reader.close()
        assert b"".join(found) == b"ell"

    async def test_a_directory_cannot_be_opened(self, store: Store) -> None:
        await put(store, "d/a")
        status = await store.stat(key("d"))
        with pytest.raises(NotAFile):
            await store.open(status)

    # --- writing

    async def test_a_write_replaces_what_was_there(self, store: Store) -> None:
        await put(store, "a", b"a long old content")
        await put(store, "a", b"new")
        assert await content_of(store, "a") == b"new"
        assert (await store.stat(key("a"))).size == 3

    async def test_a_body_may_use_its_buffer_again(self, store: Store) -> None:
        async def reusing() -> AsyncIterator[Chunk]:
            buffer = bytearray(1000)
            for number in range(50):
                buffer[:] = bytes([number]) * 1000
                yield memoryview(buffer)[: 900 + number]

        await store.write(key("a"), reusing(), PLAIN)
        expected = b"".join(bytes([number]) * (900 + number) for number in range(50))
        assert await content_of(store, "a") == expected

    async def test_empty_pieces_of_a_body_end_nothing(self, store: Store) -> None:
        await store.write(key("a"), pieces(b"", b"one", b"", b"two", b""), PLAIN)
        assert await content_of(store, "a") == b"onetwo"

    async def test_a_body_of_no_pieces_is_an_empty_file(self, store: Store) -> None:
        status = await store.write(key("a"), pieces(), WriteOptions(size=0))
        assert status.size == 0
        assert await content_of(store, "a") == b""

    async def test_a_large_body_is_written_whole(self, store: Store) -> None:
        content = patterned(20 * MEBIBYTE + 3)
        body = pieces(
            *(content[span.start : span.end] for span in whole(len(content)).split(300_000))
        )
        status = await store.write(key("d/large"), body, WriteOptions(size=len(content)))
        assert status.size == len(content)
        assert await content_of(store, "d/large") == content

    async def test_a_large_body_of_unknown_size_is_written_whole(self, store: Store) -> None:
        content = patterned(20 * MEBIBYTE + 3)
        body = pieces(
            *(content[span.start : span.end] for span in whole(len(content)).split(MEBIBYTE))
        )
        await store.write(key("large"), body, PLAIN)
        assert await content_of(store, "large") == content

    async def test_a_body_that_breaks_off_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(Interrupted):
            await store.write(key("d/a"), breaking_off(b"half"), PLAIN)
        assert not await is_there(store, "d/a")
        assert await names_in(store, recursive=True) in ([], ["d/"])

    async def test_a_body_that_breaks_off_leaves_the_old_file(self, store: Store) -> None:
        await put(store, "a", b"old")
        with pytest.raises(Interrupted):
            await store.write(key("a"), breaking_off(b"half"), WriteOptions(size=10))
        assert await content_of(store, "a") == b"old"

    async def test_a_large_body_that_breaks_off_leaves_nothing(self, store: Store) -> None:
        half = patterned(MEBIBYTE)
        with pytest.raises(Interrupted):
            await store.write(key("a"), breaking_off(*[half] * 18), PLAIN)
        assert not await is_there(store, "a")
        assert await store.list_uploads(STORE_ROOT) == []

    @pytest.mark.parametrize("announced", [0, 4, 6])
    async def test_a_body_of_another_length_is_a_lie(self, store: Store, announced: int) -> None:
        await put(store, "a", b"old")
        with pytest.raises(StoreLied):
            await store.write(key("a"), pieces(b"hel", b"lo"), WriteOptions(size=announced))
        assert await content_of(store, "a") == b"old"

    async def test_a_cancelled_write_leaves_nothing(self, store: Store) -> None:
        await put(store, "a", b"old")
        body = StalledBody(b"half")
        task: asyncio.Task[object] = asyncio.create_task(
            store.write(key("a"), body.chunks(), PLAIN)
        )
        await body.is_stalled.wait()
        assert await content_of(store, "a") == b"old"
        await cancelled(task)
        assert await content_of(store, "a") == b"old"
        assert await names_in(store, recursive=True) == ["a"]

    async def test_a_file_is_not_seen_before_it_is_whole(self, store: Store) -> None:
        body = StalledBody(patterned(MEBIBYTE))
        task: asyncio.Task[object] = asyncio.create_task(
            store.write(key("d/a"), body.chunks(), PLAIN)
        )
        await body.is_stalled.wait()
        assert not await is_there(store, "d/a")
        assert [name for name in await names_in(store, recursive=True) if name != "d/"] == []
        await cancelled(task)

    async def test_writes_at_once_leave_one_of_them_whole(self, store: Store) -> None:
        contents = [bytes([letter]) * 100_000 for letter in b"abcdef"]
        await asyncio.gather(*(put(store, "d/a", content) for content in contents))
        assert await content_of(store, "d/a") in contents

    async def test_writes_of_different_files_at_once_all_arrive(self, store: Store) -> None:
        contents = {f"d/{number}/a": patterned(1000 + number) for number in range(20)}
        await asyncio.gather(*(put(store, text, content) for text, content in contents.items()))
        for text, content in contents.items():
            assert await content_of(store, text) == content

    async def test_a_write_onto_a_directory_is_refused_where_it_is_real(self, store: Store) -> None:
        await put(store, "d/a", b"below")
        if store.abilities.real_directories:
            with pytest.raises(NotAFile):
                await put(store, "d", b"file")
        else:
            await put(store, "d", b"file")
            # A file and a prefix of the same name give the file.
            assert (await store.stat(key("d"))).is_file
            assert await names_in(store) == ["d", "d/"]
        assert await content_of(store, "d/a") == b"below"

    async def test_a_write_below_a_file_is_refused_where_directories_are_real(
        self, store: Store
    ) -> None:
        await put(store, "a", b"file")
        for text in ("a/b", "a/b/c"):
            if store.abilities.real_directories:
                with pytest.raises(NotADirectory):
                    await put(store, text, b"below")
            else:
                await put(store, text, b"below")
                assert await content_of(store, text) == b"below"
        assert await content_of(store, "a") == b"file"

    async def test_the_root_is_no_file(self, store: Store) -> None:
        with pytest.raises((NotAFile, BadPath)):
            await store.write(STORE_ROOT, pieces(b"x"), PLAIN)

    # --- conditions on writes

    async def test_a_create_only_write_creates(self, store: Store) -> None:
        await store.write(key("d/a"), pieces(b"new"), WriteOptions(condition=IfAbsent()))
        assert await content_of(store, "d/a") == b"new"

    async def test_a_create_only_write_never_replaces(self, store: Store) -> None:
        await put(store, "a", b"old")
        with pytest.raises(ConditionFailed):
            await store.write(key("a"), pieces(b"new"), WriteOptions(condition=IfAbsent()))
        assert await content_of(store, "a") == b"old"
        assert await names_in(store, recursive=True) == ["a"]

    async def test_of_create_only_writes_at_once_one_wins(self, store: Store) -> None:
        contents = [bytes([letter]) * 1000 for letter in b"abcdef"]
        answers = await asyncio.gather(
            *(
                store.write(key("a"), pieces(content), WriteOptions(condition=IfAbsent()))
                for content in contents
            ),
            return_exceptions=True,
        )
        winners = [answer for answer in answers if isinstance(answer, FileStatus)]
        losers = [answer for answer in answers if isinstance(answer, ConditionFailed)]
        assert len(winners) + len(losers) == len(contents)
        # Without the ability several may believe to have created it; none may be torn.
        assert len(winners) == 1 or not store.abilities.conditional_create
        assert await content_of(store, "a") in contents

    async def test_a_write_if_unchanged_replaces_what_it_names(self, store: Store) -> None:
        old = await put(store, "a", b"old")
        condition = IfUnchanged(old.fingerprint)
        await store.write(key("a"), pieces(b"newer"), WriteOptions(condition=condition))
        assert await content_of(store, "a") == b"newer"

    async def test_a_write_if_unchanged_spares_what_it_does_not_name(self, store: Store) -> None:
        old = await put(store, "a", b"old")
        await put(store, "a", b"newer")
        condition = IfUnchanged(old.fingerprint)
        with pytest.raises(ConditionFailed):
            await store.write(key("a"), pieces(b"newest!"), WriteOptions(condition=condition))
        assert await content_of(store, "a") == b"newer"

    async def test_a_write_if_unchanged_does_not_bring_back_a_deleted_file(
        self, store: Store
    ) -> None:
        old = await put(store, "a", b"old")
        await store.delete(key("a"))
        condition = IfUnchanged(old.fingerprint)
        with pytest.raises(ConditionFailed):
            await store.write(key("a"), pieces(b"new"), WriteOptions(condition=condition))
        assert not await is_there(store, "a")

    async def test_of_writes_if_unchanged_at_once_one_wins(self, store: Store) -> None:
        old = await put(store, "a", b"old")
        condition = WriteOptions(condition=IfUnchanged(old.fingerprint))
        contents = [bytes([letter]) * number for number, letter in enumerate(b"abcdef", 10)]
        answers = await asyncio.gather(
            *(store.write(key("a"), pieces(content), condition) for content in contents),
            return_exceptions=True,
        )
        winners = [answer for answer in answers if isinstance(answer, FileStatus)]
        losers = [answer for answer in answers if isinstance(answer, ConditionFailed)]
        assert len(winners) + len(losers) == len(contents)
        assert len(winners) == 1 or (winners and not store.abilities.conditional_write)
        assert await content_of(store, "a") in contents

    # --- uploads in parts

    def part(self, letter: str) -> bytes:
        return letter.encode() * self.part_bytes

    async def sent(
        self, store: Store, text: str, upload_id: str, number: int, content: bytes
    ) -> PartStatus:
        return await store.write_part(key(text), upload_id, number, pieces(content), len(content))

    async def test_parts_make_a_file_in_order_of_number(self, store: Store) -> None:
        upload = await store.create_upload(key("d/a"), PLAIN)
        third = await self.sent(store, "d/a", upload, 3, b"end")
        first = await self.sent(store, "d/a", upload, 1, self.part("1"))
        second = await self.sent(store, "d/a", upload, 2, self.part("2"))
        status = await store.complete_upload(key("d/a"), upload, [second, third, first], PLAIN)
        assert status.size == 2 * self.part_bytes + 3
        assert status.fingerprint == (await store.stat(key("d/a"))).fingerprint
        assert await content_of(store, "d/a") == self.part("1") + self.part("2") + b"end"

    async def test_parts_may_come_at_once_and_leave_gaps_in_their_numbers(
        self, store: Store
    ) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        numbers = [2, 5, 7, 100]
        parts = await asyncio.gather(
            *(
                self.sent(store, "a", upload, number, self.part(str(number)[0]))
                for number in numbers
            )
        )
        await store.complete_upload(key("a"), upload, parts, PLAIN)
        assert await content_of(store, "a") == b"".join(map(self.part, "2571"))

    async def test_only_the_named_parts_are_in_the_file(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        first = await self.sent(store, "a", upload, 1, self.part("1"))
        await self.sent(store, "a", upload, 2, self.part("2"))
        third = await self.sent(store, "a", upload, 3, self.part("3"))
        await store.complete_upload(key("a"), upload, [first, third], PLAIN)
        assert await content_of(store, "a") == self.part("1") + self.part("3")

    async def test_a_part_sent_again_replaces_the_first(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        await self.sent(store, "a", upload, 1, self.part("x"))
        again = await self.sent(store, "a", upload, 1, self.part("y"))
        assert await store.list_parts(key("a"), upload) == [again]
        await store.complete_upload(key("a"), upload, [again], PLAIN)
        assert await content_of(store, "a") == self.part("y")

    async def test_the_parts_held_are_listed_by_number(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        assert await store.list_parts(key("a"), upload) == []
        sent = [
            await self.sent(store, "a", upload, number, self.part("x")) for number in (10, 2, 1)
        ]
        found = await store.list_parts(key("a"), upload)
        assert [(part.number, part.size) for part in found] == [
            (number, self.part_bytes) for number in (1, 2, 10)
        ]
        assert {part.etag for part in found} == {part.etag for part in sent}
        await store.abort_upload(key("a"), upload)

    async def test_parts_that_were_listed_complete_the_upload(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        await self.sent(store, "a", upload, 1, self.part("1"))
        await self.sent(store, "a", upload, 2, b"end")
        parts = await store.list_parts(key("a"), upload)
        await store.complete_upload(key("a"), upload, parts, PLAIN)
        assert await content_of(store, "a") == self.part("1") + b"end"

    async def test_an_upload_is_not_seen_before_it_is_completed(self, store: Store) -> None:
        await put(store, "d/b", b"other")
        upload = await store.create_upload(key("d/a"), PLAIN)
        await self.sent(store, "d/a", upload, 1, self.part("1"))
        assert not await is_there(store, "d/a")
        assert await names_in(store, recursive=True) == ["d/b"]
        assert await names_in(store) == ["d/"]
        await store.abort_upload(key("d/a"), upload)

    async def test_an_upload_replaces_the_old_file_only_when_completed(self, store: Store) -> None:
        await put(store, "a", b"old")
        upload = await store.create_upload(key("a"), PLAIN)
        part = await self.sent(store, "a", upload, 1, b"new content")
        assert await content_of(store, "a") == b"old"
        await store.complete_upload(key("a"), upload, [part], PLAIN)
        assert await content_of(store, "a") == b"new content"

    async def test_uploads_that_go_on_are_listed_by_key_and_id(self, store: Store) -> None:
        begun = [
            (text, await store.create_upload(key(text), PLAIN)) for text in ("d/b", "e", "d/a")
        ]
        begun.append(("d/a", await store.create_upload(key("d/a"), PLAIN)))
        found = await store.list_uploads(STORE_ROOT)
        assert [(status.key.text, status.upload_id) for status in found] == sorted(begun)
        below = await store.list_uploads(key("d"))
        assert [status.key.text for status in below] == ["d/a", "d/a", "d/b"]
        for text, upload in begun:
            await store.abort_upload(key(text), upload)
        assert await store.list_uploads(STORE_ROOT) == []

    async def test_two_uploads_of_one_file_do_not_disturb_each_other(self, store: Store) -> None:
        first = await store.create_upload(key("a"), PLAIN)
        second = await store.create_upload(key("a"), PLAIN)
        assert first != second
        part = await self.sent(store, "a", first, 1, b"first")
        await self.sent(store, "a", second, 1, b"second")
        await store.abort_upload(key("a"), second)
        await store.complete_upload(key("a"), first, [part], PLAIN)
        assert await content_of(store, "a") == b"first"

    async def test_an_aborted_upload_is_gone_and_so_are_its_parts(self, store: Store) -> None:
        upload = await store.create_upload(key("d/a"), PLAIN)
        part = await self.sent(store, "d/a", upload, 1, b"part")
        await store.abort_upload(key("d/a"), upload)
        await store.abort_upload(key("d/a"), upload)
        with pytest.raises(UploadMissing):
            await store.list_parts(key("d/a"), upload)
        with pytest.raises(UploadMissing):
            await self.sent(store, "d/a", upload, 2, b"part")
        with pytest.raises(UploadMissing):
            await store.complete_upload(key("d/a"), upload, [part], PLAIN)
        assert not await is_there(store, "d/a")

    async def test_a_completed_upload_is_gone(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        part = await self.sent(store, "a", upload, 1, b"part")
        await store.complete_upload(key("a"), upload, [part], PLAIN)
        assert await store.list_uploads(STORE_ROOT) == []
        with pytest.raises(UploadMissing):
            await self.sent(store, "a", upload, 2, b"part")

    async def test_an_upload_belongs_to_its_key(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        with pytest.raises(UploadMissing):
            await self.sent(store, "b", upload, 1, b"part")
        await store.abort_upload(key("b"), upload)
        assert [status.upload_id for status in await store.list_uploads(STORE_ROOT)] == [upload]
        await store.abort_upload(key("a"), upload)

    async def test_an_unknown_upload_is_missing(self, store: Store) -> None:
        with pytest.raises(UploadMissing):
            await store.list_parts(key("a"), "0123456789abcdef")

    async def test_a_part_that_is_not_held_completes_nothing(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        held = await self.sent(store, "a", upload, 1, self.part("1"))
        for missing in (
            PartStatus(2, held.size, held.etag),
            PartStatus(1, held.size, '"00000000000000000000000000000000"'),
        ):
            with pytest.raises(UploadMissing):
                await store.complete_upload(key("a"), upload, [missing], PLAIN)
        assert not await is_there(store, "a")
        await store.complete_upload(key("a"), upload, [held], PLAIN)
        assert await content_of(store, "a") == self.part("1")

    @pytest.mark.parametrize("announced", [3, 5])
    async def test_a_part_of_another_length_is_a_lie(self, store: Store, announced: int) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        with pytest.raises(StoreLied):
            await store.write_part(key("a"), upload, 1, pieces(b"pa", b"rt"), announced)
        assert await store.list_parts(key("a"), upload) == []
        await store.abort_upload(key("a"), upload)

    async def test_a_part_whose_body_breaks_off_is_not_held(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        first = await self.sent(store, "a", upload, 1, b"whole")
        for number in (1, 2):
            with pytest.raises(Interrupted):
                await store.write_part(key("a"), upload, number, breaking_off(b"half"), 10)
        assert await store.list_parts(key("a"), upload) == [first]
        await store.abort_upload(key("a"), upload)

    async def test_a_cancelled_part_is_not_held(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        body = StalledBody(b"half")
        task: asyncio.Task[object] = asyncio.create_task(
            store.write_part(key("a"), upload, 1, body.chunks(), 100)
        )
        await body.is_stalled.wait()
        await cancelled(task)
        assert await store.list_parts(key("a"), upload) == []
        await store.abort_upload(key("a"), upload)

    async def test_an_upload_of_no_parts_is_not_completed(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        with pytest.raises(UploadMissing):
            await store.complete_upload(key("a"), upload, [], PLAIN)
        assert not await is_there(store, "a")
        await store.abort_upload(key("a"), upload)

    async def test_a_file_of_another_length_than_announced_is_not_completed(
        self, store: Store
    ) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        part = await self.sent(store, "a", upload, 1, b"part")
        with pytest.raises(StoreLied):
            await store.complete_upload(key("a"), upload, [part], WriteOptions(size=5))
        assert not await is_there(store, "a")
        await store.complete_upload(key("a"), upload, [part], WriteOptions(size=4))
        assert await content_of(store, "a") == b"part"

    async def test_a_create_only_upload_never_replaces(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        part = await self.sent(store, "a", upload, 1, b"part")
        await put(store, "a", b"old")
        with pytest.raises(ConditionFailed):
            await store.complete_upload(
                key("a"), upload, [part], WriteOptions(condition=IfAbsent())
            )
        assert await content_of(store, "a") == b"old"
        # The upload stays, and can be aborted.
        await store.abort_upload(key("a"), upload)
        assert await store.list_uploads(STORE_ROOT) == []

    async def test_a_create_only_upload_creates(self, store: Store) -> None:
        upload = await store.create_upload(key("a"), PLAIN)
        part = await self.sent(store, "a", upload, 1, b"part")
        await store.complete_upload(key("a"), upload, [part], WriteOptions(condition=IfAbsent()))
        assert await content_of(store, "a") == b"part"

    async def test_an_upload_if_unchanged_replaces_only_what_it_names(self, store: Store) -> None:
        old = await put(store, "a", b"old")
        condition = WriteOptions(condition=IfUnchanged(old.fingerprint))
        upload = await store.create_upload(key("a"), PLAIN)
        part = await self.sent(store, "a", upload, 1, b"part")
        await store.complete_upload(key("a"), upload, [part], condition)
        assert await content_of(store, "a") == b"part"
        late = await store.create_upload(key("a"), PLAIN)
        part = await self.sent(store, "a", late, 1, b"late")
        with pytest.raises(ConditionFailed):
            await store.complete_upload(key("a"), late, [part], condition)
        assert await content_of(store, "a") == b"part"
        await store.abort_upload(key("a"), late)

    # --- copies

    async def test_a_copy_has_the_same_bytes(self, store: Store) -> None:
        content = patterned(2 * MEBIBYTE + 1)
        await put(store, "d/a", content)
        status = await store.copy(key("d/a"), key("e/f/b"))
        assert (status.key, status.size) == (key("e/f/b"), len(content))
        assert status.fingerprint == (await store.stat(key("e/f/b"))).fingerprint
        assert await content_of(store, "e/f/b") == content
        assert await content_of(store, "d/a") == content

    async def test_a_copy_replaces_what_was_there(self, store: Store) -> None:
        await put(store, "a", b"new")
        await put(store, "b", b"old and longer")
        await store.copy(key("a"), key("b"))
        assert await content_of(store, "b") == b"new"

    async def test_a_create_only_copy_never_replaces(self, store: Store) -> None:
        await put(store, "a", b"new")
        await put(store, "b", b"old")
        with pytest.raises(ConditionFailed):
            await store.copy(key("a"), key("b"), IfAbsent())
        assert await content_of(store, "b") == b"old"
        await store.copy(key("a"), key("c"), IfAbsent())
        assert await content_of(store, "c") == b"new"

    async def test_a_copy_if_unchanged_replaces_only_what_it_names(self, store: Store) -> None:
        await put(store, "a", b"new")
        old = await put(store, "b", b"old")
        await store.copy(key("a"), key("b"), IfUnchanged(old.fingerprint))
        assert await content_of(store, "b") == b"new"
        await put(store, "b", b"newer")
        with pytest.raises(ConditionFailed):
            await store.copy(key("a"), key("b"), IfUnchanged(old.fingerprint))
        assert await content_of(store, "b") == b"newer"

    async def test_a_copy_of_nothing_is_missing(self, store: Store) -> None:
        with pytest.raises(FileMissing):
            await store.copy(key("a"), key("b"))
        assert not await is_there(store, "b")

    async def test_a_directory_is_not_copied(self, store: Store) -> None:
        await put(store, "d/a")
        expected = NotAFile if store.abilities.real_directories else (NotAFile, FileMissing)
        with pytest.raises(expected):
            await store.copy(key("d"), key("e"))
        assert not await is_there(store, "e")

    # --- renames

    async def test_a_renamed_file_has_its_new_name_only(self, store: Store) -> None:
        await put(store, "d/a", b"hello")
        await store.rename(key("d/a"), key("d/b"))
        assert await content_of(store, "d/b") == b"hello"
        assert not await is_there(store, "d/a")
        assert await names_in(store, "d") == ["d/b"]

    async def test_a_rename_into_another_directory_moves_the_file(self, store: Store) -> None:
        await put(store, "d/a", b"hello")
        await put(store, "e/x")
        await store.rename(key("d/a"), key("e/a"))
        assert await content_of(store, "e/a") == b"hello"
        assert not await is_there(store, "d/a")

    async def test_a_rename_never_replaces_unasked(self, store: Store) -> None:
        await put(store, "a", b"a")
        await put(store, "b", b"b")
        with pytest.raises(FileExists):
            await store.rename(key("a"), key("b"))
        assert await content_of(store, "a") == b"a"
        assert await content_of(store, "b") == b"b"

    async def test_a_rename_replaces_when_asked(self, store: Store) -> None:
        await put(store, "a", b"a")
        await put(store, "b", b"b")
        await store.rename(key("a"), key("b"), replace=True)
        assert await content_of(store, "b") == b"a"
        assert not await is_there(store, "a")

    @pytest.mark.parametrize("replace", [False, True])
    async def test_a_file_never_moves_into_a_directory_of_that_name(
        self, store: Store, replace: bool
    ) -> None:
        await put(store, "a", b"a")
        await put(store, "d/x", b"x")
        if store.abilities.real_directories:
            with pytest.raises(FileExists):
                await store.rename(key("a"), key("d"), replace=replace)
            assert await content_of(store, "a") == b"a"
        else:
            await store.rename(key("a"), key("d"), replace=replace)
            assert await content_of(store, "d") == b"a"
        assert await names_in(store, "d") == ["d/x"]

    async def test_a_renamed_directory_takes_all_along_or_is_unsupported(
        self, store: Store
    ) -> None:
        await put(store, "d/a", b"a")
        await put(store, "d/e/b", b"b")
        await put(store, "d-1", b"c")
        if store.abilities.directory_rename:
            await store.rename(key("d"), key("f"))
            assert await names_in(store, recursive=True) == ["d-1", "f/a", "f/e/b"]
            assert await content_of(store, "f/e/b") == b"b"
        else:
            with pytest.raises(Unsupported):
                await store.rename(key("d"), key("f"))
            assert await names_in(store, recursive=True) == ["d-1", "d/a", "d/e/b"]

    @pytest.mark.parametrize("replace", [False, True])
    async def test_a_directory_never_takes_a_taken_name(self, store: Store, replace: bool) -> None:
        await put(store, "d/a", b"a")
        await put(store, "e/b", b"b")
        await put(store, "f", b"f")
        expected = FileExists if store.abilities.directory_rename else Unsupported
        for taken in ("e", "f"):
            with pytest.raises(expected):
                await store.rename(key("d"), key(taken), replace=replace)
        assert await names_in(store, recursive=True) == ["d/a", "e/b", "f"]

    async def test_a_directory_does_not_go_into_itself(self, store: Store) -> None:
        await put(store, "d/a", b"a")
        with pytest.raises((BadPath, Unsupported)):
            await store.rename(key("d"), key("d/e"))
        assert await names_in(store, recursive=True) == ["d/a"]

    async def test_a_rename_of_nothing_is_missing(self, store: Store) -> None:
        with pytest.raises(FileMissing):
            await store.rename(key("a"), key("b"))
        assert not await is_there(store, "b")

    async def test_a_rename_needs_the_directory_it_goes_to_where_it_is_real(
        self, store: Store
    ) -> None:
        await put(store, "a", b"a")
        if store.abilities.real_directories:
            with pytest.raises(FileMissing):
                await store.rename(key("a"), key("none/b"))
            assert await content_of(store, "a") == b"a"
        else:
            await store.rename(key("a"), key("none/b"))
            assert await content_of(store, "none/b") == b"a"

    async def test_a_rename_below_a_file_is_refused_where_directories_are_real(
        self, store: Store
    ) -> None:
        await put(store, "a", b"a")
        await put(store, "f", b"f")
        if store.abilities.real_directories:
            with pytest.raises(NotADirectory):
                await store.rename(key("a"), key("f/b"))
            assert await content_of(store, "a") == b"a"
        else:
            await store.rename(key("a"), key("f/b"))
            assert await content_of(store, "f/b") == b"a"
        assert await content_of(store, "f") == b"f"

    async def test_of_renames_to_one_name_at_once_one_wins_where_they_are_atomic(
        self, store: Store
    ) -> None:
        texts = [f"source-{number}" for number in range(5)]
        for text in texts:
            await put(store, text, text.encode())
        answers = await asyncio.gather(
            *(store.rename(key(text), key("target")) for text in texts), return_exceptions=True
        )
        lost = [answer for answer in answers if isinstance(answer, FileExists)]
        won = [answer for answer in answers if answer is None]
        assert len(lost) + len(won) == len(texts)
        assert len(won) == 1 or (won and not store.abilities.atomic_rename)
        assert (await content_of(store, "target")).decode() in texts

    # --- removing

    async def test_a_deleted_file_is_missing(self, store: Store) -> None:
        await put(store, "d/a")
        await put(store, "d/b")
        await store.delete(key("d/a"))
        assert not await is_there(store, "d/a")
        assert await names_in(store, "d") == ["d/b"]

    async def test_the_directory_of_a_deleted_file_stays_where_it_is_real(
        self, store: Store
    ) -> None:
        await put(store, "d/e/a")
        await store.delete(key("d/e/a"))
        assert await is_there(store, "d/e") == store.abilities.real_directories

    async def test_deleting_nothing_removes_nothing_else(self, store: Store) -> None:
        await put(store, "ab", b"x")
        await put(store, "a-/x", b"x")
        if store.abilities.real_directories:
            with pytest.raises(FileMissing):
                await store.delete(key("a"))
        else:
            # Some object stores cannot tell that nothing was there.
            try:
                await store.delete(key("a"))
            except FileMissing:
                assert not await is_there(store, "a")
        assert await names_in(store, recursive=True) == ["a-/x", "ab"]

    async def test_a_directory_that_is_not_empty_stays(self, store: Store) -> None:
        await put(store, "d/e/a", b"x")
        for text in ("d", "d/e"):
            with pytest.raises(DirectoryNotEmpty):
                await store.delete(key(text))
        assert await content_of(store, "d/e/a") == b"x"

    async def test_an_empty_directory_can_be_removed(self, store: Store) -> None:
        await store.make_directory(key("d"))
        await put(store, "d-1")
        await store.delete(key("d"))
        assert not await is_there(store, "d")
        assert await names_in(store) == ["d-1"]

    async def test_the_root_is_never_removed(self, store: Store) -> None:
        with pytest.raises(BadPath):
            await store.delete(STORE_ROOT)

    async def test_a_delete_if_unchanged_removes_only_what_it_names(self, store: Store) -> None:
        old = await put(store, "a", b"old")
        new = await put(store, "a", b"newer")
        with pytest.raises(ConditionFailed):
            await store.delete(key("a"), IfUnchanged(old.fingerprint))
        assert await content_of(store, "a") == b"newer"
        await store.delete(key("a"), IfUnchanged(new.fingerprint))
        assert not await is_there(store, "a")

    # --- directories

    async def test_a_made_directory_is_there_and_empty(self, store: Store) -> None:
        await store.make_directory(key("d/e/f"))
        for text in ("d", "d/e", "d/e/f"):
            assert (await store.stat(key(text))).is_directory
        assert await names_in(store, "d/e") == ["d/e/f/"]
        assert await names_in(store, "d/e/f") == []

    async def test_making_a_directory_again_is_no_error(self, store: Store) -> None:
        await put(store, "d/a", b"x")
        await store.make_directory(key("d"))
        await store.make_directory(key("d"))
        await store.make_directory(STORE_ROOT)
        assert await names_in(store, recursive=True) == ["d/a"]

    async def test_empty_directories_show_in_recursive_listings_where_they_are_real(
        self, store: Store
    ) -> None:
        await store.make_directory(key("d/empty"))
        await put(store, "d/full/a")
        expected = ["d/empty/", "d/full/a"] if store.abilities.real_directories else ["d/full/a"]
        assert await names_in(store, recursive=True) == expected
        assert await names_in(store, "d", recursive=True, most=1) == expected

    async def test_a_file_does_not_become_a_directory(self, store: Store) -> None:
        await put(store, "a", b"file")
        for text in ("a", "a/b"):
            if store.abilities.real_directories:
                with pytest.raises(NotADirectory):
                    await store.make_directory(key(text))
        assert await content_of(store, "a") == b"file"
        assert (await store.stat(key("a"))).is_file

    # --- what else it tells

    async def test_the_digest_is_kept_where_the_store_says_so(self, store: Store) -> None:
        await put(store, "a", b"hello")
        await put(store, "b", b"hello")
        await put(store, "c", b"other")
        digests = [await store.digest(key(text)) for text in ("a", "b", "c")]
        if store.abilities.digest is None:
            assert digests == [None, None, None]
            return
        same, equal, other = digests
        assert same is not None
        assert same == equal
        assert same != other
        assert same.value == same.value.lower()
        int(same.value, 16)

    async def test_a_digest_of_nothing_is_missing_where_digests_are_kept(
        self, store: Store
    ) -> None:
        if store.abilities.digest is None:
            assert await store.digest(key("a")) is None
            return
        with pytest.raises(FileMissing):
            await store.digest(key("a"))

    async def test_hosts_are_names_or_none(self, store: Store) -> None:
        hosts = await store.hosts(await put(store, "a", b"hello"))
        assert all(isinstance(host, str) for host in hosts)

    async def test_metadata_and_type_are_kept_or_left_out_but_never_mixed_up(
        self, store: Store
    ) -> None:
        options = WriteOptions(content_type="text/csv", metadata={"colour": "blue"})
        await store.write(key("a"), pieces(b"1,2"), options)
        status = await store.stat(key("a"))
        assert status.content_type in ("text/csv", None)
        assert dict(status.metadata) in ({"colour": "blue"}, {})
        assert await content_of(store, "a") == b"1,2"

    # --- many at once, and giving up

    async def test_a_cancelled_stream_leaves_the_store_in_order(self, store: Store) -> None:
        content = patterned(4 * MEBIBYTE)
        status = await put(store, "a", content)
        reader = await store.open(status)
        begun = asyncio.Event()

        async def reading() -> None:
            async for _ in reader.stream(whole(status.size)):
                begun.set()
                await asyncio.Event().wait()

        task: asyncio.Task[object] = asyncio.create_task(reading())
        await begun.wait()
        await cancelled(task)
        await reader.close()
        assert await content_of(store, "a") == content

    async def test_many_calls_at_once_all_get_their_own_answer(self, store: Store) -> None:
        contents = {f"d/{number:02d}": patterned(100 * number) for number in range(30)}
        await asyncio.gather(*(put(store, text, content) for text, content in contents.items()))
        found = await asyncio.gather(*(content_of(store, text) for text in contents))
        assert found == list(contents.values())

    async def test_a_file_read_while_it_is_replaced_is_old_or_new(self, store: Store) -> None:
        contents = [bytes([letter]) * 70_000 for letter in b"abcdefgh"]
        await put(store, "a", contents[0])

        async def writing() -> None:
            for content in contents[1:]:
                await put(store, "a", content)

        task = asyncio.create_task(writing())
        seen = 0
        while not task.done():
            # Replaced between the status and the bytes: the honest answer is that it is gone.
            with suppress(GenerationGone):
                assert await content_of(store, "a") in contents
            seen += 1
            await asyncio.sleep(0)
        await task
        assert seen
        assert await content_of(store, "a") == contents[-1]

    async def test_a_stranger_s_error_never_passes(self, store: Store) -> None:
        await put(store, "f", b"file")
        tries: list[Awaitable[object]] = [
            store.stat(key("none")),
            store.list(key("none")),
            store.delete(key("f/none")),
            store.copy(key("none"), key("x")),
            store.rename(key("none"), key("x")),
            store.digest(key("none")),
            store.write_part(key("none"), "none", 1, pieces(b"x"), 1),
            store.complete_upload(key("none"), "none", [], PLAIN),
        ]
        for answer in await asyncio.gather(*tries, return_exceptions=True):
            assert not isinstance(answer, BaseException) or isinstance(answer, ForebayError)
            assert not isinstance(answer, StoreAway), "silence is no answer to what can be known"
