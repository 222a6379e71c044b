"""What is known of a file or directory of a store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from forebay.model.generation import Fingerprint
from forebay.model.paths import StoreKey


class Kind(StrEnum):
    """Whether it is a file or a directory."""

    FILE = "file"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns it and with what rights, as the store says; reported, not enforced."""

    owner: str
    group: str
    mode: int


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What a store says of one key.

    `modified_at` is in UTC with milliseconds; None where the store has none (directories of object
    stores). `fingerprint` and `size` are meaningful for files; a directory has '' and 0.
    `etag` is the store's own, with its quotes, where it has one.
    """

    key: StoreKey
    kind: Kind
    size: int = 0
    modified_at: datetime | None = None
    fingerprint: Fingerprint = Fingerprint("")  # noqa: RUF009 - a frozen value
    etag: str | None = None
    content_type: str | None = None
    ownership: Ownership | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.kind is Kind.FILE

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind is Kind.DIRECTORY


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, in whole-key UTF-8 order (directory names compare with '/' appended).

    `next_after` is what to pass as `after` for the next page; None on the last one.
    `unaddressable` counts names on this page that are no lake paths and were passed over.
    """

    entries: tuple[FileStatus, ...]
    next_after: str | None = None
    unaddressable: int = 0


def from_milliseconds(milliseconds: int) -> datetime:
    """The UTC time `milliseconds` after the epoch."""
    # Arithmetic on integers: a float would lose the last digit now and then.
    return datetime.fromtimestamp(milliseconds // 1000, UTC) + timedelta(
        milliseconds=milliseconds % 1000
    )


def to_milliseconds(moment: datetime) -> int:
    """Milliseconds from the epoch to `moment`."""
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def order_of(status: FileStatus) -> bytes:
    """The sort key of listings: the key's UTF-8 bytes, a directory's with '/' appended."""
    text = status.key.text + "/" if status.is_directory else status.key.text
    return text.encode()
