"""The status of a lake path, as the client sees it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict

from forebay.model.status import Kind


class Info(TypedDict):
    """A status in the words of fsspec.

    `type` is `file` or `directory`; `modified` is in UTC, and `mtime` the same in seconds since
    the epoch.
    """

    name: str
    type: str
    size: int
    etag: str
    modified: datetime | None
    mtime: float | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a lake path.

    Attributes:
        path: the lake path, as text.
        kind: file or directory.
        size: bytes; 0 for a directory.
        etag: the door's ETag, with its quotes: one content, one ETag; '' for a directory.
        modified: when it was changed, in UTC and whole seconds: the door tells no more with HEAD.
        content_type: where it is known.
    """

    path: str
    kind: Kind
    size: int = 0
    etag: str = ""
    modified: datetime | None = None
    content_type: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.kind is Kind.FILE

    def info(self) -> Info:
        """It in the words of fsspec."""
        return Info(
            name=self.path,
            type=self.kind.value,
            size=self.size,
            etag=self.etag,
            modified=self.modified,
            mtime=None if self.modified is None else self.modified.timestamp(),
            content_type=self.content_type,
        )


def whole_seconds(seconds: float | None) -> datetime | None:
    """The moment so many seconds after the epoch; None for none, which doors write as 0."""
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else None
