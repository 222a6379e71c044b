"""The short circuit: cached bytes read by a program on the node's host, beside clients of HTTP."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import S3Store
from pyarrow.fs import S3FileSystem
from s3fs import S3FileSystem as FsspecS3

from bench.node import Node
from bench.outcome import Outcome, ratios

ABOUT = (
    "64 KiB at random places of a cached file by `cat_file`, and a scan of 4 of 16 columns of a "
    "cached Parquet file, against s3fs, PyArrow and obstore through the same door."
)
KIB: Final = 1 << 10
READS: Final = 300
ROUNDS: Final = 5
ROWS: Final = 1_500_000
WANTED: Final = [f"column_{number}" for number in (1, 5, 9, 13)]
FILE: Final = "near/table.parquet"


def short_circuit(work: Path, *, quick: bool) -> Outcome:
    """Run the scenario below `work`."""
    outcome = Outcome("short_circuit", ABOUT)
    local = work / "files" / "table.parquet"
    local.parent.mkdir()
    size = make(local)
    rounds = 1 if quick else ROUNDS
    with ExitStack() as stack:
        node = stack.enter_context(Node(work, files=local.parent))
        node.mount("/near", f"file://{local.parent}", sync="never")
        node.run("fs", "load", "/near")
        _reads(outcome, node, size, rounds)
        _scans(outcome, node, local, rounds)
    return outcome


def make(place: Path) -> int:
    """Write 16 columns of numbers that do not compress; the size of the file."""
    chance = np.random.default_rng(5)
    columns = {f"column_{number}": chance.random(ROWS) for number in range(16)}
    # Without dictionaries and codecs: the measure is reading, not decoding.
    pq.write_table(
        pa.table(columns), place, compression="none", use_dictionary=False, row_group_size=250_000
    )
    return place.stat().st_size


def _reads(outcome: Outcome, node: Node, size: int, rounds: int) -> None:
    readers = readers_of(node)
    chance = random.Random(11)
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            places = [chance.randrange(0, size - 64 * KIB) for _ in range(READS)]
            found[name].append(statistics.median(read_times(read, places)))
    figures = {name: outcome.add(f"{name}: 64 KiB", "µs", times) for name, times in found.items()}
    ours = figures.pop("forebay://")
    outcome.at_most("short circuit, 64 KiB", 15, ours)
    fastest = min(figures.values(), key=lambda figure: figure.median)
    name = f"short circuit, 64 KiB: {fastest.name.partition(':')[0]} (fastest by HTTP) / forebay://"
    outcome.at_least(name, 10, ratios(name, fastest, ours))


def readers_of(node: Node) -> dict[str, Callable[[int], int]]:
    """What reads 64 KiB at a place, by the name of the client; how many bytes came."""
    key, secret = node.key
    lake = node.filesystem()
    fsspec = FsspecS3(key=key, secret=secret, endpoint_url=node.endpoint)
    arrow = _arrow(node).open_input_file(FILE)
    bucket, _, name = FILE.partition("/")
    store = S3Store(
        bucket,
        endpoint=node.endpoint,
        access_key_id=key,
        secret_access_key=secret,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    return {
        "forebay://": lambda at: len(lake.cat_file(f"/{FILE}", at, at + 64 * KIB)),
        "s3fs": lambda at: len(fsspec.cat_file(FILE, start=at, end=at + 64 * KIB)),
        "PyArrow": lambda at: len(arrow.read_at(64 * KIB, at)),
        "obstore": lambda at: len(store.get_range(name, start=at, length=64 * KIB)),
    }


def read_times(read: Callable[[int], int], places: list[int]) -> Iterator[float]:
    """What each read takes, in microseconds."""
    for place in places:
        begin = time.perf_counter()
        count = read(place)
        yield (time.perf_counter() - begin) * 1e6
        if count != 64 * KIB:
            raise RuntimeError(f"{count} bytes at {place}")


def _scans(outcome: Outcome, node: Node, local: Path, rounds: int) -> None:
    lake, arrow = node.filesystem(), _arrow(node)
    expected = pq.read_table(local, columns=WANTED)
    scans: dict[str, Callable[[], pa.Table]] = {
        "forebay://, near()": lambda: pq.read_table(lake.near(f"/{FILE}"), columns=WANTED),
        "forebay://, mapped()": lambda: pq.read_table(
            pa.BufferReader(pa.py_buffer(lake.mapped(f"/{FILE}"))), columns=WANTED
        ),
        "PyArrow's S3": lambda: pq.read_table(FILE, filesystem=arrow, columns=WANTED),
        "plain local file": lambda: pq.read_table(local, columns=WANTED),
    }
    found: dict[str, list[float]] = {name: [] for name in scans}
    for _ in range(2 * rounds):
        for name, scan in scans.items():
            begin = time.perf_counter()
            table = scan()
            found[name].append((time.perf_counter() - begin) * 1e3)
            if not table.equals(expected):
                raise RuntimeError(f"{name} reads another table")
    figures = {name: outcome.add(f"{name}: scan", "ms", times) for name, times in found.items()}
    ours = figures["forebay://, near()"]
    name = "scan of 4 of 16 columns: PyArrow's S3 / forebay://"
    outcome.at_least(name, 1.8, ratios(name, figures["PyArrow's S3"], ours))
    name = "scan of 4 of 16 columns: forebay:// / plain local file"
    outcome.at_most(name, 1.3, ratios(name, ours, figures["plain local file"]))


def _arrow(node: Node) -> S3FileSystem:
    key, secret = node.key
    return S3FileSystem(
        access_key=key,
        secret_key=secret,
        endpoint_override=node.endpoint.removeprefix("http://"),
        scheme="http",
        region="us-east-1",
    )
