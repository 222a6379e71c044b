"""The eviction order: which segments go when room is needed (SIEVE).

A hand walks the segment files from the oldest to the newest, and round again. One that was read
since the hand last came by is passed over once; one that was not goes. New segments are not
ahead of it: a scan passes through without pushing out what is read again and again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from forebay.shelf.blocks import HeldFile


@dataclass(frozen=True, slots=True)
class Eviction:
    """What the hand decided.

    Attributes:
        dropped: the segment files to drop, in this order.
        spared: files that were read: their mark is to be cleared.
        hand: the file number at which the hand goes on next time.
        freed: bytes that the dropped ones hold.
    """

    dropped: tuple[HeldFile, ...]
    spared: tuple[int, ...]
    hand: int
    freed: int


def to_evict(
    walk: Iterable[HeldFile],
    room: int,
    visited: Callable[[int], bool],
    busy: Callable[[int], bool],
) -> Eviction:
    """Decide what to drop to free `room` bytes, or as much of it as there is.

    `walk` gives the files from the hand on and round: each at most twice, so that one that was
    read is met again unread. Files that are `busy` (being filled) are passed over.
    """
    dropped: dict[int, HeldFile] = {}
    spared: set[int] = set()
    hand = freed = 0
    for held in walk:
        if freed >= room:
            break
        hand = held.file + 1
        if held.file in dropped or busy(held.file):
            continue
        if held.file not in spared and visited(held.file):
            spared.add(held.file)
            continue
        dropped[held.file] = held
        freed += held.held
    return Eviction(tuple(dropped.values()), tuple(sorted(spared)), hand, freed)
