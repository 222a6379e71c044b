"""The index: what a million remembered files take, and how soon 1,000 of them are listed.

`python -m bench.index_memory DIRECTORY NAMES` is the process that is measured.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench import cpu
from bench.outcome import Outcome
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import Kind
from forebay.shelf.names import NameRecord
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf

ABOUT = "A million names with fingerprints and ETags, in directories of 1,000 and one of 100,000."
MILLION: Final = 1_000_000
WIDE: Final = 100_000
NARROW: Final = 1_000
PAGES: Final = 200
STORE: Final = StoreIdentity("s3://store:9000/bucket")


def index_memory(work: Path, *, quick: bool) -> Outcome:
    """Run the scenario below `work`."""
    outcome = Outcome("index_memory", ABOUT)
    names = MILLION // 5 if quick else MILLION
    found: list[dict[str, list[float]]] = []
    for number in range(1 if quick else 2):
        command = [sys.executable, "-m", "bench.index_memory", str(work / str(number)), str(names)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    share = MILLION / names
    disk = [one["disk_bytes"][0] * share / 1e6 for one in found]
    anonymous = [one["anonymous_bytes"][0] * share / 1e6 for one in found]
    outcome.add("writing them", "s", [one["seconds"][0] * share for one in found])
    outcome.at_most(
        "1 M files remembered: disk", 400, outcome.add("disk for a million names", "MB", disk)
    )
    name = "anonymous memory more, for a million names"
    outcome.at_most("1 M files remembered: memory", 50, outcome.add(name, "MB", anonymous))
    pages = [ms for one in found for ms in one["page_ms"]]
    wide = [ms for one in found for ms in one["wide_page_ms"]]
    outcome.at_most("listing 1,000 names in the index", 1.0, outcome.add("a page", "ms", pages))
    name = "a page of a directory of 100,000"
    outcome.at_most("the same in a directory of 100,000", 1.0, outcome.add(name, "ms", wide))
    return outcome


def entries(first: int, count: int, now_ms: int) -> Iterator[tuple[str, NameRecord]]:
    """Names as Spark gives them, with what an S3 store says of each."""
    for number in range(first, first + count):
        raw = number.to_bytes(16, "big")
        etag = f'"{raw.hex()}"'
        name = f"part-{number:05}-6d0e0b2c-6c1d-4b0a-8d3e-{number:012x}-c000.snappy.parquet"
        yield name, NameRecord(Kind.FILE, 1 << 20, now_ms, now_ms, raw, f"etag:{etag}", "", etag)


def remember(shelf: Shelf, names: int) -> None:
    """One directory of 100,000, all others of 1,000."""
    now_ms = int(time.time() * 1000)
    writer = shelf.names_writer
    writer.replace_listing(STORE, StoreKey("wide"), entries(0, WIDE, now_ms), now_ms)
    for first in range(WIDE, names, NARROW):
        key = StoreKey(f"warehouse/sales/day={first // NARROW:05}")
        writer.replace_listing(STORE, key, entries(first, NARROW, now_ms), now_ms)


def page_times(shelf: Shelf, directory: str, after: str) -> list[float]:
    """What reading 1,000 names takes, in milliseconds of this process."""
    times = []
    for _ in range(PAGES):
        begin = time.perf_counter()
        page = shelf.names.page(STORE, StoreKey(directory), after, 1000)
        times.append((time.perf_counter() - begin) * 1e3)
        if len(page) != NARROW:
            raise RuntimeError(f"{directory}: {len(page)} names")
    return times


def measure(directory: Path, names: int) -> dict[str, list[float]]:
    """What the process that is measured finds."""
    directory.mkdir(parents=True)
    shelf = open_shelf(directory, ShelfOptions(), write=True, now=time.time)
    before = cpu.memory(0)["RssAnon"]
    begin = time.perf_counter()
    remember(shelf, names)
    took = time.perf_counter() - begin
    middle = next(name for name, _ in entries(WIDE // 2, 1, 0))
    found = {
        "seconds": [took],
        "disk_bytes": [(shelf.layout.names / "data.mdb").stat().st_blocks * 512.0],
        "page_ms": page_times(shelf, f"warehouse/sales/day={WIDE // NARROW:05}", ""),
        "wide_page_ms": page_times(shelf, "wide", middle),
        "anonymous_bytes": [float(cpu.memory(0)["RssAnon"] - before)],
    }
    shelf.close()
    return found


def main(words: Sequence[str]) -> None:
    """Measure, and write what was found as JSON."""
    directory, names = words
    json.dump(measure(Path(directory), int(names)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
