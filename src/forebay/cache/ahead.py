"""Reading ahead: how far beyond what was asked for, of a file that is read forward."""

from typing import Final

FIRST_BYTES: Final = 1 << 20
"""The first window, once a second read followed a first; windows end at multiples of it."""


class ReadAhead:
    """The window of one generation: doubles as long as reads go forward, closes at a jump.

    Args:
        most: the widest window, in bytes.
    """

    __slots__ = ("_asked", "_begin", "_fetched", "_most", "_window")

    def __init__(self, most: int) -> None:
        self._most = most
        self._window = 0
        self._begin = self._asked = self._fetched = -1

    def reach(self, start: int, end: int, allowed: int) -> int:
        """Where to fetch to when [start, end) is read and `allowed` bytes more may be fetched.

        A read with the same end goes on and changes nothing. Forward is a read that begins behind
        the beginning of the last one and not behind the end of what was fetched: readers skip a
        little, and what was read ahead may have been read without asking.
        """
        if end != self._asked:
            if self._begin < start <= self._fetched and end > self._asked:
                self._window = min(max(self._window * 2, FIRST_BYTES), self._most)
            else:
                self._window = 0
                self._fetched = end
            self._begin, self._asked = start, end
        beyond = end + min(self._window, allowed)
        # Windows that end at round places grow by round steps, not by a block a read.
        reach = max(end, beyond - beyond % FIRST_BYTES)
        self._fetched = max(self._fetched, reach)
        return reach
