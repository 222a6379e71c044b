"""Open segment files: a descriptor that is closed when its last user lets go."""

import os
from collections import deque
from threading import Lock


class OpenFiles:
    """How many descriptors this process has on each segment file.

    The quota asks it: a file that is unlinked but open still fills the disk.
    """

    __slots__ = ("_closed", "_counts", "_lock")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._lock = Lock()
        # A descriptor may be closed by the garbage collector, in any thread at any line, where no
        # lock may be taken: closings are queued and counted by whoever asks next.
        self._closed: deque[int] = deque()

    def opened(self, file: int) -> None:
        """Count a descriptor."""
        with self._lock:
            self._settle()
            self._counts[file] = self._counts.get(file, 0) + 1

    def closed(self, file: int) -> None:
        """Count its end."""
        self._closed.append(file)

    def count(self, file: int) -> int:
        """Descriptors open on `file`."""
        with self._lock:
            self._settle()
            return self._counts.get(file, 0)

    def total(self) -> int:
        """Descriptors open on all segment files."""
        with self._lock:
            self._settle()
            return sum(self._counts.values())

    def _settle(self) -> None:
        while self._closed:
            file = self._closed.popleft()
            left = self._counts[file] - 1
            if left:
                self._counts[file] = left
            else:
                del self._counts[file]


class Handle:
    """An open segment file. Whoever keeps the object keeps the descriptor: eviction only unlinks.

    Attributes:
        fd: the descriptor, for `os.sendfile` and `os.pread`.
        file: the number of the segment file.
    """

    __slots__ = ("_files", "fd", "file")

    fd: int
    file: int

    def __init__(self, path: str, file: int, files: OpenFiles, flags: int = os.O_RDONLY) -> None:
        self.fd = os.open(path, flags, 0o600)
        self.file = file
        self._files = files
        files.opened(file)

    def __del__(self) -> None:
        descriptor = getattr(self, "fd", None)
        if descriptor is not None:
            os.close(descriptor)
            self._files.closed(self.file)
