"""The quota: how much of the disk the cache uses, and whether more fits."""

from collections.abc import Callable
from typing import Final

from forebay.model.ranges import BLOCK_BYTES
from forebay.shelf.handles import OpenFiles

_DISK_BLOCK: Final = 4096

_ASK_SECONDS: Final = 0.25
_ASK_BYTES: Final = 64 << 20
"""How long, and for how many bytes, an answer about the free disk is good."""


def disk_bytes(count: int) -> int:
    """What `count` bytes take on the disk."""
    return -(-count // _DISK_BLOCK) * _DISK_BLOCK


def disk_bytes_of(blocks: range, size: int) -> int:
    """What consecutive blocks of a segment of `size` bytes take on the disk."""
    return disk_bytes(min(blocks.stop * BLOCK_BYTES, size) - blocks.start * BLOCK_BYTES)


class Quota:
    """Counts what is entered, what is reserved for fills, and what is unlinked but still open.

    Their sum never exceeds `quota_bytes`: bytes are reserved before they are fetched.

    Args:
        quota_bytes: the limit.
        free_bytes: what the disk must keep free.
        files: the descriptors of this process.
        disk_free: asks how many bytes the disk has free.
        now: a clock, in seconds.
    """

    def __init__(
        self,
        quota_bytes: int,
        free_bytes: int,
        files: OpenFiles,
        disk_free: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        self.quota_bytes = quota_bytes
        self.entered = 0
        self.reserved = 0
        self._free_bytes = free_bytes
        self._files = files
        self._disk_free = disk_free
        self._now = now
        self._unlinked: dict[int, int] = {}
        self._full_since = self._full_seconds = float("-inf")
        self._left = self._since = 0
        self._asked_at = float("-inf")

    @property
    def unlinked_open(self) -> int:
        """Bytes of files that are unlinked and that this process still has open."""
        for file in [file for file in self._unlinked if not self._files.count(file)]:
            del self._unlinked[file]
        return sum(self._unlinked.values())

    @property
    def used(self) -> int:
        """All that counts against the quota."""
        return self.entered + self.reserved + self.unlinked_open

    @property
    def is_full(self) -> bool:
        """Whether the disk refused a write a short while ago."""
        # Not so either when the clock went back: then the disk is tried again.
        return 0 <= self._now() - self._full_since < self._full_seconds

    def short(self, count: int) -> int:
        """How many bytes must go before `count` more fit; 0 or less: they do."""
        over = self.used + count - self.quota_bytes
        # What is reserved may be written or not: the careful answer is that none of it is.
        under = self._free_bytes + self.reserved + count - self._disk_left()
        return max(over, under)

    def _disk_left(self) -> int:
        """What the disk has free, asked now and then: the question waits for a lock of the kernel.

        What was set aside since it was last asked is taken off.
        """
        now = self._now()
        if not 0 <= now - self._asked_at < _ASK_SECONDS or self._since > _ASK_BYTES:
            self._left, self._asked_at, self._since = self._disk_free(), now, 0
        return self._left - self._since

    def reserve(self, count: int) -> bool:
        """Set `count` bytes aside, if they fit."""
        if count and (self.is_full or self.short(count) > 0):
            return False
        self.reserved += count
        self._since += count
        return True

    def release(self, count: int) -> None:
        """Give back what was set aside and not used."""
        self.reserved -= count

    def enter(self, count: int) -> None:
        """What was set aside is in the index now."""
        self.reserved -= count
        self.entered += count

    def unlink(self, file: int, entered: int, reserved: int = 0) -> None:
        """A segment file is unlinked; it counts for as long as this process has it open."""
        self.entered -= entered
        self.reserved -= reserved
        # The disk has more room now, or will have soon.
        self._asked_at = float("-inf")
        self._unlinked[file] = self._unlinked.get(file, 0) + entered + reserved

    def disk_refused(self, seconds: float) -> None:
        """A write failed: let nothing in for a while."""
        self._full_since, self._full_seconds = self._now(), seconds
