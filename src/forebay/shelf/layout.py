"""The layout of a shelf: which file of the data directory is what."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SEGMENT_NAME: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one shelf below its directory."""

    root: Path

    @property
    def names(self) -> Path:
        """The LMDB environment of remembered statuses."""
        return self.root / "names"

    @property
    def names_marks(self) -> Path:
        """The change marks of `names`."""
        return self.root / "names.marks"

    @property
    def blocks(self) -> Path:
        """The LMDB environment of what is held."""
        return self.root / "blocks"

    @property
    def blocks_marks(self) -> Path:
        """The change marks of `blocks`."""
        return self.root / "blocks.marks"

    @property
    def touched(self) -> Path:
        """One byte for each segment file: read since the eviction hand came by."""
        return self.root / "touched"

    @property
    def tallies(self) -> Path:
        """One small file for each process that reads by itself: what it has read."""
        return self.root / "tallies"

    @property
    def run(self) -> Path:
        """The record of the writer's run."""
        return self.root / "run"

    @property
    def lock(self) -> Path:
        """Held by the one writer."""
        return self.root / "lock"

    @property
    def segments(self) -> Path:
        """The directory of segment files."""
        return self.root / "segments"

    def segment(self, file: int) -> str:
        """The path of segment file number `file`; text, because the hot path opens it."""
        return f"{self.root}/segments/{file & 0xFF:02x}/{file:016x}"

    def make(self) -> None:
        """Make the directories that are missing, for this user alone."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.segments.mkdir(mode=0o700, exist_ok=True)
        for low in range(256):
            (self.segments / f"{low:02x}").mkdir(mode=0o700, exist_ok=True)

    def segment_files(self) -> Iterator[tuple[int, os.DirEntry[str]]]:
        """Every segment file on disk with its number, in no order."""
        for low in range(256):
            with os.scandir(self.segments / f"{low:02x}") as found:
                for entry in found:
                    if _SEGMENT_NAME.fullmatch(entry.name):
                        yield int(entry.name, 16), entry
