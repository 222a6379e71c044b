"""The WAN: a proxy process through which bytes come late and not too many at a time."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

import uvloop

from testbed.process import Process, Program, ServiceFailed

CHUNK_BYTES = 64 * 1024
# What may be under way in one direction of one connection, beyond what the line itself holds.
SLACK_BYTES = 256 * 1024
# Timers wake a little late; what the line could have carried meanwhile is not lost.
CREDIT_SECONDS = 0.005
NOTE_SECONDS = 0.5
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Route:
    """One way through: who connects to `listen` reaches `to`; each is `host:port`."""

    listen: str
    to: str


@dataclass(frozen=True, slots=True)
class WanOptions:
    """What the line is like; both directions are alike and independent."""

    round_trip: timedelta = timedelta(milliseconds=30)
    megabits: float | None = 200  # per second, shared by all connections; None: no limit

    @property
    def one_way_seconds(self) -> float:
        """How long a byte travels."""
        return self.round_trip.total_seconds() / 2

    @property
    def bytes_per_second(self) -> float:
        """How many bytes one direction carries in a second."""
        return float("inf") if self.megabits is None else self.megabits * 1e6 / 8


@dataclass(frozen=True, slots=True)
class Traffic:
    """What crossed the line since it was started."""

    connections: int
    sent_bytes: int  # from those who connect
    received_bytes: int  # to those who connect

    def since(self, earlier: "Traffic") -> "Traffic":
        """What crossed after `earlier` was taken."""
        return Traffic(
            connections=self.connections - earlier.connections,
            sent_bytes=self.sent_bytes - earlier.sent_bytes,
            received_bytes=self.received_bytes - earlier.received_bytes,
        )


class Line:
    """One direction of the WAN: all connections share its bandwidth, first come first served."""

    def __init__(self, options: WanOptions) -> None:
        self.options = options
        self.carried = 0
        self._free_at = 0.0

    def reserve(self, size: int, now: float) -> float:
        """Take the line for `size` bytes; when the last of them has entered it.

        Time the line lay idle is made up for, a little of it, but nothing enters before it came.
        """
        start = max(self._free_at, now - CREDIT_SECONDS)
        self._free_at = start + size / self.options.bytes_per_second
        self.carried += size
        return max(self._free_at, now)

    @property
    def most_in_flight(self) -> int:
        """How many bytes one connection may have under way before its sender must wait."""
        held = self.options.bytes_per_second * self.options.one_way_seconds
        # Without a limit the sender is held back by what 10 Gbit/s would hold.
        return SLACK_BYTES + int(min(held, 1.25e9 * self.options.one_way_seconds))


@dataclass(slots=True)
class Pipe:
    """Bytes of one connection under way in one direction."""

    line: Line
    flying: deque[tuple[float, bytes]] = field(default_factory=deque)
    flying_bytes: int = 0
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Move everything from `source` to `sink`, its end included."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_in(source))
            group.create_task(self._put_out(sink))

    async def _take_in(self, source: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"first"
        while chunk:
            async with self.moved:
                await self.moved.wait_for(self._has_room)
            chunk = await source.read(CHUNK_BYTES)
            entered = self.line.reserve(len(chunk), loop.time())
            async with self.moved:
                self.flying.append((entered + self.line.options.one_way_seconds, chunk))
                self.flying_bytes += len(chunk)
                self.moved.notify_all()
            await _sleep_until(entered, loop)

    async def _put_out(self, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self.moved:
                await self.moved.wait_for(lambda: bool(self.flying))
                due, chunk = self.flying.popleft()
            await _sleep_until(due, loop)
            if not chunk:
                sink.write_eof()
                return
            sink.write(chunk)
            await sink.drain()
            async with self.moved:
                self.flying_bytes -= len(chunk)
                self.moved.notify_all()

    def _has_room(self) -> bool:
        return self.flying_bytes < self.line.most_in_flight


class Proxy:
    """All routes over one WAN."""

    def __init__(self, options: WanOptions) -> None:
        self.options = options
        self.connections = 0
        self._there = Line(options)
        self._back = Line(options)

    @property
    def traffic(self) -> Traffic:
        """What crossed so far."""
        return Traffic(self.connections, self._there.carried, self._back.carried)

    async def serve(self, route: Route) -> asyncio.Server:
        """Listen for one route."""
        host, port = _split(route.listen)

        async def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connect(_split(route.to), reader, writer)

        return await asyncio.start_server(arrive, host, port, limit=CHUNK_BYTES, backlog=1024)

    async def _connect(
        self,
        target: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.connections += 1
        try:
            # TCP's handshake; the one that connects was answered by this machine already.
            await asyncio.sleep(self.options.round_trip.total_seconds())
            far_reader, far_writer = await asyncio.open_connection(*target, limit=CHUNK_BYTES)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(Pipe(self._there).carry(reader, far_writer))
                group.create_task(Pipe(self._back).carry(far_reader, writer))
        except* OSError:
            # One side was reset, so the other is as well.
            writer.transport.abort()
            far_writer.transport.abort()
        finally:
            far_writer.close()
            writer.close()


class Wan:
    """The proxy as a process of its own, running from entering until leaving the context.

    Stopping it cuts the line; starting it again mends it. Freezing it makes the line hang.
    """

    def __init__(
        self, directory: Path, routes: Sequence[Route], options: WanOptions | None = None
    ) -> None:
        self.directory = directory.resolve()
        self.routes = tuple(routes)
        self.options = WanOptions() if options is None else options
        self.notes = self.directory / "traffic.json"
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The running proxy."""
        if self._process is None:
            message = "the WAN is not running"
            raise ServiceFailed(message)
        return self._process

    def traffic(self) -> Traffic:
        """What crossed the line up to now."""
        asked = time.monotonic()
        os.kill(self.process.pid, Signals.SIGUSR1)
        self.process.wait_until(
            lambda: self._noted().get("noted_at", 0.0) >= asked,
            seconds=START_SECONDS,
            what="telling its traffic",
        )
        note = self._noted()
        return Traffic(
            connections=int(note["connections"]),
            sent_bytes=int(note["sent_bytes"]),
            received_bytes=int(note["received_bytes"]),
        )

    def start(self) -> None:
        """Start the proxy, and wait until it listens."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.notes.unlink(missing_ok=True)
        command = [sys.executable, "-m", "testbed.wan", f"--notes={self.notes}"]
        command += [f"--rtt-ms={self.options.round_trip / timedelta(milliseconds=1):g}"]
        if self.options.megabits is not None:
            command += [f"--mbit={self.options.megabits:g}"]
        for route in self.routes:
            command += ["--listen", route.listen, "--to", route.to]
        surroundings = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        self._process = Process(Program("wan", command, self.directory, surroundings))
        try:
            # The first note is written when all routes listen.
            self._process.wait_until(self.notes.is_file, seconds=START_SECONDS, what="listening")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the proxy, breaking every connection through it."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def freeze(self) -> None:
        """Let the line hang: connections stay, nothing arrives."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let a hanging line go on."""
        self.process.thaw()

    def _noted(self) -> dict[str, float]:
        return dict(json.loads(self.notes.read_text()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


async def run(routes: Sequence[Route], options: WanOptions, notes: Path | None) -> None:
    """Be the proxy until told to end, noting the traffic in a file."""
    proxy = Proxy(options)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (Signals.SIGTERM, Signals.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def note() -> None:
        if notes is not None:
            _write(notes, proxy.traffic, loop.time())

    loop.add_signal_handler(Signals.SIGUSR1, note)
    async with AsyncExitStack() as servers:
        for route in routes:
            servers.push_async_callback(_close, await proxy.serve(route))
        while not ended.is_set():
            note()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), NOTE_SECONDS)
    note()


async def _close(server: asyncio.Server) -> None:
    # Not waiting for its connections: the end of this process breaks them.
    server.close()


async def _sleep_until(moment: float, loop: asyncio.AbstractEventLoop) -> None:
    wait = moment - loop.time()
    if wait > 0:
        await asyncio.sleep(wait)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _write(notes: Path, traffic: Traffic, now: float) -> None:
    aside = notes.with_suffix(".aside")
    aside.write_text(json.dumps({**asdict(traffic), "noted_at": now}))
    aside.rename(notes)


def main(words: Sequence[str]) -> None:
    """Run the proxy from the command line."""
    parser = argparse.ArgumentParser(prog="python -m testbed.wan", description=__doc__)
    parser.add_argument("--listen", action="append", required=True, help="HOST:PORT; repeatable")
    parser.add_argument("--to", action="append", required=True, help="HOST:PORT for each listen")
    parser.add_argument("--rtt-ms", type=float, default=30.0, help="round trip in milliseconds")
    parser.add_argument("--mbit", type=float, help="megabits a second each way; without: no limit")
    parser.add_argument("--notes", type=Path, help="JSON file in which the traffic is noted")
    chosen = parser.parse_args(words)
    if len(chosen.listen) != len(chosen.to):
        parser.error("each --listen needs its --to")
    routes = [Route(listen, to) for listen, to in zip(chosen.listen, chosen.to, strict=True)]
    options = WanOptions(timedelta(milliseconds=chosen.rtt_ms), chosen.mbit)
    uvloop.run(run(routes, options, chosen.notes))


if __name__ == "__main__":
    main(sys.argv[1:])
