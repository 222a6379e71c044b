"""A shelf that a test fills by hand: the writers are the real ones, the bytes the test's."""

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from forebay.model.generation import (
    Fingerprint,
    Generation,
    StoreIdentity,
    door_etag,
    first_seen,
)
from forebay.model.paths import StoreKey
from forebay.model.ranges import BLOCK_BYTES, block_count, segment_count, segment_range
from forebay.model.status import Kind
from forebay.shelf.blocks_writer import Entered
from forebay.shelf.names import NameRecord
from forebay.shelf.names_writer import Put
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from forebay.shelf.snapshot import MountPoint, MountSnapshot
from forebay.shelf.sums import sum_of

STORE = StoreIdentity("memory://lake")
MIB = 1 << 20
SMALL = ShelfOptions(names_bytes=8 * MIB, names_map_bytes=64 * MIB, blocks_map_bytes=64 * MIB)
SYNC_SECONDS = 30.0


@dataclass
class FilledShelf:
    """An open shelf of a node that mounts one store at /m."""

    shelf: Shelf
    files: dict[str, int] = field(default_factory=dict)
    made: int = 0

    def generation(self, path: str, content: bytes) -> Generation:
        """The generation of a content."""
        key = StoreKey(path.removeprefix("/m/"))
        return first_seen(STORE, key, Fingerprint(f"{sum_of(content)}"))

    def etag(self, path: str, content: bytes) -> str:
        """The ETag under which doors show a content."""
        return door_etag(self.generation(path, content))

    def remember(self, path: str, content: bytes, age: float = 0.0) -> None:
        """Remember a status that was checked `age` seconds ago."""
        checked = int((time.time() - age) * 1000)
        record = NameRecord(
            Kind.FILE, len(content), 1_700_000_000_123, checked,
            self.generation(path, content).raw, "f", content_type="text/plain",
        )  # fmt: skip
        key = StoreKey(path.removeprefix("/m/"))
        self.shelf.names_writer.write([Put(STORE, key, record)])

    def hold(
        self, path: str, content: bytes, blocks: Iterable[int] | None = None, age: float = 0.0
    ) -> None:
        """Remember a file and hold all its blocks, or only those of each segment in `blocks`."""
        self.remember(path, content, age)
        generation = self.generation(path, content).raw
        for segment in range(segment_count(len(content))):
            span = segment_range(segment, len(content))
            self._enter(path, generation, segment, content[span.start : span.end], blocks)

    def _enter(
        self, path: str, generation: bytes, segment: int, part: bytes,
        blocks: Iterable[int] | None,
    ) -> None:  # fmt: skip
        assert self.shelf.run is not None
        self.made += 1
        file = self.shelf.run.first_file + self.made
        held = list(range(block_count(len(part))) if blocks is None else blocks)
        spans = {block: part[block * BLOCK_BYTES :][:BLOCK_BYTES] for block in held}
        with Path(self.shelf.layout.segment(file)).open("wb") as opened:
            for block, body in spans.items():
                opened.seek(block * BLOCK_BYTES)
                opened.write(body)
            opened.truncate(len(part))
        sums = {block: sum_of(body) for block, body in spans.items()}
        size = len(part)
        entered = Entered(file, generation, segment, size, size, sums, first=True)
        assert self.shelf.blocks_writer.enter([entered]) == []
        self.files[path] = file

    def evict(self, path: str) -> None:
        """Hold the file's first segment no longer."""
        file = self.files[path]
        self.shelf.blocks_writer.drop(
            [known for known in self.shelf.blocks.every_file() if known.file == file]
        )
        self.segment(path).unlink()
        self.shelf.unlinked(file)

    def segment(self, path: str) -> Path:
        """The segment file that was made last for a path."""
        return Path(self.shelf.layout.segment(self.files[path]))


def noise(seed: int, size: int) -> bytes:
    """Bytes that look like nothing, and always the same."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - made up for tests


def filled_shelf(data: Path, sync: float | None = SYNC_SECONDS) -> FilledShelf:
    """The shelf of the data directory, opened as its writer."""
    (data / "shelf").mkdir(parents=True, exist_ok=True)
    shelf = open_shelf(data / "shelf" / "0", SMALL, write=True, now=time.time)
    shelf.names_writer.publish(MountSnapshot([MountPoint("/m", STORE.text, "", sync)]))
    return FilledShelf(shelf)
