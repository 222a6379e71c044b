"""What looking things up costs: microseconds of one thread, on a shelf with a million names.

python bench/micro_shelf.py [names]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import Kind
from forebay.shelf.blocks_writer import Entered
from forebay.shelf.names import NameRecord
from forebay.shelf.reader import ShelfReader
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from forebay.shelf.snapshot import MountPoint, MountSnapshot
from forebay.shelf.sums import sums_of

STORE = StoreIdentity("s3://host:9000/bucket")
NAME = b"/lake/table0003/part-00005-c000.snappy.parquet"
SIZE = 1 << 20


def microseconds(work: Callable[[], object], times: int) -> float:
    """The best of five rounds, for one call."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, time.perf_counter() - start)
    return best / times * 1e6


def list_everything(shelf: Shelf, names: int) -> None:
    """Remember tables of a thousand files each."""
    now = int(time.time() * 1000)
    for table in range(names // 1000):
        entries = []
        for number in range(1000):
            raw = (table * 1000 + number).to_bytes(16, "big")
            etag = f'"{raw.hex()}"'
            record = NameRecord(Kind.FILE, SIZE, now, now, raw, f"etag:{etag}", "", etag)
            entries.append((f"part-{number:05}-c000.snappy.parquet", record))
        shelf.names_writer.replace_listing(STORE, StoreKey(f"table{table:04}"), entries, now)


def hold_one(shelf: Shelf) -> None:
    """Hold the bytes of the one file that is looked up."""
    content = bytes(SIZE)
    file = shelf.run.first_file if shelf.run is not None else 1
    Path(shelf.layout.segment(file)).write_bytes(content)
    generation = (3005).to_bytes(16, "big")
    sums = dict(enumerate(sums_of(content)))
    shelf.blocks_writer.enter([Entered(file, generation, 0, SIZE, SIZE, sums, first=True)])


def look_up(shelf: Shelf) -> None:
    """Print what each look-up costs."""
    reader = ShelfReader(shelf, bytes.decode, time.time)
    entry = reader.find(NAME)
    if entry is None or entry.extent(0, SIZE) is None:
        raise SystemExit("the file is not found")
    fresh = ShelfReader(shelf, bytes.decode, time.time, entries=1)
    other = NAME.replace(b"00005", b"00006")

    def load_two() -> None:
        fresh.find(NAME)
        fresh.find(other)

    table = StoreKey("table0003")
    print(f"find, kept:  {microseconds(lambda: reader.find(NAME), 200_000):7.2f} us")
    print(f"find, load:  {microseconds(load_two, 20_000) / 2:7.2f} us")
    print(f"extent:      {microseconds(lambda: entry.extent(4096, 65536), 200_000):7.2f} us")
    print(f"page of 1000: {microseconds(lambda: shelf.names.page(STORE, table), 20):6.0f} us")


def measure(directory: Path, names: int) -> None:
    """Print the table."""
    shelf = open_shelf(directory, ShelfOptions(), write=True, now=time.time)
    shelf.names_writer.publish(MountSnapshot([MountPoint("/lake", STORE.text, "", None)]))
    start = time.perf_counter()
    list_everything(shelf, names)
    print(f"{names} names listed: {time.perf_counter() - start:.1f} s")
    taken = (shelf.layout.names / "data.mdb").stat().st_blocks * 512
    print(f"on disk: {taken / 1e6:.0f} MB")
    hold_one(shelf)
    look_up(shelf)
    anonymous = Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]
    print(f"anonymous memory of the process: {int(anonymous) / 1024:.0f} MiB")
    shelf.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
