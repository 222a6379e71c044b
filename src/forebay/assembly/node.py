"""The node: the process that serves, from its first look at the settings to its last answer."""

import argparse
import asyncio
import fcntl
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import uvloop

from forebay.assembly.doors import Doors
from forebay.assembly.log import configure_log
from forebay.assembly.rooms import Rooms, opened, utc_now
from forebay.config.credentials import has_profile, write_profile
from forebay.config.settings import Settings, load_settings
from forebay.metrics.rotating_file import RotationOptions
from forebay.model.errors import ForebayError, NodeRunning
from forebay.model.grants import Grant, Right
from forebay.model.paths import ROOT

_log = logging.getLogger(__name__)


def main(words: Sequence[str]) -> int:
    """Run a node until it is told to stop; the exit code."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="forebay node")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--config", type=Path, default=None)
    given = parser.parse_args(words)
    try:
        settings = load_settings(given.config, data=given.data)
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_many_files()
        with locked(settings.data):
            rotation = RotationOptions(settings.logs.max_bytes, settings.logs.files)
            configure_log(settings.logs.directory, rotation)
            uvloop.run(serve(settings))
    except ForebayError as error:
        # `forebay up` reads this line.
        sys.stderr.write(json.dumps(dict(error.facts())) + "\n")
        return 1
    return 0


def open_many_files() -> None:
    """Raise the limit of open files as far as this process may: each cached file is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    # A container may forbid it: then fewer files are kept open.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(settings: Settings) -> None:
    """Build the node, serve, and take it down in order."""
    started_at = utc_now()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with opened(settings) as rooms:
        doors = Doors(rooms, started_at)
        doors.bind()
        await first_key(rooms, doors.urls["s3"])
        write_place(settings, doors)
        # What is alive now lives as long as the node: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.enable()
        _tell("node_started", node=rooms.node_id, doors=dict(doors.urls))
        await doors.serve(stop)
        _tell("node_stopped", node=rooms.node_id)


async def first_key(rooms: Rooms, endpoint: str) -> None:
    """Make the first access key, if there is none, and put it into the credentials file."""
    if await rooms.state.keys.all():
        return
    made = await rooms.state.keys.create([Grant(ROOT, Right.ADMIN)], "made at the first start")
    place = rooms.settings.credentials
    # A profile of that name may be somebody else's: it is left alone.
    profile = made.key_id if has_profile(place, "default") else "default"
    key = {"key_id": made.key_id, "endpoint": endpoint}
    await asyncio.to_thread(write_profile, place, profile, key, made.secret)
    await rooms.ring.renew()
    _tell("key_made", key_id=made.key_id, credentials=str(place), profile=profile)


def write_place(settings: Settings, doors: Doors) -> None:
    """Write where the doors are, the shelf and the keys, for clients on this host."""
    place = {
        **doors.facts(),
        "shelf": str(settings.cache.directory / "0"),
        "credentials": str(settings.credentials),
        **doors.urls,
    }
    aside = settings.data / f".node.json.{os.getpid()}"
    aside.write_text(json.dumps(place))
    aside.replace(settings.data / "node.json")


def _tell(event: str, **facts: object) -> None:
    _log.info(event, extra={"facts": facts})


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the lock of a data directory, with our process id in it.

    Raises:
        NodeRunning: another process holds it.
    """
    descriptor = os.open(data / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            raise NodeRunning(data, f"process {holder} serves it") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
