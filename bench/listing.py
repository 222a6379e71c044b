"""Listing and stat: 100,000 files in one directory, through the door and through the client."""

import socket
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import cpu
from bench.load import Run, Server, load
from bench.node import Node
from bench.outcome import Outcome
from bench.requests import Signer

ABOUT = "One directory of 100,000 files: first listing, pages of 1,000 from memory, HEAD, info()."
FILES: Final = 100_000
PAGE: Final = 1_000
ROUNDS: Final = 5
HEADS: Final = 2_000


def listing(work: Path, *, quick: bool) -> Outcome:
    """Run the scenario below `work`."""
    outcome = Outcome("listing", ABOUT)
    files = work / "files"
    files.mkdir()
    names = [f"part-{number:06}.parquet" for number in range(FILES)]
    for name in names:
        (files / name).touch()
    with ExitStack() as stack:
        node = stack.enter_context(Node(work, files=files))
        node.mount("/wide", f"file://{files}", sync="never")
        begin = time.perf_counter()
        node.run("fs", "count", "/wide")
        outcome.add("first listing, from the store", "s", [time.perf_counter() - begin])
        signer = Signer(node.endpoint.removeprefix("http://"), *node.key)
        server = Server("Forebay", node.address, node.pid, signer)
        core, _ = cpu.cores()
        cpu.pin([node.pid], core)
        _pages(outcome, server, names, quick=quick)
        _heads(outcome, server, signer, names[:: FILES // HEADS])
        _infos(outcome, node, names)
    return outcome


def _pages(outcome: Outcome, server: Server, names: list[str], *, quick: bool) -> None:
    starts = [names[number - 1] for number in range(PAGE, FILES, PAGE)]
    targets = [f"/wide?list-type=2&max-keys={PAGE}&start-after={name}" for name in starts]
    runs = [load(server, targets, Run(1, 120.0)) for _ in range(1 if quick else ROUNDS)]
    outcome.add("ListObjectsV2, a page of 1,000", "ms", [run.p50_us / 1e3 for run in runs])
    outcome.add("ListObjectsV2, CPU a page", "ms", [run.cpu_us / 1e3 for run in runs])


def _heads(outcome: Outcome, server: Server, signer: Signer, names: list[str]) -> None:
    paths = [f"/wide/{name}" for name in names]
    medians, costs = [], []
    for _ in range(ROUNDS):
        before = cpu.seconds([server.pid])
        medians.append(statistics.median(head_times(server, signer, paths)) * 1e6)
        costs.append((cpu.seconds([server.pid]) - before) / len(paths) * 1e6)
    outcome.add("HEAD, p50", "µs", medians)
    outcome.add("HEAD, CPU", "µs", costs)


def head_times(server: Server, signer: Signer, paths: list[str]) -> list[float]:
    """What each HEAD takes, one after the other on one connection, in seconds."""
    times = []
    with socket.create_connection(server.address) as connection:
        for request in signer.gets(paths, "HEAD"):
            begin = time.perf_counter()
            connection.sendall(request)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(65_536)
            times.append(time.perf_counter() - begin)
            if b" 200 " not in head[:20]:
                raise RuntimeError(head.decode())
    return times


def _infos(outcome: Outcome, node: Node, names: list[str]) -> None:
    lake = node.filesystem()
    times = []
    for name in names[:: FILES // HEADS]:
        begin = time.perf_counter()
        lake.info(f"/wide/{name}")
        times.append((time.perf_counter() - begin) * 1e6)
    outcome.add("info() of the client, first look", "µs", [statistics.median(times)])
