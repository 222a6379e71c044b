"""Listings: HDFS's pages of a directory, turned into whole-key UTF-8 order.

HDFS orders names by *signed* bytes: names that begin with a letter outside ASCII come first, and
`a-ä` comes before `a-b`. And a directory `a` comes before `a-b`, where whole-key order, which
appends a slash, has it after. So entries are held back until nothing can come before them. Which
ones were held back is remembered while a large directory is listed page by page: a page begins
where the first of them was seen, and re-reads little. Where nothing is remembered, or the directory
was changed, it is read from its beginning: dearer, but as right.
"""

import heapq
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from forebay.model.errors import FileMissing, NotADirectory
from forebay.model.paths import OURS, StoreKey, fault_of_key
from forebay.model.status import FileStatus, Page

_SIGNED: Final = bytes(value ^ 0x80 for value in range(256))
_LEAD: Final = 0xC0
"""From here on a byte begins a letter outside ASCII (in between, it continues one)."""

_FIRST_ASCII: Final = "\x01"
"""A name before all that begin with ASCII and after all others, in HDFS's order."""

_DIRECTORIES_REMEMBERED: Final = 64
_HELD_REMEMBERED: Final = 4096
_PASSED_REMEMBERED: Final = 2048


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory; `status` is None where it is no store key."""

    name: str
    is_directory: bool
    status: FileStatus | None

    @property
    def position(self) -> bytes:
        """Where HDFS has it, compared by signed bytes."""
        return self.name.encode(errors="surrogatepass")

    @property
    def order(self) -> bytes:
        """Where whole-key order has it."""
        return self.position + b"/" if self.is_directory else self.position

    @property
    def is_ours(self) -> bool:
        """Whether it is hidden."""
        return self.name == OURS


@dataclass(frozen=True, slots=True)
class Batch:
    """Some entries in HDFS's order, and whether there are more after them."""

    entries: tuple[Entry, ...]
    more: bool


_Waiting = tuple[bytes, str, Entry]
"""Its place in whole-key order, the name that HDFS has before it, and the entry."""

Fetch = Callable[[StoreKey, str], Awaitable[Batch]]
"""Asks for the entries of a directory after a name."""

Ask = Callable[[StoreKey], Awaitable[FileStatus]]
"""Asks for a status."""


def entry_of(directory: StoreKey, name: str, status: Callable[[StoreKey], FileStatus]) -> Entry:
    """The entry `name` of `directory`."""
    # What is not UTF-8 arrives as U+FFFD: nobody can ask for it by that name.
    if fault_of_key(name) is None and "\ufffd" not in name:
        found = status(directory / name)
        return Entry(name, found.is_directory, found)
    return Entry(name, is_directory=False, status=None)


@dataclass(slots=True)
class _Learned:
    """What is known of one part of a large directory: which entries had to be held back."""

    beginning: str
    held: dict[bytes, tuple[bytes, str]] = field(default_factory=dict)
    passed: dict[bytes, None] = field(default_factory=dict)
    overflown: bool = False

    def start(self, after: bytes) -> str | None:
        """The name after which to read for all that comes after `after`; None: not known.

        It is known for keys that were given lately: what HDFS has before such a key, and
        whole-key order has after it, was being held back when the key was read.
        """
        position = after.rstrip(b"/")
        if self.overflown or after not in self.passed:
            return None
        behind = [
            (seen.translate(_SIGNED), before)
            for seen, (order, before) in self.held.items()
            if order > after and not _later(seen, position)
        ]
        if behind:
            return min(behind)[1]
        return position.decode()

    def gave(self, entry: Entry) -> None:
        """Remember that this key was given."""
        self.passed.pop(entry.order, None)
        self.passed[entry.order] = None
        if len(self.passed) > _PASSED_REMEMBERED:
            del self.passed[next(iter(self.passed))]

    def held_back(self, entry: Entry, before: str) -> None:
        """Remember that this entry is not given where HDFS has it: after the name `before`."""
        if len(self.held) >= _HELD_REMEMBERED:
            self.overflown = True
        else:
            self.held[entry.position] = (entry.order, before)


@dataclass(slots=True)
class _Known:
    """What is known of a large directory as it was at one modification time."""

    fingerprint: object
    ascii: _Learned = field(default_factory=lambda: _Learned(_FIRST_ASCII))
    others: _Learned = field(default_factory=lambda: _Learned(""))


class Listings:
    """Lists directories in whole-key order."""

    def __init__(self, fetch: Fetch, ask: Ask) -> None:
        self._fetch = fetch
        self._ask = ask
        self._known: OrderedDict[StoreKey, _Known] = OrderedDict()

    async def page(self, directory: StoreKey, *, recursive: bool, after: str, most: int) -> Page:
        """One page, by the promises of `Lists.list`."""
        prefix = "" if directory.is_root else f"{directory.text}/"
        below = _below(prefix, after)
        if below is None:
            if not (await self._ask(directory)).is_directory:
                raise NotADirectory(directory, "is a file")
            return Page(())
        walk = self._walk(directory, below) if recursive else self._ordered(directory, below)
        found: list[FileStatus] = []
        passed_over = counted = 0
        async for entry in walk:
            if entry.is_ours:
                continue
            if entry.status is None:
                passed_over += 1
            elif len(found) == most:
                return Page(tuple(found), _key_of(found[-1]) if found else after, counted)
            else:
                found.append(entry.status)
                # What is passed over after the last entry is counted by the next page.
                counted = passed_over
        return Page(tuple(found), None, passed_over)

    async def _walk(self, directory: StoreKey, after: bytes) -> AsyncIterator[Entry]:
        """All files below `directory`, and its empty directories, after a relative key."""
        head, slash, rest = after.partition(b"/")
        if slash:
            async for entry in self._rest_of(directory, head.decode(), rest):
                yield entry
            after = head + slash
        async for entry in self._ordered(directory, after):
            if not entry.is_directory or entry.is_ours:
                yield entry
                continue
            is_empty = True
            try:
                async for inner in self._walk(directory / entry.name, b""):
                    is_empty = is_empty and (inner.is_ours or inner.status is None)
                    yield inner
            except (FileMissing, NotADirectory):
                continue  # it went away meanwhile
            if is_empty:
                yield entry

    async def _rest_of(self, directory: StoreKey, name: str, after: bytes) -> AsyncIterator[Entry]:
        if fault_of_key(name) is not None or name == "":
            return
        try:
            async for entry in self._walk(directory / name, after):
                yield entry
        except (FileMissing, NotADirectory):
            return

    async def _ordered(self, directory: StoreKey, after: bytes) -> AsyncIterator[Entry]:
        """The entries of one directory after `after`, in order."""
        if not (after and directory in self._known):
            batch = await self._fetch(directory, "")
            if not batch.more:
                for entry in sorted(batch.entries, key=lambda entry: entry.order):
                    if entry.order > after:
                        yield entry
                return
        known = await self._known_of(directory, fresh=not after)
        if after < bytes([_LEAD]):
            async for entry in self._part(directory, known.ascii, after):
                yield entry
        async for entry in self._part(directory, known.others, after):
            yield entry

    async def _known_of(self, directory: StoreKey, *, fresh: bool) -> _Known:
        # Any name that comes or goes changes the directory's modification time.
        moment = (await self._ask(directory)).modified_at
        known = self._known.get(directory)
        if fresh or known is None or known.fingerprint != moment:
            known = self._known[directory] = _Known(moment)
        self._known.move_to_end(directory)
        while len(self._known) > _DIRECTORIES_REMEMBERED:
            self._known.popitem(last=False)
        return known

    async def _part(
        self, directory: StoreKey, learned: _Learned, after: bytes
    ) -> AsyncIterator[Entry]:
        """The entries that begin with ASCII, or the others, after `after`, in order."""
        start = learned.start(after)
        async for entry in self._reordered(
            directory, learned, learned.beginning if start is None else start
        ):
            if entry.order > after:
                learned.gave(entry)
                yield entry

    async def _reordered(
        self, directory: StoreKey, learned: _Learned, start: str
    ) -> AsyncIterator[Entry]:
        """The entries of one part that HDFS has after the name `start`, in whole-key order."""
        waiting: list[_Waiting] = []
        before = start
        is_ascii = learned.beginning == _FIRST_ASCII
        async for entry in self._scan(directory, start):
            if not is_ascii and entry.position < bytes([_LEAD]):
                break
            for due in _due(waiting, entry.position, is_ascii=is_ascii):
                yield due
            for _, read_before, held in waiting:
                learned.held_back(held, read_before)
            heapq.heappush(waiting, (entry.order, before, entry))
            before = entry.name
        while waiting:
            yield heapq.heappop(waiting)[2]

    async def _scan(self, directory: StoreKey, start: str) -> AsyncIterator[Entry]:
        """The entries after the name `start`, in HDFS's order."""
        more = True
        while more:
            batch = await self._fetch(directory, start)
            for entry in batch.entries:
                yield entry
            more = batch.more and bool(batch.entries)
            if more:
                start = batch.entries[-1].name


def _later(one: bytes, other: bytes) -> bool:
    """Whether HDFS has `one` after `other`."""
    return one.translate(_SIGNED) > other.translate(_SIGNED)


def _due(waiting: list[_Waiting], position: bytes, *, is_ascii: bool) -> Iterator[Entry]:
    """Take the entries that nothing read from `position` on can come before."""
    while waiting and _is_due(waiting[0][0], position, is_ascii=is_ascii):
        yield heapq.heappop(waiting)[2]


def _is_due(order: bytes, position: bytes, *, is_ascii: bool) -> bool:
    if not _later(position, order):
        return False
    common = 0
    while common < min(len(order), len(position)) and order[common] == position[common]:
        common += 1
    # Where it has a letter outside ASCII up to the place at which they part, names with an ASCII
    # letter there are still to come, and come before it. In the part of the directory whose names
    # all begin with such letters, the first one does not count.
    begin = 0 if is_ascii else 1
    return all(byte < _LEAD for byte in order[begin : common + 1])


def _below(prefix: str, after: str) -> bytes | None:
    """`after` relative to `prefix`; empty: from the beginning; None: beyond its end."""
    whole, start = after.encode(), prefix.encode()
    if whole.startswith(start):
        return whole[len(start) :]
    return b"" if whole < start else None


def _key_of(status: FileStatus) -> str:
    return f"{status.key.text}/" if status.is_directory else status.key.text
