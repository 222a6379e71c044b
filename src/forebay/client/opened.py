"""The shelves that this process has open for reading: each once, whoever reads it.

LMDB takes an environment once in a process, and not across a fork. So filesystems that read the
same shelf share one `OpenShelf`, and a forked child makes its own. Safe in threads.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Final
from weakref import WeakValueDictionary

from forebay.model.paths import fault_of_key
from forebay.model.ranges import BLOCK_BYTES
from forebay.shelf.descriptors import descriptor_room
from forebay.shelf.handles import Handle
from forebay.shelf.marks import NEVER, SNAPSHOT_SLOT
from forebay.shelf.reader import Entry, Extent, ShelfReader
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from forebay.shelf.snapshot import MountSnapshot
from forebay.shelf.tallies import Tally

_SWEEP_SECONDS: Final = 1.0
_COLD_BYTES: Final = 4 << 20
_SMALL_BYTES: Final = 4 * BLOCK_BYTES
_FEW_DESCRIPTORS: Final = 4
"""The share of the descriptors that a program lends to us: one in so many of what a node takes."""


def lake_text(name: bytes) -> str | None:
    """The lake path that a caller's name is, if it can be a file's."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    if len(text) < 2 or text[0] != "/" or fault_of_key(text[1:]) is not None:  # noqa: PLR2004
        return None
    return text


class OpenShelf:
    """A shelf and the one reader on it in this process.

    Args:
        shelf: opened by whoever owns it.
        now: the wall clock, in epoch seconds.
        monotonic: a clock that only goes on, in seconds.

    Attributes:
        process: the one it may be used in.
    """

    def __init__(
        self,
        shelf: Shelf,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        room = max(16, descriptor_room() // _FEW_DESCRIPTORS)
        self.process = os.getpid()
        self._shelf = shelf
        self._monotonic = monotonic
        self._reader = ShelfReader(shelf, lake_text, now, descriptors=room)
        self._lock = Lock()
        self._cold_reads = 0
        self._buffers: list[memoryview] = []
        self._tally: Tally | None = None
        self._is_counted = True
        self._mounts = MountSnapshot()
        self._mounts_mark = NEVER
        self._sweep_at = monotonic() + _SWEEP_SECONDS

    def find(self, path: str) -> Entry | None:
        """The file at a lake path, if something fresh is remembered of it.

        Raises:
            NodeAway: the index is another one now and cannot be opened: do not use this any more.
        """
        name = path.encode(errors="surrogatepass")
        with self._lock:
            if self._cold_reads:
                # The index must not be closed under them: it may be opened anew later.
                if self._shelf.epoch != self._shelf.opened_epoch:
                    return None
            elif self._monotonic() >= self._sweep_at:
                self._sweep_at = self._monotonic() + _SWEEP_SECONDS
                self._reader.sweep()
            return self._reader.find(name)

    def read(self, entry: Entry, at: int, count: int) -> bytes:
        """The bytes from `at` on that are held and right, at most `count`; b"": ask the door."""
        extent = self._extent(entry, at, count)
        if extent is None:
            return b""
        found = self._bytes(entry, at, extent)
        if len(found) == count or len(found) < extent[2]:
            return found
        parts = [found]
        got = len(found)
        while got < count and (extent := self._extent(entry, at + got, count - got)) is not None:
            found = self._bytes(entry, at + got, extent)
            parts.append(found)
            got += len(found)
            if len(found) < extent[2]:
                break
        return b"".join(parts)

    def read_into(self, entry: Entry, at: int, target: memoryview) -> int:
        """Fill `target` with what is held and right from `at` on; how many bytes that is."""
        got = 0
        while got < len(target):
            extent = self._extent(entry, at + got, len(target) - got)
            if extent is None:
                break
            done = self._fill(entry, at + got, extent, target[got : got + extent[2]])
            got += done
            if done < extent[2]:
                break
        return got

    def whole(self, entry: Entry) -> Handle | None:
        """An open file with exactly the bytes of `entry`, if all lie in one segment file."""
        with self._lock:
            handle = self._reader.whole(entry)
            if handle is not None and self._is_counted:
                # What is read of it afterwards nobody sees: it counts with its size.
                self._note(entry, entry.size)
            return handle

    def abandon(self) -> None:
        """Let go of it in a forked child: it is the parent's, whose locks must stay as they are."""
        self._shelf.abandon()

    def _extent(self, entry: Entry, at: int, count: int) -> Extent | None:
        with self._lock:
            extent = entry.extent(at, count)
            if extent is not None and self._is_counted:
                self._note(entry, extent[2])
            return extent

    def _note(self, entry: Entry, count: int) -> None:
        """Add to the tally of this process: the node counts what is read past it."""
        tally = self._tally or self._begin_tally()
        if tally is None:
            return
        if entry.tail is None:
            entry.tail = self._mount_of(entry.path)
        tally.add(entry.tail.decode(), count)

    def _begin_tally(self) -> Tally | None:
        name = f"{self.process}-{os.urandom(8).hex()}"
        try:
            self._tally = Tally(self._shelf.layout.tallies, name)
        except OSError:
            # A full disk, say. What is read is right without being counted.
            self._is_counted = False
        return self._tally

    def _mount_of(self, path: str) -> bytes:
        mark = self._shelf.names_marks.values[SNAPSHOT_SLOT]
        if mark != self._mounts_mark:
            self._mounts = self._shelf.names.snapshot()
            self._mounts_mark = NEVER if mark & 1 else mark
        place = self._mounts.resolve(path)
        return b"/" if place is None else place.mount.path.encode()

    def _bytes(self, entry: Entry, at: int, extent: Extent) -> bytes:
        handle, offset, count = extent
        if count <= _SMALL_BYTES:
            # Memory that is warm costs less than a second look whether the pages are.
            try:
                buffer = self._buffers.pop()
            except IndexError:
                buffer = memoryview(bytearray(_SMALL_BYTES))
            part = buffer[:count]
            found = part.tobytes() if _read_now(handle, offset, part) else None
            self._buffers.append(buffer)
            if found is not None:
                return found
        elif self._is_warm(handle, offset, count):
            return os.pread(handle.fd, count, offset)
        return b"".join(self._cold(entry, at, extent))

    def _fill(self, entry: Entry, at: int, extent: Extent, target: memoryview) -> int:
        handle, offset, count = extent
        if _read_now(handle, offset, target):
            return count
        done = 0
        for found in self._cold(entry, at, extent):
            target[done : done + len(found)] = found
            done += len(found)
        return done

    def _is_warm(self, handle: Handle, offset: int, count: int) -> bool:
        """Whether the pages are in memory: bytes from the disk must be verified first."""
        resident = self._reader.resident
        ends = (*range(offset, offset + count, BLOCK_BYTES), offset + count)
        return all(resident(handle, start, end - start) for start, end in pairwise(ends))

    def _cold(self, entry: Entry, at: int, extent: Extent) -> Sequence[bytes]:
        """What is right of an extent that must come from the disk, up to the first damage."""
        handle, offset, count = extent
        parts: list[bytes] = []
        with self._lock:
            self._cold_reads += 1
        try:
            for done in range(0, count, _COLD_BYTES):
                most = min(_COLD_BYTES, count - done)
                found = self._reader.verify_cold(entry, handle, offset + done, at + done, most)
                if found is None:
                    break
                parts.append(found)
        finally:
            with self._lock:
                self._cold_reads -= 1
        return parts


def _read_now(handle: Handle, offset: int, target: memoryview) -> bool:
    """Fill `target` with bytes whose pages are in memory; False if some are not: see `_cold`."""
    try:
        return os.preadv(handle.fd, (target,), offset, os.RWF_NOWAIT) == len(target)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        # The file system cannot tell (tmpfs, some network disks): take it as it comes.
        return os.preadv(handle.fd, (target,), offset) == len(target)


class _Table:
    """The shelves of a process, by directory."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.shelves: WeakValueDictionary[str, OpenShelf] = WeakValueDictionary()


_tables: Final[dict[int, _Table]] = {}
"""By process: LMDB's rule, an environment once in a process, is kept by nothing smaller."""


def opened(directory: Path) -> OpenShelf:
    """The shelf in `directory`, opened if it is not.

    Raises:
        NodeAway: there is none that can be read now.
    """
    table = _table()
    place = os.path.realpath(directory)
    with table.lock:
        known = table.shelves.get(place)
        if known is None:
            shelf = open_shelf(directory, ShelfOptions(), write=False, now=time.time)
            known = table.shelves[place] = OpenShelf(shelf)
        return known


def forget(broken: OpenShelf) -> None:
    """Open the shelf anew when it is asked for again: this one closed itself."""
    table = _table()
    with table.lock:
        for place, known in list(table.shelves.items()):
            if known is broken:
                del table.shelves[place]


def _table() -> _Table:
    """The table of this process; a forked child lets go of its parent's first."""
    process = os.getpid()
    for other in [known for known in _tables if known != process]:
        inherited = _tables.pop(other, None)
        # No lock is taken: a thread that the child does not have may hold it.
        for shelf in [] if inherited is None else list(inherited.shelves.values()):
            shelf.abandon()
    return _tables.setdefault(process, _Table())
