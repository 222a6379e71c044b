"""Usage: how much is below a lake path, and how much of it is cached."""

from dataclasses import dataclass

from forebay.model.paths import LakePath


@dataclass(frozen=True, slots=True)
class Usage:
    """What is at and below a path.

    Attributes:
        path: which.
        files: how many, itself included.
        directories: how many, itself included.
        bytes: of all files.
        cached_bytes: of those that are in the cache.
        children: the same for what is directly in it, without theirs.
    """

    path: LakePath
    files: int = 0
    directories: int = 0
    bytes: int = 0
    cached_bytes: int = 0
    children: tuple["Usage", ...] = ()


@dataclass(slots=True)
class Sum:
    """Adds up a `Usage`."""

    path: LakePath
    files: int = 0
    directories: int = 0
    bytes: int = 0
    cached_bytes: int = 0

    def add_file(self, size: int, cached: int) -> None:
        """One more file."""
        self.files += 1
        self.bytes += size
        self.cached_bytes += cached

    def usage(self, children: tuple[Usage, ...] = ()) -> Usage:
        """The result."""
        return Usage(
            self.path, self.files, self.directories, self.bytes, self.cached_bytes, children
        )


@dataclass(frozen=True, slots=True)
class Step:
    """How far a load or a free has come.

    Attributes:
        path: the file it was last busy with.
        files: done until now.
        bytes: done until now.
        total_files: known until now; grows while directories are read.
        total_bytes: see `total_files`.
    """

    path: LakePath
    files: int
    bytes: int
    total_files: int
    total_bytes: int
