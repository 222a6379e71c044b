"""The faulty store: one that goes wrong on the calls it is told to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from forebay.model.errors import StoreAway, StoreBusy
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk, Store, WriteOptions, pieces
from forebay.stores.wrapped import Streams, Verb, WrappedReader, WrappedStore

Answer = TypeVar("Answer")


class Fault(StrEnum):
    """What goes wrong."""

    AWAY = "away"
    """A 500, or no connection: `StoreAway`, and nothing was done."""
    BUSY = "busy"
    """A 503: `StoreBusy`, and nothing was done."""
    LOST_ANSWER = "lost answer"
    """It was done, but we hear nothing of it: `StoreAway`."""
    STALL = "stall"
    """It never answers; a stream or a body stops in the middle for ever."""
    RESET = "reset"
    """The connection breaks in the middle of a stream or a body: `StoreAway`."""
    SHORT_BODY = "short body"
    """The stream ends in the middle as if all were well."""
    LONG_BODY = "long body"
    """The stream has more bytes than were asked for."""
    SHIFTED_RANGE = "shifted range"
    """As many bytes as asked for, but from another place."""
    BIT_FLIP = "bit flip"
    """As many bytes as asked for, one bit in the middle of which is wrong."""
    STALE_ANSWER = "stale answer"
    """The first status that was ever told, though the file is another by now."""
    CHANGED_FILE = "changed file"
    """Somebody replaces the file just before it is opened."""


_ANYWHERE: Final = frozenset({Fault.AWAY, Fault.BUSY, Fault.STALL, Fault.LOST_ANSWER})
_ONLY_AT: Final = {
    Fault.RESET: frozenset({Verb.READ, Verb.WRITE, Verb.WRITE_PART}),
    Fault.SHORT_BODY: frozenset({Verb.READ}),
    Fault.LONG_BODY: frozenset({Verb.READ}),
    Fault.SHIFTED_RANGE: frozenset({Verb.READ}),
    Fault.BIT_FLIP: frozenset({Verb.READ}),
    Fault.STALE_ANSWER: frozenset({Verb.STAT}),
    Fault.CHANGED_FILE: frozenset({Verb.OPEN}),
}

LOOKS_DIFFERENT: Final = b"somebody else wrote this meanwhile"
"""What stands in a file after `CHANGED_FILE`."""


@dataclass(slots=True)
class _Script:
    """Which calls go wrong, and how; it does so around the calls of the store."""

    at: dict[tuple[Verb, int], Fault] = field(default_factory=dict)
    always: dict[Verb, Fault] = field(default_factory=dict)
    calls: Counter[Verb] = field(default_factory=Counter)

    def next_fault(self, verb: Verb) -> Fault | None:
        """The fault of the call that begins now."""
        self.calls[verb] += 1
        return self.at.get((verb, self.calls[verb]), self.always.get(verb))

    async def call(self, verb: Verb, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """See `Around`."""
        fault = self.next_fault(verb)
        await _before(verb, fault)
        if fault is Fault.STALL:
            await asyncio.Event().wait()
        answer = await work()
        _after(verb, fault)
        return answer

    async def send(
        self,
        verb: Verb,
        body: AsyncIterator[Chunk],
        work: Callable[[AsyncIterator[Chunk]], Awaitable[Answer]],
    ) -> Answer:
        """See `Around`."""
        fault = self.next_fault(verb)
        await _before(verb, fault)
        answer = await work(_broken(body, fault) if fault else body)
        _after(verb, fault)
        return answer

    async def stream(self, span: ByteRange, streams: Streams) -> AsyncIterator[Chunk]:
        """See `Around`."""
        fault = self.next_fault(Verb.READ)
        await _before(Verb.READ, fault)
        if fault is None:
            async for piece in streams(span):
                yield piece
            return
        # A stream that goes wrong may well be held in memory: the tests' files are small.
        content = b"".join([bytes(piece) async for piece in streams(span)])
        half = len(content) // 2
        match fault:
            case Fault.SHORT_BODY:
                yield content[:half]
            case Fault.LONG_BODY:
                yield content + b"\0"
            case Fault.SHIFTED_RANGE:
                yield content[1:] + content[:1]
            case Fault.BIT_FLIP:
                yield content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
            case _:
                yield content[:half]
                await _break(fault)


async def _before(verb: Verb, fault: Fault | None) -> None:
    if fault is Fault.AWAY:
        raise StoreAway(verb, "500 from the faulty store")
    if fault is Fault.BUSY:
        raise StoreBusy(verb, "503 from the faulty store")


def _after(verb: Verb, fault: Fault | None) -> None:
    if fault is Fault.LOST_ANSWER:
        raise StoreAway(verb, "the answer was lost")


async def _break(fault: Fault) -> None:
    if fault is Fault.STALL:
        await asyncio.Event().wait()
    raise StoreAway("connection", "reset by the faulty store")


async def _broken(body: AsyncIterator[Chunk], fault: Fault) -> AsyncIterator[Chunk]:
    async for piece in body:
        if fault in (Fault.RESET, Fault.STALL):
            yield bytes(piece)[: len(piece) // 2]
            await _break(fault)
        yield piece


class FaultyStore(WrappedStore):
    """A store around `under` that goes wrong on the calls named with `fail`, and only there.

    Calls are counted per verb, from 1, in `calls`; a stream of an open file is one `read`.
    """

    def __init__(self, under: Store) -> None:
        self._script = _Script()
        self._told: dict[StoreKey, list[FileStatus]] = {}
        super().__init__(under, self._script)

    @property
    def calls(self) -> Counter[Verb]:
        """How often each verb was asked."""
        return self._script.calls

    def fail(self, verb: Verb, fault: Fault, calls: Sequence[int] | None = None) -> "FaultyStore":
        """Go wrong with `fault` on the given calls of `verb`, or on all; return the store."""
        if fault not in _ANYWHERE and verb not in _ONLY_AT[fault]:
            raise ValueError(f"{verb.value} cannot have a {fault.value}")
        if calls is None:
            self._script.always[verb] = fault
        for call in calls or ():
            self._script.at[verb, call] = fault
        return self

    def heal(self) -> None:
        """Go wrong no more."""
        self._script.at.clear()
        self._script.always.clear()

    async def stat(self, key: StoreKey) -> FileStatus:
        """The status; a stale one is the first that was ever told."""
        fault = self._script.next_fault(Verb.STAT)
        told = self._told.setdefault(key, [])
        if fault is Fault.STALE_ANSWER and told:
            return told[0]
        # Counted already: the call must not count, or fail, a second time.
        await _before(Verb.STAT, fault)
        if fault is Fault.STALL:
            await asyncio.Event().wait()
        status = await self._under.stat(key)
        told.append(status)
        _after(Verb.STAT, fault)
        return status

    async def open(self, status: FileStatus) -> WrappedReader:
        """A reader, whose streams go wrong as told."""
        following = self.calls[Verb.OPEN] + 1
        fault = self._script.at.get((Verb.OPEN, following), self._script.always.get(Verb.OPEN))
        if fault is Fault.CHANGED_FILE:
            await self._under.write(status.key, pieces(LOOKS_DIFFERENT), WriteOptions())
        return await super().open(status)
