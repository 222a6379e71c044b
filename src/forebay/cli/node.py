"""`forebay up`, `status`, `down`: the node on this machine."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from forebay.cli.options import invocation
from forebay.cli.screen import JSON, as_json, facts, said, warned
from forebay.config.settings import Settings
from forebay.model.errors import ForebayError, NodeAway, NodeRunning

Json = Annotated[bool, JSON]
READY_WITHIN: Final = timedelta(seconds=30)
GONE_WITHIN: Final = timedelta(seconds=40)
LOOK_EVERY: Final = timedelta(milliseconds=20)


def up(
    context: typer.Context,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in the foreground, for service managers.")
    ] = False,
    json: Json = False,
) -> None:
    """Start the node; returns when its doors answer."""
    call = invocation(context)
    settings = call.settings()
    running = pid_of(settings.data)
    if running is not None:
        raise NodeRunning(settings.data, f"process {running} serves it")
    command = [sys.executable, "-m", "forebay.assembly", "--data", str(settings.data)]
    command += [] if call.config is None else ["--config", str(call.config)]
    if foreground:
        os.execve(command[0], command, environment_of(settings))  # noqa: S606 - no shell
    answer = _start(command, settings)
    if json:
        as_json(answer)
        return
    _show(answer)
    said("next: forebay fs mount /onprem hdfs://namenode:8020/")


def status(context: typer.Context, json: Json = False) -> None:
    """Say whether the node runs, and where its doors are."""
    answer = invocation(context).node().get("/v1/node")
    as_json(answer) if json else _show(answer)


def down(context: typer.Context, json: Json = False) -> None:
    """Stop the node; requests under way may end first."""
    data = invocation(context).settings().data
    pid = pid_of(data)
    if pid is None:
        raise NodeAway(data, "no node runs on this data directory")
    os.kill(pid, signal.SIGTERM)
    if not _within(GONE_WITHIN, lambda: pid_of(data) != pid):
        raise NodeRunning(data, f"process {pid} did not stop within {GONE_WITHIN}")
    as_json({"stopped": pid}) if json else said(f"stopped (process {pid})")


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of the node's process.

    The allocator reads its settings when a process starts. Buffers of some MiB are used again
    instead of being given back to the system each time, and few arenas keep the memory small.
    """
    allocator = {
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
        "MALLOC_ARENA_MAX": "2",
    }
    return {**allocator, **settings.environment}


def place_of(data: Path, pid: int) -> dict[str, Any] | None:
    """What the node of process `pid` says of itself, as soon as its S3 door answers; else None."""
    try:
        place: dict[str, Any] = json.loads((data / "node.json").read_bytes())
        if place["pid"] != pid:
            return None
        door = urlsplit(place["s3"])
        with socket.create_connection((door.hostname, door.port), timeout=1) as connection:
            return place if _answers(connection, by_tls=door.scheme == "https") else None
    except (OSError, ValueError, KeyError):
        return None


def _answers(connection: socket.socket, *, by_tls: bool) -> bool:
    """Whether the door at the other end speaks."""
    if by_tls:
        # Only whether it speaks is asked, and nothing is told: the certificate may be anybody's.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(connection):
            return True
    # What is no HTTP is answered at once.
    connection.sendall(b"?\r\n\r\n")
    return bool(connection.recv(1))


def pid_of(data: Path) -> int | None:
    """The process that serves `data`, or None: the lock tells, not the file's text alone."""
    import fcntl  # noqa: PLC0415 - only here

    try:
        with (data / "node.lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read().strip()
                return int(text) if text.isdigit() else None
    except FileNotFoundError:
        pass
    return None


def _start(command: list[str], settings: Settings) -> dict[str, Any]:
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = settings.data / "node.log"
    with log.open("ab") as output:
        begin = output.tell()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment_of(settings),
        )

    def ready() -> bool:
        return child.poll() is not None or place_of(settings.data, child.pid) is not None

    place = place_of(settings.data, child.pid) if _within(READY_WITHIN, ready) else None
    if place is None or child.poll() is not None:
        raise _failure(log, begin)
    return place


def _failure(log: Path, begin: int) -> ForebayError:
    """Why the node did not come up: the last error line it wrote."""
    from forebay.cli.connection import error_of  # noqa: PLC0415

    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        if line.startswith("{") and '"code"' in line:
            return error_of(json.loads(line))
    return NodeAway(log, lines[-1] if lines else "the node did not answer in time")


def _within(limit: timedelta, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + limit.total_seconds()
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(LOOK_EVERY.total_seconds())
    return False


def _show(answer: dict[str, Any]) -> None:
    facts(
        [
            ("node", f"{answer['node_id']} (process {answer['pid']})"),
            ("version", answer["version"]),
            ("data", answer["data"]),
            *((f"{door['name']} door", door["url"]) for door in answer["doors"]),
            ("credentials", answer["credentials"]),
        ]
    )
    for warning in answer["warnings"]:
        warned(warning)
