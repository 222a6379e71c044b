"""The lake as this door sees it: the verbs of `files` that it uses, and what they answer."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from forebay.cache.pieces import Piece
from forebay.model.grants import Caller
from forebay.model.paths import LakePath
from forebay.model.ranges import ByteRange
from forebay.model.status import Kind


class LakeEntry(Protocol):
    """What is known of a lake path."""

    @property
    def path(self) -> LakePath:
        """Where it is."""
        ...

    @property
    def kind(self) -> Kind:
        """Whether it is a file or a directory."""
        ...

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    @property
    def modified_at(self) -> datetime | None:
        """When it was changed, as the store says."""
        ...

    @property
    def etag(self) -> str:
        """The ETag that doors show, with its quotes; '' for a directory."""
        ...

    @property
    def content_type(self) -> str | None:
        """Its media type, where the store knows one."""
        ...

    @property
    def age(self) -> timedelta:
        """How old this knowledge is."""
        ...


class LakeEntries(Protocol):
    """One page of a listing, in whole-key order."""

    @property
    def entries(self) -> Sequence[LakeEntry]:
        """What is listed."""
        ...

    @property
    def next_after(self) -> str | None:
        """What to pass as `after` for the next page; None on the last one."""
        ...

    @property
    def age(self) -> timedelta:
        """How old this knowledge is."""
        ...


class FileBytes(Protocol):
    """The bytes of a file that was opened, out of the cache or through it."""

    @property
    def from_cache(self) -> int:
        """Bytes given out that were cached."""
        ...

    @property
    def from_store(self) -> int:
        """Bytes given out that had to be fetched."""
        ...

    async def piece(self, at: int, most: int, *, ahead: int = 0) -> Piece:
        """At least one byte from `at` on, at most `most`, as soon as it is there.

        Raises GenerationGone, StoreAway, StoreLied, …: it cannot be had.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class OpenedFile(FileBytes, Protocol):
    """A file opened for reading: until its first byte has come it may still become another."""

    @property
    def status(self) -> LakeEntry:
        """What is known of it."""
        ...

    def present(self, span: ByteRange) -> int:
        """How many bytes of `span` are cached now."""
        ...

    async def begin(self, wanted: Callable[[LakeEntry], ByteRange], *, ahead: int = 0) -> ByteRange:
        """The range that `wanted` makes of the status, when its first byte is at hand.

        `wanted` is asked again if the file turned out to be another by now; what it raises passes.
        `ahead`: how many bytes beyond it may be fetched, if the file is read forward.
        Raises GenerationGone, FileMissing, StoreAway.
        """
        ...


class Lake(Protocol):
    """The verbs."""

    async def stat(self, caller: Caller, path: LakePath, *, detailed: bool = True) -> LakeEntry:
        """What is known of `path`; `detailed`: with its content type.

        Raises FileMissing, AccessDenied, StoreAway.
        """
        ...

    async def list(
        self,
        caller: Caller,
        path: LakePath,
        *,
        recursive: bool = False,
        after: str = "",
        most: int = 1000,
    ) -> LakeEntries:
        """A page of what is in a directory. Raises FileMissing, NotADirectory, AccessDenied."""
        ...

    async def open(self, caller: Caller, path: LakePath) -> OpenedFile:
        """A file for reading. Raises FileMissing, NotAFile, AccessDenied, StoreAway."""
        ...
