"""An open file of the lake: a content with a position in it, as Python programs know files."""

import io
import os
from typing import TYPE_CHECKING, Final

from forebay.client.content import Content
from forebay.client.status import Info
from forebay.model.ranges import BLOCK_BYTES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PEEK_BYTES: Final = 8 << 10
_FIRST_AHEAD: Final = 4 * BLOCK_BYTES


class LakeFile(io.BufferedIOBase):
    """A file opened for reading. It keeps the content it was opened with, whatever happens.

    Bytes that the shelf holds are read straight from it. Through the door, forward reading fetches
    more and more ahead, up to `ahead` bytes. `pread` may be called from many threads at once; the
    position belongs to one, as with any file.

    Args:
        content: the bytes.
        ahead: how many bytes to fetch ahead at most.
    """

    mode: Final = "rb"

    def __init__(self, content: Content, ahead: int) -> None:
        super().__init__()
        self._content = content
        self._most_ahead = ahead
        self._ahead = _FIRST_AHEAD
        self._at = 0
        self._buffer_at = -1
        self._buffer = b""
        self.size = content.status.size

    @property
    def name(self) -> str:
        """Its lake path."""
        return self._content.status.path

    path = name
    full_name = name

    @property
    def etag(self) -> str:
        """The door's ETag of the content that is read."""
        return self._content.status.etag

    def info(self) -> Info:
        """The status of the file when it was opened."""
        return self._content.status.info()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, from the start, from here (1) or from the end (2)."""
        self._must_be_open()
        match whence:
            case os.SEEK_SET:
                place = offset
            case os.SEEK_CUR:
                place = self._at + offset
            case os.SEEK_END:
                place = self.size + offset
            case _:
                raise ValueError(f"whence is {whence}, and may be 0, 1 or 2")
        if place < 0:
            raise ValueError(f"seeks before the start: {place}")
        self._at = place
        return place

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, fewer only at the end; all that follow without a size."""
        self._must_be_open()
        left = max(0, self.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        found = self._read(self._at, count)
        self._at += count
        return found

    def read1(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; as many as are at hand without one."""
        return self.read(_PEEK_BYTES if size < 0 else size)

    def readinto(self, target: "WriteableBuffer", /) -> int:
        """Fill `target`; fewer bytes only at the end."""
        self._must_be_open()
        view = memoryview(target).cast("B")
        count = max(0, min(len(view), self.size - self._at))
        done = self._content.held_into(self._at, view[:count]) if count else 0
        if done < count:
            view[done:count] = self._read(self._at + done, count - done)
        self._at += count
        return count

    def readinto1(self, target: "WriteableBuffer", /) -> int:
        """The same as `readinto`."""
        return self.readinto(target)

    def peek(self, size: int = 0, /) -> bytes:
        """The next bytes, at least one unless at the end, without moving on."""
        self._must_be_open()
        if self._at >= self.size:
            return b""
        start = self._at - self._buffer_at
        if not 0 <= start < len(self._buffer):
            found = self._read(self._at, min(BLOCK_BYTES, self.size - self._at))
            if not 0 <= self._at - self._buffer_at < len(self._buffer):
                self._buffer_at, self._buffer = self._at, found
            start = self._at - self._buffer_at
        return self._buffer[start : start + max(size, _PEEK_BYTES)]

    def pread(self, count: int, at: int) -> bytes:
        """The bytes from `at` on, `count` of them or up to the end; the position stays."""
        self._must_be_open()
        return self._content.read(at, count)

    def close(self) -> None:
        """Let go of it."""
        self._buffer = b""
        super().close()

    def __repr__(self) -> str:
        return f"<LakeFile {self.name} etag={self.etag}>"

    def _read(self, at: int, count: int) -> bytes:
        start = at - self._buffer_at
        if start >= 0 and start + count <= len(self._buffer):
            return self._buffer[start : start + count]
        found = self._content.held(at, count)
        if len(found) == count:
            return found
        return found + self._fetch(at + len(found), count - len(found))

    def _fetch(self, at: int, count: int) -> bytes:
        """Bytes through the door; the more ahead the longer it goes forward."""
        buffer_end = self._buffer_at + len(self._buffer)
        if self._buffer_at <= at <= buffer_end:
            known = self._buffer[at - self._buffer_at :]
            self._ahead = min(2 * self._ahead, max(self._most_ahead, _FIRST_AHEAD))
            wanted = max(count, self._ahead)
        else:
            known = b""
            self._ahead = _FIRST_AHEAD
            # The node fetches whole blocks from its store in any case.
            wanted = -(-(at + count) // BLOCK_BYTES) * BLOCK_BYTES - at
        end = min(at + wanted, self.size)
        found = known + self._content.fetch(at + len(known), end - at - len(known))
        if count > self._most_ahead:
            # Only what was fetched ahead is worth keeping, and of so much nothing is.
            self._buffer_at, self._buffer = end, b""
        else:
            self._buffer_at, self._buffer = at, found
        return found[:count]

    def _must_be_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
