"""The short circuit: cached bytes read straight from the shelf on this host, asking nobody.

It is open to programs of the node's own user, and is a matter of speed alone: whatever it cannot
answer, the door can. So nothing that is wrong with a shelf is ever the reader's trouble.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forebay.model.errors import NodeAway

if TYPE_CHECKING:
    from forebay.client.opened import OpenShelf
    from forebay.shelf.handles import Handle
    from forebay.shelf.reader import Entry
    from forebay.shelf.shelf import Shelf

_LOOK_AGAIN_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class ShortCircuit:
    """The shelf of the node, while there is one that this process may read.

    Args:
        directory: of the shelf; None: read nothing.
        shelf: it, where this process has it open already.
        now: the wall clock, in epoch seconds.
        monotonic: a clock that only goes on, in seconds.
    """

    def __init__(
        self,
        directory: Path | None,
        shelf: "Shelf | None" = None,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._look_at = monotonic()
        self._opened: OpenShelf | None = None
        if shelf is not None:
            from forebay.client import opened  # noqa: PLC0415 - see `_open`

            self._opened = opened.OpenShelf(shelf, now, monotonic)

    def shelf(self) -> "OpenShelf | None":
        """The open shelf of this process, if there is one that can be read now."""
        opened = self._opened
        if opened is not None and opened.process == os.getpid():
            return opened
        return self._open()

    def find(self, path: str) -> "tuple[OpenShelf, Entry] | None":
        """The shelf and the file at a lake path, if something fresh is remembered of it."""
        opened = self.shelf()
        if opened is None:
            return None
        try:
            entry = opened.find(path)
        except Exception as error:  # noqa: BLE001 - the border: the door can answer in any case
            self._let_go(opened, error)
            return None
        return None if entry is None else (opened, entry)

    def read(self, opened: "OpenShelf", entry: "Entry", at: int, count: int) -> bytes:
        """The bytes that are held and right from `at` on, at most `count`; b"": ask the door."""
        try:
            return opened.read(entry, at, count)
        except Exception as error:  # noqa: BLE001 - see `find`
            self._let_go(opened, error)
            return b""

    def read_into(self, opened: "OpenShelf", entry: "Entry", at: int, target: memoryview) -> int:
        """Fill `target` with what is held and right from `at` on; how many bytes that is."""
        try:
            return opened.read_into(entry, at, target)
        except Exception as error:  # noqa: BLE001 - see `find`
            self._let_go(opened, error)
            return 0

    def whole(self, opened: "OpenShelf", entry: "Entry") -> "Handle | None":
        """An open file with exactly the bytes of the file, if all lie in one segment file."""
        try:
            return opened.whole(entry)
        except Exception as error:  # noqa: BLE001 - see `find`
            self._let_go(opened, error)
            return None

    def _open(self) -> "OpenShelf | None":
        """Open it, unless that was tried and failed just now."""
        if self._opened is not None:
            # A fork: the parent's is not to be touched.
            self._opened.abandon()
            self._opened = None
            self._look_at = self._monotonic()
        if self._directory is None or self._monotonic() < self._look_at:
            return None
        self._look_at = self._monotonic() + _LOOK_AGAIN_SECONDS
        if not is_ours(self._directory):
            return None
        # Only who has a shelf at hand pays for the libraries that read it.
        from forebay.client.opened import opened  # noqa: PLC0415

        try:
            self._opened = opened(self._directory)
        except NodeAway:
            return None
        return self._opened

    def _let_go(self, opened: "OpenShelf", error: Exception) -> None:
        """Leave the shelf alone for a moment, then look what is there."""
        from forebay.client.opened import forget  # noqa: PLC0415 - see `_open`

        _log.warning("shelf_left_alone directory=%s error=%r", self._directory, error)
        if isinstance(error, NodeAway):
            forget(opened)
        self._opened = None
        self._look_at = self._monotonic() + _LOOK_AGAIN_SECONDS


def is_ours(directory: Path) -> bool:
    """Whether there is a shelf that belongs to the user of this process."""
    try:
        return (directory / "run").stat().st_uid == os.geteuid()
    except OSError:
        return False
