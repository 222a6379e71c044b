"""Listings of directories of this host, in whole-key UTF-8 order."""

import os
import stat
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Final

from forebay.model.errors import BadPath, NotADirectory
from forebay.model.paths import OURS, StoreKey, fault_of_key
from forebay.model.status import FileStatus, Page
from forebay.stores.local_files.tree import Tree

_REMEMBERED_DIRECTORIES: Final = 4
_REMEMBERED_NAMES: Final = 1_000_000
_SETTLED: Final = 2_000_000_000
"""Nanoseconds after which a directory's time tells each later change of it: file systems count in
steps of some milliseconds, so that two changes at once may look like one."""

_Entries = Generator[tuple[bytes, FileStatus | None], None, None]


@dataclass(frozen=True, slots=True)
class _Names:
    """The names in one directory, in order: encoded, a directory's with '/' appended."""

    identity: tuple[int, int]
    changed_at: int
    ordered: Sequence[bytes]


class NamesInOrder:
    """Reads directories, and remembers the last ones, so that a page costs no new sorting."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._remembered: OrderedDict[tuple[int, int], _Names] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, tree: Tree, key: StoreKey, number: int) -> _Names:
        """The names in the directory `key`, which is open as `number`."""
        found = os.fstat(number)
        identity = (found.st_dev, found.st_ino)
        with self._lock:
            known = self._remembered.get(identity)
            if known is not None and known.changed_at == found.st_mtime_ns:
                self._remembered.move_to_end(identity)
                return known
        now = self._clock()
        with os.scandir(number) as entries:
            ordered = sorted(_ordered_name(tree, key, entry) for entry in entries)
        names = _Names(identity, found.st_mtime_ns, ordered)
        if now - found.st_mtime_ns > _SETTLED and len(ordered) <= _REMEMBERED_NAMES:
            with self._lock:
                self._remembered[identity] = names
                if len(self._remembered) > _REMEMBERED_DIRECTORIES:
                    self._remembered.popitem(last=False)
        return names


def _ordered_name(tree: Tree, key: StoreKey, entry: "os.DirEntry[str]") -> bytes:
    name = os.fsencode(entry.name)
    if entry.is_symlink():
        found = _found(tree, _child(key, entry.name))
        is_directory = found is not None and stat.S_ISDIR(found.st_mode)
    else:
        is_directory = entry.is_dir(follow_symlinks=False)
    return name + b"/" if is_directory else name


def _child(key: StoreKey, name: str) -> StoreKey | None:
    """The key of a name in a directory, or None if it can have none."""
    return None if fault_of_key(name) is not None else key / name


def _found(tree: Tree, key: StoreKey | None) -> os.stat_result | None:
    """What is at `key`; None where nothing is, or nothing that we may show."""
    if key is None:
        return None
    try:
        with tree.place(key) as place:
            return place.look()
    except (FileNotFoundError, NotADirectoryError, BadPath):
        return None


@dataclass(frozen=True, slots=True)
class _Listing:
    """One walk through what is below `directory`, from `after` on."""

    tree: Tree
    names: NamesInOrder
    directory: StoreKey
    recursive: bool
    after: bytes

    def entries(self) -> _Entries:
        """In order; None stands for a name that cannot be shown."""
        with self.tree.opened(self.directory) as number:
            names = self.names.of(self.tree, self.directory, number)
            yield from self._below(self.directory, number, names, frozenset())

    def _below(
        self, key: StoreKey, number: int, names: _Names, above: frozenset[tuple[int, int]]
    ) -> _Entries:
        prefix = b"" if key.is_root else key.text.encode() + b"/"
        for name in names.ordered[_first_after(names.ordered, prefix, self.after) :]:
            if _is_ours(name):
                continue
            whole = prefix + name
            child = _child(key, os.fsdecode(name.removesuffix(b"/")))
            if child is not None and self.recursive and name.endswith(b"/"):
                yield from self._inside(child, whole, above | {names.identity})
            elif whole > self.after:
                try:
                    status = self._status(child, number)
                except FileNotFoundError:
                    continue
                yield whole, status

    def _inside(self, key: StoreKey, whole: bytes, above: frozenset[tuple[int, int]]) -> _Entries:
        """What is in a directory met on the way; if nothing is, the directory itself."""
        with ExitStack() as stack:
            try:
                number = stack.enter_context(self.tree.opened(key))
            except (FileNotFoundError, NotADirectoryError):
                # It went away meanwhile, and may or may not be shown.
                return
            names = self.names.of(self.tree, key, number)
            if names.identity in above:
                # A link to a directory that it lies in: there is no end to what is below.
                if whole > self.after:
                    yield whole, None
            elif all(map(_is_ours, names.ordered)):
                if whole > self.after:
                    yield whole, self.tree.status(key, os.fstat(number))
            else:
                yield from self._below(key, number, names, above)

    def _status(self, key: StoreKey | None, directory: int) -> FileStatus | None:
        if key is None:
            return None
        found = os.stat(key.name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            followed = _found(self.tree, key)
            return None if followed is None else self.tree.status(key, followed)
        return self.tree.status(key, found)


def _is_ours(name: bytes) -> bool:
    return name.rstrip(b"/") == OURS.encode()


def _first_after(ordered: Sequence[bytes], prefix: bytes, after: bytes) -> int:
    """The first of the names that is after `after`, or a directory that holds it."""
    if not after.startswith(prefix):
        return 0 if after < prefix else len(ordered)
    rest = after[len(prefix) :]
    first, slash, _ = rest.partition(b"/")
    # A directory that `after` lies in comes before it, and may hold what comes after it.
    return (
        bisect_right(ordered, rest)
        if not slash
        else max(0, bisect_right(ordered, first + slash) - 1)
    )


def page_of(
    tree: Tree, names: NamesInOrder, directory: StoreKey, after: str, *, recursive: bool, most: int
) -> Page:
    """One page of the listing of `directory`."""
    with tree.place(directory) as place:
        if not stat.S_ISDIR(place.look().st_mode):
            raise NotADirectory(directory, "is a file")
    listing = _Listing(tree, names, directory, recursive, after.encode(errors="surrogateescape"))
    shown: list[FileStatus] = []
    last = b""
    unaddressable = 0
    with closing(listing.entries()) as entries:
        for whole, status in entries:
            if len(shown) == most:
                return Page(tuple(shown), last.decode(), unaddressable)
            if status is None:
                unaddressable += 1
            else:
                shown.append(status)
                last = whole
    return Page(tuple(shown), None, unaddressable)
