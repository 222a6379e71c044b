"""The load generator: compiled here, run on cores of its own against one server."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import cpu
from bench.requests import write_records

SOURCE = Path(__file__).with_name("loadgen.c")
OUT = Path(__file__).with_name("out")
MOST_SECONDS = 600.0


class Asks(Protocol):
    """Makes requests of paths."""

    def gets(self, paths: Iterable[str]) -> Iterable[bytes]:
        """A whole request for each path."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load."""

    name: str
    address: tuple[str, int]
    pid: int
    asks: Asks

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return cpu.family(self.pid)


@dataclass(frozen=True, slots=True)
class Run:
    """How one run is made."""

    connections: int
    seconds: float
    warm_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one run found."""

    requests: int
    per_second: float
    bytes_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float


def generator() -> Path:
    """The program, compiled if it is older than its source."""
    OUT.mkdir(exist_ok=True)
    program = OUT / "loadgen"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        command = ["gcc", "-O2", "-Wall", "-o", str(program), str(SOURCE)]
        subprocess.run(command, check=True)
    return program


def load(server: Server, paths: Iterable[str], run: Run) -> Loaded:
    """Ask the server for the paths, in their order, and see what it takes of it."""
    _, others = cpu.cores()
    host, port = server.address
    with tempfile.NamedTemporaryFile(dir=OUT) as file:
        write_records(Path(file.name), server.asks.gets(paths))
        words = [host, port, file.name, run.connections, run.seconds, run.warm_seconds]
        pids = server.pids
        before = cpu.seconds(pids)
        done = subprocess.run(
            [str(generator()), *map(str, words)],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, others),
        )
        took = cpu.seconds(pids) - before
    found = json.loads(done.stdout)
    if found["errors"] or not found["requests"]:
        raise RuntimeError(f"{server.name}: {found}")
    return Loaded(
        requests=found["answered"],
        per_second=found["requests"] / found["seconds"],
        bytes_per_second=found["bytes"] / found["seconds"],
        p50_us=found["p50_us"],
        p99_us=found["p99_us"],
        cpu_us=took / found["answered"] * 1e6,
    )
