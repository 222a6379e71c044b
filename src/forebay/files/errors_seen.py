"""Errors seen: the last error at each of the paths that had one lately."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from forebay.model.errors import ForebayError
from forebay.model.paths import LakePath

_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class ErrorSeen:
    """An error that a reader of a path got."""

    at: datetime
    code: str
    sentence: str
    advice: str


class ErrorsSeen:
    """Remembers the last error of each path; bounded, the oldest go first."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._seen: dict[LakePath, ErrorSeen] = {}

    def note(self, path: LakePath, error: ForebayError) -> None:
        """Reading `path` ended with `error`."""
        # Taken out first: a dictionary keeps the order in which paths came in.
        self._seen.pop(path, None)
        self._seen[path] = ErrorSeen(self._clock(), error.code, error.sentence(), error.advice)
        if len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]

    def last(self, path: LakePath) -> ErrorSeen | None:
        """The last error at `path`, if it was lately."""
        return self._seen.get(path)
