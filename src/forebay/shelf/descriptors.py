"""The descriptors that a reader keeps open: as many as fit, the least used closed first."""

import os
import resource
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from forebay.shelf.handles import Handle

_OTHERS: Final = 1024
"""Descriptors left to everything else in the process, before connections take theirs."""

_MANY: Final = 8192
"""A process that may open so many files is a server's: four fifths are for segment files."""

_MOST: Final = 65_536

_CHANCES: Final = 64
"""How many recently used descriptors are passed over before one is closed all the same."""


def descriptor_room(limit: int | None = None) -> int:
    """How many segment files may be kept open, where the process may open `limit` files.

    Most of many; of few, what leaves room for a program that knows nothing of us.
    """
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return _MOST
    if limit >= _MANY:
        return min(_MOST, limit * 4 // 5)
    return max(16, (limit - min(_OTHERS, limit // 2)) // 2)


class Descriptor:
    """A segment file that may be open.

    Attributes:
        file: its number.
        key: generation and segment in the index.
        slot: of the change marks of what it holds.
        mark: under which it was found in the index.
        handle: the open file, or None.
        used: since the second-chance hand came by.
    """

    __slots__ = ("file", "handle", "key", "mark", "slot", "used")

    def __init__(self, file: int, key: tuple[bytes, int], slot: int, mark: int) -> None:
        self.file = file
        self.key = key
        self.slot = slot
        self.mark = mark
        self.handle: Handle | None = None
        self.used = True


class Descriptors:
    """The kept ones, by file number."""

    __slots__ = ("_kept", "_room")

    def __init__(self, room: int) -> None:
        # Not a plain dict: finding the first of one, again and again, gets slower each time.
        self._kept: OrderedDict[int, Descriptor] = OrderedDict()
        self._room = room

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Descriptor]:
        return iter(list(self._kept.values()))

    def find(self, file: int) -> Descriptor | None:
        """The descriptor of a file, if it is kept."""
        return self._kept.get(file)

    def keep(self, descriptor: Descriptor, handle: Handle) -> None:
        """Keep an open file."""
        if len(self._kept) >= self._room:
            self.drop(self._worst())
        descriptor.handle = handle
        descriptor.used = True
        self._kept[descriptor.file] = descriptor

    def drop(self, file: int) -> None:
        """Let go of a file; it is closed when nobody sends from it any more."""
        descriptor = self._kept.pop(file, None)
        if descriptor is not None:
            descriptor.handle = None

    def halve(self) -> None:
        """Let go of half of them: the process has no descriptors left."""
        self._room = max(16, len(self._kept) // 2)
        while len(self._kept) > self._room:
            self.drop(self._worst())

    def clear(self) -> None:
        """Let go of all."""
        for file in list(self._kept):
            self.drop(file)

    def _worst(self) -> int:
        for _ in range(_CHANCES):
            file = next(iter(self._kept))
            descriptor = self._kept[file]
            if not descriptor.used:
                return file
            descriptor.used = False
            self._kept.move_to_end(file)
        return next(iter(self._kept))


def is_resident(handle: Handle, offset: int, count: int) -> bool:
    """Whether reading these bytes will not wait for the disk: the first and the last are probed."""
    probe = bytearray(1)
    try:
        os.preadv(handle.fd, (probe,), offset, os.RWF_NOWAIT)
        os.preadv(handle.fd, (probe,), offset + count - 1, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        # The file system cannot tell (tmpfs, some network disks): take it as it comes.
        return True
    return True
