"""Listings: the keys of a bucket, rolled up into common prefixes, a page at a time."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from forebay.doors.s3.address import WHOLE_LAKE, bucket_path, key_of_path, path_of_key
from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.lake import Lake, LakeEntries, LakeEntry
from forebay.model.errors import AccessDenied, BadPath, FileMissing, NotADirectory
from forebay.model.grants import Caller
from forebay.model.paths import LakePath
from forebay.model.status import Kind

MOST_KEYS: Final = 1000

_HIGHEST: Final = "\U0010ffff"
"""Sorts after every character that a name has."""

_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


@dataclass(frozen=True, slots=True)
class ListWish:
    """What a listing shows: keys that begin with `prefix`, after `after`, at most `most`."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    most: int = MOST_KEYS


@dataclass(frozen=True, slots=True)
class Shown:
    """One key, or (without an entry) one common prefix."""

    key: str
    entry: LakeEntry | None


@dataclass(slots=True)
class Listing:
    """One page: what is shown, whether there is more, and the oldest knowledge it rests on."""

    shown: list[Shown] = field(default_factory=list)
    truncated: bool = False
    age: timedelta = timedelta(0)

    @property
    def last(self) -> str:
        """The last key or common prefix shown."""
        return self.shown[-1].key if self.shown else ""


async def list_keys(lake: Lake, caller: Caller, wish: ListWish) -> Listing:
    """The page that `wish` asks for.

    Raises:
        Refusal: there is no such bucket.
        BadPath: no key could have such a prefix, or marker.
        AccessDenied, StoreAway: as `files` says.
    """
    _must_be_text_of_a_key(wish.prefix)
    _must_be_text_of_a_key(wish.after)
    listing = Listing()
    if wish.most == 0:
        await must_be_bucket(lake, caller, wish.bucket)
        return listing
    await _Walk(lake, caller, wish, listing).fill()
    return listing


async def must_be_bucket(lake: Lake, caller: Caller, bucket: str) -> LakeEntry:
    """What is known of the directory that the bucket is.

    Raises:
        Refusal: there is no such bucket.
        AccessDenied: the caller may not even pass through it.
    """
    path = bucket_path(bucket)
    if not caller.may_pass(path):
        raise AccessDenied(path, f"{caller.key_id} has no read grant")
    try:
        entry = await lake.stat(caller, path, detailed=False)
    except FileMissing:
        raise no_such_bucket(bucket) from None
    if entry.kind is Kind.FILE:
        raise no_such_bucket(bucket)
    return entry


def no_such_bucket(bucket: str) -> Refusal:
    """There is none of that name."""
    message = "The specified bucket does not exist"
    return Refusal("NoSuchBucket", message, {"BucketName": bucket})


class _Walk:
    """The walk through the directory that a prefix names."""

    def __init__(self, lake: Lake, caller: Caller, wish: ListWish, listing: Listing) -> None:
        self._lake = lake
        self._caller = caller
        self._wish = wish
        self._listing = listing
        self._directory = wish.prefix[: wish.prefix.rfind("/") + 1]
        self._path = _directory_path(wish.bucket, self._directory)
        self._recursive = wish.delimiter != "/"
        self._group = ""
        self._is_done = False

    async def fill(self) -> None:
        """Show keys and common prefixes, in whole-key order, until the page is full."""
        inside = await self._group_around_the_marker()
        if inside:
            self._group = inside
            self._show(Shown(inside, None))
        page = await self._page(self._start())
        if page is not None and not page.entries and page.next_after is None:
            await self._show_empty_directory()
        while page is not None and not self._is_done:
            last = self._take(page)
            page = None if self._is_done else await self._next_page(page, last)

    def _take(self, page: LakeEntries) -> str:
        """Show what is on the page; the last key looked at."""
        prefix = self._wish.prefix
        key = ""
        for entry in page.entries:
            key = self._key_of(entry)
            if key.startswith(prefix):
                self._roll_up(key, entry)
            elif key > prefix:
                self._is_done = True
            if self._is_done:
                break
        return key

    def _roll_up(self, key: str, entry: LakeEntry) -> None:
        group = self._group_of(key)
        if not group:
            self._show(Shown(key, entry))
        elif group != self._group:
            self._group = group
            # A marker that is a common prefix has shown all that lies in it.
            if group != self._wish.after:
                self._show(Shown(group, None))

    def _show(self, shown: Shown) -> None:
        """Put it on the page, if there is room; else there is more."""
        if len(self._listing.shown) < self._wish.most:
            self._listing.shown.append(shown)
        else:
            self._listing.truncated = self._is_done = True

    def _group_of(self, key: str) -> str:
        """The common prefix that `key` is rolled up into; '' for none."""
        wish = self._wish
        at = key.find(wish.delimiter, len(wish.prefix)) if wish.delimiter else -1
        return "" if at < 0 else key[: at + len(wish.delimiter)]

    async def _group_around_the_marker(self) -> str:
        """The directory that the marker lies in, if keys after the marker are in it; '' if not.

        A listing of one level begins behind that directory; S3 shows it.
        """
        wish = self._wish
        group = self._group_of(wish.after) if wish.after.startswith(wish.prefix) else ""
        if self._recursive or group in {"", wish.after}:
            return ""
        try:
            path = path_of_key(wish.bucket, group)
            after = _after(wish.bucket, wish.after)
            page = await self._lake.list(self._caller, path, recursive=True, after=after, most=1)
        except (BadPath, FileMissing, NotADirectory, AccessDenied):
            return ""
        return group if page.entries else ""

    async def _page(self, after: str) -> LakeEntries | None:
        """The page after `after`; None if there is no such directory in the bucket."""
        if self._path is None:
            await must_be_bucket(self._lake, self._caller, self._wish.bucket)
            return None
        try:
            page = await self._lake.list(
                self._caller,
                self._path,
                recursive=self._recursive,
                after=after,
                most=self._wish.most + 1,
            )
        except (FileMissing, NotADirectory):
            await must_be_bucket(self._lake, self._caller, self._wish.bucket)
            return None
        self._listing.age = max(self._listing.age, page.age)
        return page

    async def _next_page(self, page: LakeEntries, last: str) -> LakeEntries | None:
        if page.next_after is None:
            return None
        if self._group and last.startswith(self._group):
            # All else in the common prefix is rolled up into it: pass it over.
            return await self._page(_after(self._wish.bucket, self._group + _HIGHEST))
        return await self._page(page.next_after)

    async def _show_empty_directory(self) -> None:
        """Show the directory itself as a key, which is done for empty ones only."""
        wish = self._wish
        key = self._directory
        if self._path is not None and key > wish.after and key.startswith(wish.prefix):
            self._show(Shown(key, await self._lake.stat(self._caller, self._path, detailed=False)))

    def _key_of(self, entry: LakeEntry) -> str:
        key = key_of_path(self._wish.bucket, entry.path)
        return f"{key}/" if entry.kind is Kind.DIRECTORY else key

    def _start(self) -> str:
        """What to begin after: the marker, or what sorts right before the prefix."""
        wish = self._wish
        if wish.after >= wish.prefix:
            return _after(wish.bucket, wish.after) if wish.after else ""
        if wish.prefix == self._directory:
            return ""
        before = chr(ord(wish.prefix[-1]) - 1)
        # Not every character may stand in a name; without it, it begins a little earlier.
        highest = "" if _CONTROL.search(before) else before + _HIGHEST
        return _after(wish.bucket, wish.prefix[:-1] + highest)


def _after(bucket: str, key: str) -> str:
    """The key as `files` wants it for `after`: the whole lake path, without the first '/'."""
    return key if bucket == WHOLE_LAKE else f"{bucket}/{key}"


def _directory_path(bucket: str, directory: str) -> LakePath | None:
    """The lake path of a prefix that ends in '/'; None where an empty part makes it no key's."""
    if directory.startswith("/") or "//" in directory:
        return None
    return path_of_key(bucket, directory)


def _must_be_text_of_a_key(text: str) -> None:
    """Let a prefix or a marker pass that some key could have; it may end within a name."""
    if _CONTROL.search(text) is not None:
        raise BadPath(text, "has a control character")
