"""The reader of a shelf: what readers on this host use without asking anyone.

It keeps decoded records and guards them by change marks, so that a look-up of a kept name costs
a few attribute reads and is never staler than the index. One thread (the event loop's) calls it;
`verify_cold` alone may be called from others.
"""

import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from forebay.model.errors import NodeAway, ShelfDamaged
from forebay.model.generation import Generation, door_etag
from forebay.model.ranges import BLOCK_BYTES, SEGMENT_BYTES
from forebay.model.status import Kind
from forebay.shelf.blocks import SEGMENT_KEY, SegmentRecord, decode_segment
from forebay.shelf.descriptors import Descriptor, Descriptors, descriptor_room, is_resident
from forebay.shelf.handles import Handle
from forebay.shelf.marks import NEVER, SNAPSHOT_SLOT, slot_of
from forebay.shelf.names import directory_id, remembered
from forebay.shelf.shelf import TOUCHED_BYTES, Damage, Shelf
from forebay.shelf.snapshot import Place
from forebay.shelf.verify import read_verified

Extent = tuple[Handle, int, int]
"""An open segment file, where in it, and how many bytes."""

_CHANCES: Final = 64
_TOUCH_MASK: Final = TOUCHED_BYTES - 1
_FOR_EVER: Final = float("inf")
_JITTER_SECONDS: Final = 1.0


class SegmentView:
    """A segment as a reader holds it: where its bytes lie.

    Attributes:
        start: its first byte in the whole file.
        end: the byte behind its last.
        shift: what to add to a place in the whole file to get the place in the segment file.
        full: whether every byte is held.
        bitmap: which blocks are, where not all.
        descriptor: its file.
    """

    __slots__ = ("bitmap", "descriptor", "end", "full", "mark", "shift", "start")

    def __init__(self, number: int, record: SegmentRecord, descriptor: Descriptor) -> None:
        self.start = number * SEGMENT_BYTES
        self.end = self.start + record.size
        self.shift = record.offset - self.start
        self.full = not record.bitmap
        self.bitmap = record.bitmap
        self.mark = descriptor.mark
        self.descriptor = descriptor

    def held(self, at: int, count: int) -> int:
        """How many bytes are held without a gap from `at` on, at most `count`."""
        end = min(at + count, self.end)
        if self.full:
            return end - at
        bitmap = self.bitmap
        first = block = (at - self.start) // BLOCK_BYTES
        last = (end - 1 - self.start) // BLOCK_BYTES
        while block <= last and bitmap[block >> 3] >> (block & 7) & 1:
            block += 1
        return 0 if block == first else min(end, self.start + block * BLOCK_BYTES) - at


class Entry:
    """A file, as the index knows it: fresh when `find` gave it, and of one generation for ever.

    Attributes:
        name: as the caller named it.
        path: its lake path.
        generation: which content (16 bytes).
        size: bytes.
        modified_ms: milliseconds since the epoch, or None.
        checked: when the store was last known to have it so, in epoch seconds.
        fresh_until: until when that may be relied on, in epoch seconds.
        etag: the door's ETag, with quotes.
        content_type: b"" where it is not known.
        detailed: whether it is not known because there is none: the store was asked for it all.
        tail: free for the door: header lines that stay the same as long as the file does.
    """

    __slots__ = (
        "_block_mark",
        "_block_slot",
        "_name_mark",
        "_name_slot",
        "_reader",
        "_view",
        "_views",
        "checked",
        "content_type",
        "detailed",
        "etag",
        "fresh_until",
        "generation",
        "modified_ms",
        "name",
        "path",
        "size",
        "tail",
        "used",
    )

    name: bytes
    path: str
    generation: bytes
    size: int
    modified_ms: int | None
    checked: float
    fresh_until: float
    etag: bytes
    content_type: bytes
    detailed: bool
    tail: bytes | None
    used: bool
    _reader: "ShelfReader"
    _name_slot: int
    _name_mark: int
    _block_slot: int
    _block_mark: int
    _view: SegmentView | None
    _views: dict[int, SegmentView] | None

    def extent(self, at: int, count: int) -> Extent | None:
        """The longest run of held and trusted bytes from `at` on, inside one segment file.

        At most `count` (> 0) bytes; None if the first of them is not held, or not verified since
        an unclean end (ask the keeper). The handle keeps the file readable for as long as it is
        kept, whatever is evicted.
        """
        view = self._view
        if view is not None and view.full and view.start <= at < view.end:
            descriptor = view.descriptor
            handle = descriptor.handle
            if handle is not None:
                descriptor.used = True
                self._reader.touched[descriptor.file & _TOUCH_MASK] = 1
                end = view.end
                return handle, at + view.shift, count if at + count <= end else end - at
        return self._reader.look(self, at, count)


class ShelfReader:
    """Finds files by name, and their bytes.

    Args:
        shelf: the open shelf.
        path_of: the lake path that a caller's name means (URL path bytes for the S3 door), or None.
        now: the wall clock, in epoch seconds.
        entries: how many decoded records to keep.
        descriptors: how many segment files to keep open; None: by RLIMIT_NOFILE.
    """

    def __init__(
        self,
        shelf: Shelf,
        path_of: Callable[[bytes], str | None],
        now: Callable[[], float],
        *,
        entries: int = 65_536,
        descriptors: int | None = None,
    ) -> None:
        self._shelf = shelf
        self._path_of = path_of
        self._now = now
        self._room = entries
        self._swept_at = now()
        # Of a plain dictionary the first item is found ever more slowly as first items go.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._descriptors = Descriptors(descriptor_room() if descriptors is None else descriptors)
        self._attach()
        shelf.on_unlinked(self._descriptors.drop)

    def __len__(self) -> int:
        """Decoded records kept."""
        return len(self._entries)

    @property
    def open_files(self) -> int:
        """Descriptors kept."""
        return len(self._descriptors)

    def find(self, name: bytes) -> Entry | None:
        """The file of that name, if something fresh is remembered of it; None: ask a door."""
        entry = self._entries.get(name)
        if (
            entry is not None
            and self._name_marks[entry._name_slot] == entry._name_mark  # noqa: SLF001 - its maker
            and self._block_marks[entry._block_slot] == entry._block_mark  # noqa: SLF001
            and self._name_marks[SNAPSHOT_SLOT] == self._snapshot_mark
            and entry.fresh_until >= self._now()
        ):
            entry.used = True
            return entry
        return self._load(name)

    def whole(self, entry: Entry) -> Handle | None:
        """An open file with exactly the bytes of `entry`, if all lie in one segment file.

        Hand out `/proc/self/fd/N` of it, or map it, for as long as the handle is kept.
        """
        if not 0 < entry.size <= SEGMENT_BYTES:
            return None
        extent = entry.extent(0, entry.size)
        if extent is None or extent[1] != 0 or extent[2] != entry.size:
            return None
        return extent[0]

    def resident(self, handle: Handle, offset: int, count: int) -> bool:
        """Whether sending these bytes will not wait for the disk (a probe of both ends)."""
        return is_resident(handle, offset, count)

    def verify_cold(
        self, entry: Entry, handle: Handle, offset: int, at: int, count: int
    ) -> bytes | None:
        """Read bytes from the disk and compare the blocks they lie in with their checksums.

        For an extent `(handle, offset, count)` of `entry` at `at` whose pages are not resident;
        afterwards they are. Waits for the disk: call it from a thread, with a bounded `count`.
        None: a block is damaged; it was reported to the keeper and must not be sent (ask a door).
        """
        number = at // SEGMENT_BYTES
        before = (at - number * SEGMENT_BYTES) % BLOCK_BYTES
        first = (at - number * SEGMENT_BYTES) // BLOCK_BYTES
        segment_size = min(entry.size - number * SEGMENT_BYTES, SEGMENT_BYTES)
        stop = -(-(before + count) // BLOCK_BYTES)
        length = min(stop * BLOCK_BYTES, segment_size - first * BLOCK_BYTES)
        blocks = range(first, first + stop)
        row = self._shelf.blocks.raw(SEGMENT_KEY.pack(entry.generation, number))
        found, damaged = read_verified(self._shelf.blocks, handle, blocks, offset - before, length)
        if not damaged:
            return found[before : before + count]
        self._shelf.report(
            [Damage(entry.generation, number, handle.file, block) for block in damaged],
            row if row is not None else b"",
        )
        return None

    def sweep(self) -> None:
        """Once a second: let go of files that are held no longer, and follow a new index.

        Raises:
            NodeAway: (in a process that only reads) the index is another one and cannot be opened.
        """
        now = self._now()
        if now < self._swept_at:
            # The clock went back: what is kept would look fresh for too long.
            self._entries.clear()
        self._swept_at = now
        try:
            if self._shelf.renew():
                self._attach()
        except NodeAway:
            self._entries.clear()
            self._descriptors.clear()
            raise
        for descriptor in self._descriptors:
            mark = self._block_marks[descriptor.slot]
            if mark == descriptor.mark:
                continue
            record = self._shelf.blocks.segment(*descriptor.key)
            if record is None or record.file != descriptor.file:
                self._descriptors.drop(descriptor.file)
            else:
                descriptor.mark = mark

    def close(self) -> None:
        """Let go of all descriptors and records."""
        self._entries.clear()
        self._descriptors.clear()

    def look(self, entry: Entry, at: int, count: int) -> Extent | None:
        """What `Entry.extent` does when the short way is not open."""
        if not 0 <= at < entry.size or count <= 0:
            return None
        for _ in range(_CHANCES):
            view = self._view(entry, at)
            held = 0 if view is None else view.held(at, count)
            if view is None or not held:
                return None
            handle = self._open(view.descriptor)
            if handle is not None:
                self.touched[handle.file & _TOUCH_MASK] = 1
                return handle, at + view.shift, held
            # Evicted since the record was read: the index knows more by now.
            self._forget_views(entry)
        return None

    def _attach(self) -> None:
        shelf = self._shelf
        self._name_marks = shelf.names_marks.values
        self._block_marks = shelf.blocks_marks.values
        self.touched = shelf.touched
        self._entries.clear()
        self._descriptors.clear()
        self._read_snapshot()

    def _read_snapshot(self) -> None:
        mark = self._name_marks[SNAPSHOT_SLOT]
        self._snapshot = self._shelf.names.snapshot()
        self._snapshot_mark = NEVER if mark & 1 else mark
        self._entries.clear()

    def _follow(self) -> bool:
        """See to it that the index and the mount table are those of now; False: there is none."""
        shelf = self._shelf
        if shelf.epoch != shelf.opened_epoch or not shelf.is_open:
            try:
                self.sweep()
            except NodeAway:
                return False
        if self._name_marks[SNAPSHOT_SLOT] != self._snapshot_mark:
            self._read_snapshot()
        return True

    def _load(self, name: bytes) -> Entry | None:
        if not self._follow():
            return None
        old = self._entries.pop(name, None)
        path = self._path_of(name)
        if path is None:
            return None
        place = self._snapshot.resolve(path)
        if place is None:
            return None
        entry = self._read(name, path, place)
        if entry is None or not self._is_fresh(entry):
            return None
        if old is not None and _alike(old, entry):
            entry.tail = old.tail
        if len(self._entries) >= self._room:
            self._evict()
        self._entries[name] = entry
        return entry

    def _is_fresh(self, entry: Entry) -> bool:
        now = self._now()
        if entry.fresh_until < now:
            return False
        # What was seen later than now was seen before the clock went back: it is of any age.
        return entry.checked <= now + _JITTER_SECONDS or entry.fresh_until == _FOR_EVER

    def _read(self, name: bytes, path: str, place: Place) -> Entry | None:
        directory, _, last = place.key.rpartition("/")
        try:
            identity = directory_id(place.store, directory)
            key = identity + last.encode()
        except UnicodeEncodeError:
            return None
        slot = slot_of(key)
        # The mark is taken before the record is read, never after.
        mark = self._name_marks[slot]
        found = self._shelf.names.raw(key, identity)
        if found is None:
            return None
        known = remembered(found[0], found[1], place.store, directory)
        if known is None or known.record.kind is not Kind.FILE:
            return None
        record = known.record
        entry = Entry()
        entry._reader = self  # noqa: SLF001 - this is where entries are made
        entry._name_slot, entry._name_mark = slot, NEVER if mark & 1 else mark  # noqa: SLF001
        entry.name, entry.path, entry.used, entry.tail = name, path, True, None
        entry.generation, entry.size = record.generation, record.size
        entry.modified_ms = record.modified_ms
        entry.checked = known.checked_ms / 1000
        entry.fresh_until = _FOR_EVER if place.sync is None else entry.checked + place.sync
        entry.etag = (record.etag or door_etag(Generation(record.generation))).encode()
        entry.content_type = (record.content_type or "").encode()
        entry.detailed = record.detailed
        self._read_views(entry)
        return entry

    def _read_views(self, entry: Entry) -> None:
        """What of the file's first segment is held; the others are read when they are wanted."""
        entry._block_slot = slot_of(entry.generation)  # noqa: SLF001
        mark = self._block_marks[entry._block_slot]  # noqa: SLF001
        entry._block_mark = NEVER if mark & 1 else mark  # noqa: SLF001
        entry._views = None if entry.size <= SEGMENT_BYTES else {}  # noqa: SLF001
        entry._view = self._read_view(entry, 0, entry._block_mark)  # noqa: SLF001
        if entry._views is not None and entry._view is not None:  # noqa: SLF001
            entry._views[0] = entry._view  # noqa: SLF001

    def _read_view(self, entry: Entry, number: int, mark: int) -> SegmentView | None:
        if not self._shelf.is_open:
            return None
        raw = self._shelf.blocks.raw(SEGMENT_KEY.pack(entry.generation, number))
        if raw is None:
            return None
        record = decode_segment(raw)
        if record.run < self._shelf.trusted_run or self._is_suspect(record.file, raw):
            return None
        kept = self._descriptors.find(record.file)
        if kept is None:
            key = entry.generation, number
            kept = Descriptor(record.file, key, entry._block_slot, mark)  # noqa: SLF001
        kept.mark = mark
        return SegmentView(number, record, kept)

    def _view(self, entry: Entry, at: int) -> SegmentView | None:
        """The view of the segment that holds `at`, read again if it does not hold it."""
        number = at // SEGMENT_BYTES
        view = entry._view  # noqa: SLF001
        if entry._views is not None:  # noqa: SLF001
            view = entry._views.get(number)  # noqa: SLF001
        mark = self._block_marks[entry._block_slot]  # noqa: SLF001
        if view is not None and (view.mark == mark or view.held(at, 1)):
            entry._view = view  # noqa: SLF001
            return view
        if view is None and entry._views is None and mark == entry._block_mark:  # noqa: SLF001
            return None
        view = self._read_view(entry, number, NEVER if mark & 1 else mark)
        entry._view = view  # noqa: SLF001
        if entry._views is not None and view is not None:  # noqa: SLF001
            entry._views[number] = view  # noqa: SLF001
        return view

    def _forget_views(self, entry: Entry) -> None:
        entry._view = None  # noqa: SLF001
        entry._block_mark = NEVER  # noqa: SLF001
        if entry._views is not None:  # noqa: SLF001
            entry._views.clear()  # noqa: SLF001

    def _is_suspect(self, file: int, row: bytes) -> bool:
        suspects = self._shelf.suspects
        if suspects and file in suspects:
            if suspects[file] == row:
                return True
            suspects.pop(file, None)
        return False

    def _open(self, descriptor: Descriptor) -> Handle | None:
        """The open file, or None if it is unlinked or known to be damaged."""
        if self._shelf.suspects and descriptor.file in self._shelf.suspects:
            return None
        if descriptor.handle is not None:
            descriptor.used = True
            return descriptor.handle
        kept = self._descriptors.find(descriptor.file)
        if kept is not None and kept.handle is not None:
            kept.used = True
            return kept.handle
        path = self._shelf.layout.segment(descriptor.file)
        try:
            handle = Handle(path, descriptor.file, self._shelf.files)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise ShelfDamaged(path, os.strerror(error.errno or 0)) from error
            self._descriptors.halve()
            return None
        self._descriptors.keep(descriptor, handle)
        return handle

    def _evict(self) -> None:
        """Second chance: nothing is done at a hit but to set one attribute."""
        entries = self._entries
        for _ in range(_CHANCES):
            name, entry = entries.popitem(last=False)
            if not entry.used:
                return
            entry.used = False
            entries[name] = entry
        entries.popitem(last=False)


def _alike(old: Entry, new: Entry) -> bool:
    """Whether the door's header lines stay the same."""
    return (
        old.generation == new.generation
        and old.modified_ms == new.modified_ms
        and old.etag == new.etag
        and old.content_type == new.content_type
    )
