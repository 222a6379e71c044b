"""The hot GET: cached files by the S3 door, against nginx and rclone on the same files."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import cpu
from bench.load import Loaded, Run, Server, load
from bench.node import Node
from bench.outcome import Figure, Outcome, ratios
from bench.requests import Plain, Signer
from bench.zipf import Zipf
from testbed.nginx import Nginx
from testbed.rclone import serve_s3

ABOUT = (
    "GETs of cached files at 1, 16 and 64 connections; the server on one core, the load on another."
)
KIB: Final = 1 << 10
MIB: Final = 1 << 20
DIRECTORIES: Final = 100
DECISIVE: Final = 16
WARM_UP_SECONDS: Final = 2.0
NGINX: Final = """\
        root {root};
        sendfile on;
        tcp_nopush off;
        open_file_cache max=16000 inactive=600s;
        open_file_cache_valid 600s;
        keepalive_requests 1000000000;
"""


@dataclass(frozen=True, slots=True)
class Size:
    """Files of one size: how many there are, and how many requests a run has at most."""

    name: str
    bytes: int
    files: int
    requests: int
    against_nginx: float
    against_rclone: float

    @property
    def directory(self) -> str:
        """Where they lie, below the lake's directory."""
        return self.name.replace(" ", "")

    def path(self, number: int) -> str:
        """The path of a file in the URL of every server."""
        part, file = number % DIRECTORIES, number // DIRECTORIES
        return f"/hot/{self.directory}/d{part:02}/part-{file:05}.parquet"


# Of the 64 KiB files only those that are asked for have content in the cache: all would be 6 GiB.
SIZES: Final = (
    Size("4 KiB", 4 * KIB, 100_000, 50_000, 0.40, 3.0),
    Size("64 KiB", 64 * KIB, 100_000, 36_000, 0.52, 4.0),
    Size("1 MiB", MIB, 500, 6_000, 0.85, 1.5),
    Size("8 MiB", 8 * MIB, 60, 800, 0.85, 1.5),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    connections: Sequence[int]
    rounds: int
    more_rounds: int
    seconds: float


FULL: Final = Plan((1, 16, 64), rounds=3, more_rounds=2, seconds=1.0)
QUICK: Final = Plan((16,), rounds=1, more_rounds=0, seconds=0.5)


def hot_get(work: Path, *, quick: bool) -> Outcome:
    """Run the scenario below `work`."""
    plan = QUICK if quick else FULL
    outcome = Outcome("hot_get", ABOUT)
    root = work / "files"
    with ExitStack() as stack:
        draws = {size: list(Zipf(size.files, seed=7).draws(size.requests)) for size in SIZES}
        make_files(root, draws)
        node = stack.enter_context(Node(work, files=root))
        servers = started(stack, root, node)
        warm(node, servers[0], draws)
        core, _ = cpu.cores()
        for server in servers:
            cpu.pin(server.pids, core)
        found: dict[tuple[str, Size, int], list[Loaded]] = defaultdict(list)
        for size, server in itertools.product(SIZES, servers):
            load(server, asked(server, draws[size], size), Run(DECISIVE, WARM_UP_SECONDS))
        for size, connections in turns(plan):
            run = Run(connections, plan.seconds, warm_seconds=0.1)
            for server in servers:
                paths = asked(server, draws[size], size)
                found[server.name, size, connections].append(load(server, paths, run))
    for (server_name, size, connections), runs in found.items():
        _take(outcome, f"{server_name}, {size.name}, {connections} connections", runs)
    _compare(outcome)
    distinct = {size.name: len(set(numbers)) for size, numbers in draws.items()}
    outcome.notes.append(
        "Requests follow Zipf (0.99) over the files of a size: "
        + ", ".join(f"{size.files:,} of {size.name}" for size in SIZES)
        + "; every status is in the index, and the content of those that are asked for in the "
        "cache: " + ", ".join(f"{count:,} of {name}" for name, count in distinct.items()) + "."
    )
    return outcome


def make_files(root: Path, draws: dict[Size, list[int]]) -> None:
    """Make all files: with bytes if they are asked for, else of the same size without."""
    for size, numbers in draws.items():
        wanted = set(numbers)
        content = bytes(range(256)) * (size.bytes // 256)
        for part in range(DIRECTORIES):
            (root / "hot" / size.directory / f"d{part:02}").mkdir(parents=True, exist_ok=True)
        for number in range(size.files):
            with (root / size.path(number).lstrip("/")).open("wb") as file:
                file.write(content) if number in wanted else file.truncate(size.bytes)


def started(stack: ExitStack, root: Path, node: Node) -> list[Server]:
    """Forebay, nginx and rclone on the same files; the paths are the same in all three."""
    node.mount("/hot", f"file://{root / 'hot'}", sync="never")
    nginx = stack.enter_context(Nginx(root.parent / "nginx", NGINX.format(root=root)))
    rclone = stack.enter_context(serve_s3(root.parent / "rclone", root))
    host, port = node.address
    return [
        Server("Forebay", node.address, node.pid, Signer(f"{host}:{port}", *node.key)),
        Server("nginx", (host, nginx.port), nginx.process.pid, Plain(f"{host}:{nginx.port}")),
        Server(
            "rclone",
            (host, rclone.port),
            rclone.process.pid,
            Signer(f"{host}:{rclone.port}", rclone.access_key, rclone.secret_key),
        ),
    ]


def warm(node: Node, forebay: Server, draws: dict[Size, list[int]]) -> None:
    """Have every status remembered, and all that will be asked for cached."""
    node.run("fs", "count", "/hot")
    for size, numbers in draws.items():
        distinct = [size.path(number) for number in dict.fromkeys(numbers)]
        load(forebay, distinct + distinct[:64], Run(32, seconds=600.0))


def turns(plan: Plan) -> Iterator[tuple[Size, int]]:
    """What is measured, in order; the decisive numbers of connections more often."""
    for _ in range(plan.rounds):
        yield from itertools.product(SIZES, plan.connections)
    for _ in range(plan.more_rounds):
        yield from ((size, DECISIVE) for size in SIZES)


def asked(server: Server, numbers: Sequence[int], size: Size) -> Iterator[str]:
    """The paths of one run; rclone would not come to the end of them."""
    count = len(numbers) // 3 if server.name == "rclone" else len(numbers)
    return (size.path(number) for number in numbers[:count])


def _take(outcome: Outcome, name: str, runs: Sequence[Loaded]) -> None:
    outcome.add(f"{name}: CPU a request", "µs", [run.cpu_us for run in runs])
    outcome.add(f"{name}: requests", "/s", [run.per_second for run in runs])
    outcome.add(f"{name}: p50", "µs", [run.p50_us for run in runs])
    outcome.add(f"{name}: p99", "µs", [run.p99_us for run in runs])


def _compare(outcome: Outcome) -> None:
    figures = {figure.name: figure for figure in outcome.figures}

    def cost(server: str, size: Size) -> Figure:
        return figures[f"{server}, {size.name}, {DECISIVE} connections: CPU a request"]

    for peer in ("nginx", "rclone"):
        for size in SIZES:
            bound = size.against_nginx if peer == "nginx" else size.against_rclone
            name = f"hot GET {size.name}, CPU: {peer} / Forebay"
            ratio = ratios(name, cost(peer, size), cost("Forebay", size))
            outcome.at_least(name, bound, ratio)
