"""A store of self-describing bytes: every 8-byte word tells its version and its place."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from forebay.model.errors import FileMissing, GenerationGone, StoreAway
from forebay.model.generation import Generation, StoreIdentity, first_seen
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus, Kind
from forebay.stores.contract import Abilities, Chunk, fingerprint_of_etag

_SPREAD = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def content(version: int, start: int, end: int) -> bytes:
    """The bytes [start, end) of a version."""
    first, stop = start >> 3, -(-end // 8)
    words = np.arange(first, stop, dtype=np.uint64) ^ np.uint64(version * _SPREAD & _MASK)
    return words.tobytes()[start - first * 8 : end - first * 8]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the next stream that covers `at`: short, long, gone or away."""

    kind: str
    at: int


@dataclass
class ContentStore:
    """Files by name, each of a version and a size; counts what it gives.

    Attributes:
        pinned: whether ranges are bound to the version.
        piece: bytes of a chunk.
        requests: the ranges that were asked for, in order.
        asked: how often it was opened, verified, closed.
        given: bytes given out.
    """

    pinned: bool = True
    piece: int = 256 << 10
    name: str = "content"
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    requests: list[tuple[int, int]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    given: int = 0
    faults: list[Fault] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    free_chunks: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def identity(self) -> StoreIdentity:
        """Which store it is."""
        return StoreIdentity(f"content://{self.name}")

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        return Abilities(pinned_ranges=self.pinned)

    def put(self, name: str, size: int, version: int = 1) -> tuple[FileStatus, Generation]:
        """Have a file of that version; what `stat` would say of it."""
        self.files[name] = version, size
        fingerprint = fingerprint_of_etag(f'"{version}-{size}"')
        status = FileStatus(
            StoreKey(name), Kind.FILE, size, datetime(2026, 1, 1, tzinfo=UTC), fingerprint
        )
        return status, first_seen(self.identity, status.key, fingerprint)

    def hold(self, after: int = 0) -> None:
        """Give `after` chunks more, then let everybody wait until `go`."""
        self.free_chunks = after
        self.gate.clear()

    def go(self) -> None:
        """Give again."""
        self.gate.set()

    async def open(self, status: FileStatus) -> "ContentReader":
        """See the contract."""
        self.asked["open"] += 1
        await asyncio.sleep(0)
        if status.key.text not in self.files:
            raise FileMissing(status.key)
        return ContentReader(self, status)

    def version_of(self, status: FileStatus) -> int:
        """Which version a status is of."""
        return int(status.fingerprint.text.removeprefix('etag:"').split("-")[0])

    def fault_in(self, span: ByteRange) -> str | None:
        """The fault that waits for this range."""
        for fault in self.faults:
            if span.start <= fault.at < span.end:
                self.faults.remove(fault)
                return fault.kind
        return None


@dataclass
class ContentReader:
    """See the contract."""

    store: ContentStore
    status: FileStatus
    is_open: bool = True

    async def stream(self, span: ByteRange) -> AsyncIterator[Chunk]:
        """See the contract."""
        store = self.store
        assert self.is_open
        assert span.end <= self.status.size
        store.requests.append((span.start, span.end))
        fault = store.fault_in(span)
        middle = span.start + len(span) // 2
        end = {"short": middle, "long": span.end + 1000}.get(fault or "", span.end)
        for at in range(span.start, end, store.piece):
            await self._turn()
            version = store.files[self.status.key.text][0]
            changed = store.pinned and version != store.version_of(self.status)
            if changed or (fault == "gone" and at >= middle):
                raise GenerationGone(self.status.key)
            if fault == "away" and at >= middle:
                raise StoreAway(self.status.key)
            stop = min(at + store.piece, end)
            store.given += stop - at
            # Valid until the next is asked for, as the contract says: then it is overwritten.
            chunk = bytearray(content(version, at, stop))
            yield memoryview(chunk)
            chunk[:] = bytes(len(chunk))

    async def _turn(self) -> None:
        """Wait until the store gives the next chunk."""
        store = self.store
        if not store.gate.is_set():
            store.free_chunks -= 1
            if store.free_chunks < 0:
                await store.gate.wait()
        await asyncio.sleep(0)

    async def verify(self) -> None:
        """See the contract."""
        self.store.asked["verify"] += 1
        await asyncio.sleep(0)
        if self.store.files[self.status.key.text][0] != self.store.version_of(self.status):
            raise GenerationGone(self.status.key)

    async def close(self) -> None:
        """See the contract."""
        if self.is_open:
            self.store.asked["close"] += 1
        self.is_open = False
