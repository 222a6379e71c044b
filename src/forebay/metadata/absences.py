"""Absences: names that a store said are not there, remembered for a moment."""

from collections.abc import Callable
from typing import Final

LONGEST_SECONDS: Final = 1.0
"""No negative answer is older than this."""

_MOST: Final = 10_000


class Absences:
    """Names that were absent when last asked for; bounded, the oldest go first.

    Args:
        now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._seen: dict[tuple[str, str], float] = {}

    def note(self, store: str, key: str, asked_at: float) -> None:
        """`key` was absent at `asked_at`."""
        name = (store, key)
        # Taken out first: a dictionary keeps the order in which names came in.
        self._seen.pop(name, None)
        self._seen[name] = asked_at
        if len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]

    def knows(self, store: str, key: str, not_before: float) -> bool:
        """Whether `key` was absent at `not_before` or later, and not longer ago than a moment."""
        asked_at = self._seen.get((store, key))
        if asked_at is None:
            return False
        # One from the future was noted before the clock went back.
        if not 0 <= self._now() - asked_at <= LONGEST_SECONDS:
            del self._seen[store, key]
            return False
        return asked_at >= not_before

    def forget_everything(self) -> None:
        """No name was absent."""
        self._seen.clear()

    def clear(self, store: str, key: str) -> None:
        """Something may be there by now: at `key`, above or below it."""
        if not self._seen:
            return
        self._seen.pop((store, key), None)
        inside = f"{key}/" if key else ""
        above = [name for name in self._seen if name[0] == store and name[1].startswith(inside)]
        for name in above:
            del self._seen[name]
        while key:
            key = key.rpartition("/")[0]
            self._seen.pop((store, key), None)
