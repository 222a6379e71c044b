"""Listings: pages in whole-key order, also from a store that lists by tree."""

import heapq
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import unquote_plus

from forebay.model.errors import FileMissing, NotADirectory, StoreLied
from forebay.model.paths import StoreKey, fault_of_key
from forebay.model.status import FileStatus, Kind, Page
from forebay.stores.contract import fingerprint_of_etag
from forebay.stores.object_store.documents import Element, quoted
from forebay.stores.object_store.signed import Request, SignedClient
from forebay.stores.object_store.statuses import Statuses, directory_status

MOST_KEYS: Final = 1000

# SeaweedFS walks its tree of names: `a/` comes where `a` would, before `a-b`, and `start-after`
# counts by that order too. S3 has `a-b` first, because '-' is before '/'.
_LISTS_BY_TREE: Final = "SeaweedFS"
_LAST_LETTER: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Seen:
    """One name that the store listed, in place.

    Attributes:
        name: the whole key as the store has it; a directory's ends with '/'.
        status: None for a name that is no entry of the page.
        skipped: whether it is a file or directory that no lake path can name.
        last: whether nothing comes after it.
    """

    name: str
    status: FileStatus | None
    skipped: bool = False
    last: bool = False

    @property
    def place(self) -> bytes:
        """Its place in whole-key order."""
        return self.name.encode(errors="surrogatepass")

    @property
    def place_in_tree(self) -> bytes:
        """Its place in the order of a store that lists by tree."""
        return self.name.removesuffix("/").encode(errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request brought; `token` asks for the next one, None on the last."""

    seen: Sequence[Seen]
    token: str | None


@dataclass(frozen=True, slots=True)
class Level:
    """What is listed: the names below `prefix`, those directly in it or all of them."""

    prefix: str
    recursive: bool
    most: int


class Listing:
    """Lists one bucket, in whole-key UTF-8 order.

    Whether the store lists by tree is told by `by_tree`, else by its Server header, else by the
    first page that proves it.
    """

    def __init__(
        self, client: SignedClient, statuses: Statuses, *, by_tree: bool | None = None
    ) -> None:
        self._client = client
        self._statuses = statuses
        self._is_told = by_tree is not None
        self._by_tree = by_tree is True

    async def page(self, directory: StoreKey, *, recursive: bool, after: str, most: int) -> Page:
        """At most `most` entries of `directory` after the whole key `after`."""
        prefix = "" if directory.is_root else f"{directory.text}/"
        level = Level(prefix, recursive, most)
        if _place(after) >= _place(prefix) and not after.startswith(prefix):
            # The page would begin behind the directory.
            page, found = Page(()), False
        else:
            page, found = await self._gathered(level, after if after.startswith(prefix) else "")
        if not found and not directory.is_root:
            await self._must_exist(directory)
        return page

    async def _gathered(self, level: Level, after: str) -> tuple[Page, bool]:
        """A page, and whether there was anything at all."""
        by_tree = self._by_tree
        page = await self._gathered_once(level, after)
        if self._by_tree != by_tree:
            # The store has shown its order only meanwhile.
            page = await self._gathered_once(level, after)
        return page

    async def _gathered_once(self, level: Level, after: str) -> tuple[Page, bool]:
        entries: list[FileStatus] = []
        skipped = 0
        found = False
        async with aclosing(self._stream(level, after)) as stream:
            async for seen in stream:
                found = True
                skipped += seen.skipped
                if seen.status is not None:
                    entries.append(seen.status)
                if seen.last:
                    break
                if len(entries) == level.most:
                    return Page(tuple(entries), seen.name, skipped), found
        return Page(tuple(entries), None, skipped), found

    def _stream(self, level: Level, after: str) -> AsyncGenerator[Seen, None]:
        if not self._by_tree:
            return self._in_key_order(level, after)
        return self._walked(level, after) if level.recursive else self._one_level(level, after)

    async def _in_key_order(self, level: Level, after: str) -> AsyncGenerator[Seen, None]:
        """What the store lists, as it comes; ends early where it proves to list by tree."""
        previous = _place(after)
        token: str | None = None
        while True:
            batch = await self._batch(level, after, token)
            if self._by_tree:
                return
            for number, seen in enumerate(batch.seen, start=1):
                if (
                    seen.place <= previous
                    and seen.name != after
                    and not _leads_to(seen.name, after)
                ):
                    self._by_tree = True
                    return
                previous = max(previous, seen.place)
                if seen.place > _place(after):
                    ends = batch.token is None and number == len(batch.seen)
                    yield replace(seen, last=ends)
            token = batch.token
            if token is None:
                return

    async def _walked(self, level: Level, after: str) -> AsyncGenerator[Seen, None]:
        """All below the prefix, directory by directory."""
        name, deeper, _ = after[len(level.prefix) :].partition("/")
        if deeper:
            inner = replace(level, prefix=f"{level.prefix}{name}/")
            async with aclosing(self._walked(inner, after)) as stream:
                async for seen in stream:
                    yield replace(seen, last=False)
            after = inner.prefix
        async with aclosing(self._one_level(replace(level, recursive=False), after)) as stream:
            async for seen in stream:
                if not seen.name.endswith("/") or seen.name == level.prefix:
                    yield seen
                    continue
                yield Seen(seen.name, None)
                below = self._walked(replace(level, prefix=seen.name), "")
                async with aclosing(below) as inside:
                    async for deep in inside:
                        yield replace(deep, last=deep.last and seen.last)

    async def _one_level(self, level: Level, after: str) -> AsyncGenerator[Seen, None]:
        """The names directly below the prefix, put in order as they come.

        A directory is held back until no name can come any more that belongs before it.
        """
        overtaken = await self._overtaken(level, after)
        held = [(seen.place, seen) for seen in overtaken]
        heapq.heapify(held)
        known = {seen.name for seen in overtaken}
        token: str | None = None
        while True:
            batch = await self._batch(level, _start_in_tree(level.prefix, after), token)
            token = batch.token
            for seen in batch.seen:
                if seen.place > _place(after) and seen.name not in known:
                    heapq.heappush(held, (seen.place, seen))
            reached = max((seen.place_in_tree for seen in batch.seen), default=b"")
            while held and (token is None or held[0][0] <= reached):
                seen = heapq.heappop(held)[1]
                yield replace(seen, last=token is None and not held)
            if token is None:
                return

    async def _overtaken(self, level: Level, after: str) -> list[Seen]:
        """The directories that a store by tree lists before `after`, though they belong behind.

        Such a directory has a name that `after` goes on from with a letter before '/'.
        """
        rest = after[len(level.prefix) :]
        name = rest.partition("/")[0]
        ends = [end for end in range(1, len(name)) if name[end] < "/"]
        if rest and "/" not in rest:
            ends.append(len(name))
        found = []
        for end in ends:
            prefix = f"{level.prefix}{name[:end]}/"
            inside = await self._batch(Level(prefix, recursive=True, most=1), "", None)
            if inside.seen:
                found.append(_seen_prefix(prefix))
        return found

    async def _batch(self, level: Level, after: str, token: str | None) -> Batch:
        query = [("list-type", "2"), ("encoding-type", "url")]
        query.append(("max-keys", str(min(level.most, MOST_KEYS))))
        if level.prefix:
            query.append(("prefix", level.prefix))
        if not level.recursive:
            query.append(("delimiter", "/"))
        if token is not None:
            query.append(("continuation-token", token))
        elif after:
            query.append(("start-after", after))
        answer = await self._client.send(Request("GET", query=query))
        if answer.headers.get("server", "").startswith(_LISTS_BY_TREE):
            self._by_tree = self._by_tree or not self._is_told
        return _batch_of(answer.document(), level.prefix)

    async def _must_exist(self, directory: StoreKey) -> None:
        if await self._statuses.count_below(directory, most=1):
            return
        if await self._statuses.is_file(directory):
            raise NotADirectory(directory, "is a file")
        raise FileMissing(directory, "there is no such directory")


def _batch_of(document: Element, prefix: str) -> Batch:
    decode = unquote_plus if document.text("EncodingType") == "url" else str
    seen = [
        _seen_key(decode(found.text("Key")), found, prefix) for found in document.every("Contents")
    ]
    in_order = sorted(seen, key=lambda one: one.place) == seen
    seen += [
        _seen_prefix(decode(found.text("Prefix"))) for found in document.every("CommonPrefixes")
    ]
    token = document.text("NextContinuationToken")
    truncated = document.text("IsTruncated") == "true"
    if truncated and not token:
        raise StoreLied("listing", "the store says that it goes on, but not where")
    if in_order:
        seen.sort(key=lambda one: one.place)
    return Batch(seen, token if truncated else None)


def _seen_key(name: str, found: Element, prefix: str) -> Seen:
    if name.endswith("/"):
        # The empty object that makes a directory; with content it is a file without a name.
        empty = found.number("Size") == 0 and fault_of_key(name[:-1]) is None
        return Seen(name, None, skipped=not empty and name != prefix)
    if name == "" or fault_of_key(name) is not None:
        return Seen(name, None, skipped=True)
    etag = quoted(found.text("ETag"))
    return Seen(
        name,
        FileStatus(
            key=StoreKey(name),
            kind=Kind.FILE,
            size=found.number("Size"),
            modified_at=_whole_seconds(found.moment("LastModified")),
            fingerprint=fingerprint_of_etag(etag),
            etag=etag,
        ),
    )


def _seen_prefix(name: str) -> Seen:
    key = name[:-1]
    if key == "" or fault_of_key(key) is not None:
        return Seen(name, None, skipped=True)
    return Seen(name, directory_status(StoreKey(key)))


def _start_in_tree(prefix: str, after: str) -> str:
    """Where a store by tree has to begin, so that nothing after `after` is left out."""
    name, in_directory, _ = after[len(prefix) :].partition("/")
    if not in_directory:
        return after
    # Names that go on from the directory's with a letter before '/' belong before it.
    return f"{prefix}{name}.{_LAST_LETTER}"


def _leads_to(name: str, after: str) -> bool:
    """Whether `name` is a directory that `after` is in: stores differ in showing it again."""
    return name.endswith("/") and after.startswith(name)


def _whole_seconds(moment: datetime | None) -> datetime | None:
    # HEAD tells seconds only: one file must not have two times.
    return None if moment is None else moment.replace(microsecond=0)


def _place(name: str) -> bytes:
    return name.encode(errors="surrogatepass")
