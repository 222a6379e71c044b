"""What is kept near: the verbs of the cache that `files` uses."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from forebay.cache.pieces import Piece
from forebay.model.generation import Generation
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus
from forebay.stores.contract import Store


class KeptFile(Protocol):
    """One generation of a file, read through the cache. Close it when done."""

    @property
    def from_cache(self) -> int:
        """Bytes given out that were cached."""
        ...

    @property
    def from_store(self) -> int:
        """Bytes given out that had to be fetched."""
        ...

    async def piece(self, at: int, most: int, *, ahead: int = 0) -> Piece:
        """Bytes from `at`, at least one, at most `most`. Raises GenerationGone, StoreAway."""
        ...

    def present(self, span: ByteRange) -> int:
        """How many bytes of `span` are cached now."""
        ...

    def stream(self, span: ByteRange) -> AsyncIterator[bytes]:
        """The bytes of `span`, in order."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Share(Protocol):
    """How much of a generation is cached."""

    @property
    def bytes(self) -> int:
        """Bytes held."""
        ...

    @property
    def blocks(self) -> int:
        """Blocks held."""
        ...

    @property
    def segments(self) -> int:
        """Segments of which something is held."""
        ...


class Keeps(Protocol):
    """Keeps the bytes of generations near."""

    def open(self, store: Store, status: FileStatus, generation: Generation) -> KeptFile:
        """A reader of that generation; nothing is fetched before it is wanted."""
        ...

    async def load(
        self,
        store: Store,
        status: FileStatus,
        generation: Generation,
        progress: Callable[[int], None],
    ) -> None:
        """Fetch all that is missing; `progress` is told of bytes as they come to be held."""
        ...

    async def free(self, generation: Generation) -> int:
        """Let go of what is held of a generation; how many bytes that was."""
        ...

    def held(self, generation: Generation, size: int) -> Share:
        """How much of it is held now."""
        ...
