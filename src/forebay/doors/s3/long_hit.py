"""A long hit: an answer from the shelf that takes more than one turn, or must be read from disk.

It is an ASGI application of its own, so that uvicorn orders and ends it like any other.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

from forebay.doors.s3.answer import Hit
from forebay.doors.s3.ledger import Ledger
from forebay.doors.s3.outlet import EXTENSION, TURN_BYTES, Pieces
from forebay.model.errors import ForebayError, ShelfDamaged
from forebay.shelf.handles import Handle
from forebay.shelf.reader import Entry, Extent

_MOST_EXTENTS = 8
"""Handles that one long hit keeps open; a longer one is answered by the application."""


class Shelf(Protocol):
    """What sending from segment files asks of the shelf."""

    def resident(self, handle: Handle, offset: int, count: int) -> bool:
        """Whether sending these bytes will not wait for the disk."""
        ...

    def verify_cold(
        self, entry: Entry, handle: Handle, offset: int, at: int, count: int
    ) -> bytes | None:
        """The bytes, read from disk and compared with their checksums; None: damaged. Blocks."""
        ...


class Means(Protocol):
    """What a long hit needs of its door."""

    @property
    def shelf(self) -> Shelf:
        """Where the bytes are."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Where it is written down."""
        ...

    @property
    def threads(self) -> Executor:
        """Where what is not in memory is read."""
        ...


@dataclass(frozen=True, slots=True)
class _Portion:
    """What one turn sends: bytes of a segment file, and where they are in the whole file."""

    segment: Handle
    offset: int
    count: int
    at: int


class LongHit:
    """Answers one long hit."""

    def __init__(
        self,
        hit: Hit,
        extents: list[Extent],
        door: Means,
        application: ASGI3Application,
    ) -> None:
        self._hit = hit
        self._extents = extents
        self._shelf = door.shelf
        self._ledger = door.ledger
        self._threads = door.threads
        self._application = application
        self._is_cold = False
        self._sent = 0

    @classmethod
    def of(
        cls, hit: Hit, first: Extent, door: Means, application: ASGI3Application
    ) -> ASGI3Application:
        """The hit as an application; `application` itself if the shelf lacks a part of it."""
        extents = [first]
        at = hit.start + first[2]
        while at < hit.end:
            extent = hit.entry.extent(at, hit.end - at)
            if extent is None or len(extents) == _MOST_EXTENTS:
                return application
            extents.append(extent)
            at += extent[2]
        return cls(hit, extents, door, application)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Send it all; if its first bytes turn out to be damaged, let the application answer."""
        pieces: Pieces = scope["extensions"][EXTENSION]  # type: ignore[typeddict-item,assignment]
        portions = self._portions()
        portion = next(portions)
        try:
            read = await self._warm(portion)
        except ShelfDamaged:
            await self._application(scope, receive, send)
            return
        hit = self._hit
        pieces.start(hit.head, hit.end - hit.start)
        try:
            await self._send(portion, read, pieces, send)
            for portion in portions:
                await self._send(portion, await self._warm(portion), pieces, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (ConnectionError, ForebayError):
            pieces.abort()
        finally:
            self._ledger.hit(hit, self._sent)

    def _portions(self) -> Iterator[_Portion]:
        at = self._hit.start
        for segment, offset, count in self._extents:
            for begin in range(0, count, TURN_BYTES):
                size = min(TURN_BYTES, count - begin)
                yield _Portion(segment, offset + begin, size, at)
                at += size

    async def _warm(self, portion: _Portion) -> bytes | None:
        """The bytes, verified, if they had to be read from disk; None if they are in memory.

        Raises:
            ShelfDamaged: they are not what was entered.
        """
        shelf = self._shelf
        segment, offset, count = portion.segment, portion.offset, portion.count
        # What follows a cold portion was read ahead by the kernel, and is as unproven.
        self._is_cold = self._is_cold or not shelf.resident(segment, offset, count)
        if not self._is_cold:
            return None
        loop = asyncio.get_running_loop()
        read = await loop.run_in_executor(
            self._threads, shelf.verify_cold, self._hit.entry, segment, offset, portion.at, count
        )
        if read is None:
            raise ShelfDamaged(self._hit.entry.path, "a block is damaged on disk")
        return read

    async def _send(
        self, portion: _Portion, read: bytes | None, pieces: Pieces, send: ASGISendCallable
    ) -> None:
        if read is None:
            await pieces.send(portion.segment, portion.offset, portion.count)
        elif pieces.is_disconnected:
            raise ConnectionResetError
        else:
            await send({"type": "http.response.body", "body": read, "more_body": True})
        self._sent += portion.count
