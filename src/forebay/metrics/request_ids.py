"""Request ids: a name for every request, unique across restarts and processes."""

from itertools import count


class RequestIds:
    """Gives out ids: a prefix that no other process has, then a number.

    Args:
        prefix: unique to this run of this process, such as eight random hex digits.
    """

    __slots__ = ("_numbers", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def next(self) -> str:
        """An id that was never given out before."""
        return "%s%08X" % (self._prefix, next(self._numbers))  # noqa: UP031 - half the time of an f-string
