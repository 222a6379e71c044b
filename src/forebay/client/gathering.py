"""The gathering of many ranges at once: from the shelf directly, from the door side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Self, TypeVar

from forebay.client.content import Content

_AT_ONCE: Final = 8

Work = TypeVar("Work")
Done = TypeVar("Done")


class Span(NamedTuple):
    """Bytes of a file: from `start` up to `end`; less than 0 counts from the end."""

    path: str
    start: int | None
    end: int | None


def span_of(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """The first byte and how many, in a file of `size` bytes, in the way Python means slices."""
    first = 0 if start is None else start
    last = size if end is None else end
    if first < 0:
        first = max(0, first + size)
    if last < 0:
        last += size
    last = min(last, size)
    return first, max(0, last - first)


def spans_of(
    paths: Sequence[str],
    starts: int | Sequence[int | None] | None,
    ends: int | Sequence[int | None] | None,
) -> list[Span]:
    """One span a path; a single start or end is every path's."""
    first = starts if isinstance(starts, Sequence) else [starts] * len(paths)
    last = ends if isinstance(ends, Sequence) else [ends] * len(paths)
    if not len(paths) == len(first) == len(last):
        raise ValueError("as many starts and ends as paths are needed")
    return [Span(*one) for one in zip(paths, first, last, strict=True)]


class Gathering:
    """The ranges of one call. All ranges of one file are of one content.

    Args:
        near: the content that the shelf knows at a path, or None.
        look: the content at a path, asked of the door.
    """

    def __init__(
        self, near: Callable[[str], Content | None], look: Callable[[str], Content]
    ) -> None:
        self._near = near
        self._look = look
        self._contents: dict[str, Content | Exception] = {}

    def bytes_of(self, spans: Sequence[Span]) -> list[bytes | Exception]:
        """The bytes of each span, or why they cannot be had."""
        far: list[str] = []
        for path in dict.fromkeys(span.path for span in spans):
            content = self._near(path)
            if content is None:
                far.append(path)
            else:
                self._contents[path] = content
        found: dict[int, bytes | Exception] = {}
        with _Hands() as hands:
            hands.all(self._add, far)
            missing = [
                place for place, span in enumerate(spans) if not self._hold(found, place, span)
            ]
            bodies = hands.all(self._read, [spans[place] for place in missing])
            found |= dict(zip(missing, bodies, strict=True))
        return [found[place] for place in range(len(spans))]

    def _add(self, path: str) -> None:
        try:
            self._contents[path] = self._look(path)
        except Exception as error:  # noqa: BLE001 - it is handed to the caller
            self._contents[path] = error

    def _hold(self, found: dict[int, bytes | Exception], place: int, span: Span) -> bool:
        """Put down what the shelf has of a span, if that is all of it."""
        content = self._contents[span.path]
        if isinstance(content, Exception):
            found[place] = content
            return True
        first, count = span_of(span.start, span.end, content.status.size)
        body = content.held(first, count) if count else b""
        if len(body) == count:
            found[place] = body
        return len(body) == count

    def _read(self, span: Span) -> bytes | Exception:
        content = self._contents[span.path]
        if isinstance(content, Exception):
            return content
        try:
            return content.read(*span_of(span.start, span.end, content.status.size))
        except Exception as error:  # noqa: BLE001 - it is handed to the caller
            return error


class _Hands:
    """Threads, made when there is work for more than one."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def all(self, do: Callable[[Work], Done], work: Sequence[Work]) -> list[Done]:
        """What comes of each."""
        if len(work) <= 1:
            return [do(one) for one in work]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_AT_ONCE)
        return list(self._pool.map(do, work))
