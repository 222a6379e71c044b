"""The tree of names below one directory of this host, never outside of it.

Each name is opened relative to its directory, so that nobody can put a symbolic link in the way of
a path that was checked a moment ago. Links that stay inside are followed; others are refused.
"""

import ctypes
import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forebay.model.errors import BadPath, StoreMissing
from forebay.model.generation import Fingerprint
from forebay.model.paths import OURS, StoreKey
from forebay.model.status import FileStatus, Kind, Ownership, from_milliseconds

_MOST_LINKS: Final = 40
_NO_REPLACE: Final = 1  # RENAME_NOREPLACE of renameat2(2)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name is: an open directory, and the name in it; '.' is the directory itself."""

    directory: int
    name: str

    def look(self) -> os.stat_result:
        """What is there; a link is not followed."""
        return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)

    def is_taken(self) -> bool:
        """Whether anything is there."""
        try:
            self.look()
        except FileNotFoundError:
            return False
        return True


@dataclass(slots=True)
class _Walk:
    """The way down from the root: the open directories, and the names still to go."""

    key: StoreKey
    opened: list[int]
    waiting: list[str]
    links: int = 0

    def descend(self, *, make: bool) -> None:
        """Go into the next name."""
        name = self.waiting.pop(0)
        if name == "..":
            if len(self.opened) == 1:
                raise BadPath(self.key, "a symbolic link leads out of the store")
            os.close(self.opened.pop())
            return
        here = self.opened[-1]
        try:
            self.opened.append(open_directory(name, here))
        except FileNotFoundError:
            if not make:
                raise
            make_directory(name, here)
            self.opened.append(open_directory(name, here))
        except OSError as error:
            # A link is reported as no directory, or as a loop.
            if error.errno not in (errno.ENOTDIR, errno.ELOOP) or not self.follow(name):
                raise

    def close(self) -> None:
        """Let go of all but the root."""
        for number in self.opened[1:]:
            os.close(number)

    def follow_last(self) -> bool:
        """Go on where the last name leads to; False if it is no link."""
        name = self.waiting.pop()
        if self.follow(name):
            return True
        self.waiting.append(name)
        return False

    def follow(self, name: str) -> bool:
        """Put what the link `name` leads to before the names to go; False if it is no link."""
        try:
            target = os.readlink(name, dir_fd=self.opened[-1])
        except OSError:
            return False
        self.links += 1
        names = [part for part in target.split("/") if part not in ("", ".")]
        if target.startswith("/") or OURS in names:
            raise BadPath(self.key, "a symbolic link leads out of the store")
        if self.links > _MOST_LINKS:
            raise BadPath(self.key, "symbolic links lead in a circle")
        self.waiting[:0] = names
        return True


def open_directory(name: str, directory: int) -> int:
    """The directory `name` in `directory`, opened; a link is refused."""
    # O_PATH: going through a directory needs no right to read it.
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=directory)


def make_directory(name: str, directory: int, mode: int = 0o777) -> None:
    """Make the directory `name` in `directory`; one that is there is no error."""
    try:
        os.mkdir(name, mode, dir_fd=directory)
    except FileExistsError:
        return
    keep_names(directory)


def keep_names(directory: int) -> None:
    """Make the names in the directory outlive a power cut."""
    number = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory of this host, and what is below it."""

    root: Path
    _names: dict[tuple[str, int], str] = field(default_factory=dict)

    @contextmanager
    def opened_root(self) -> Iterator[int]:
        """The root, opened. The way to it may have links: the operator chose it."""
        try:
            number = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreMissing(self.root, "is no directory of this host") from error
        try:
            yield number
        finally:
            os.close(number)

    @contextmanager
    def place(self, key: StoreKey, *, make: bool = False, follow: bool = True) -> Iterator[Place]:
        """Where `key` is, or would be; `make`: its parents are made; `follow`: also a last link."""
        with self.opened_root() as root, ExitStack() as stack:
            walk = _Walk(key, [root], key.text.split("/") if key.text else [])
            stack.callback(walk.close)
            while walk.waiting:
                if len(walk.waiting) > 1 or walk.waiting[0] == "..":
                    walk.descend(make=make)
                elif not follow or not walk.follow_last():
                    break
            yield Place(walk.opened[-1], walk.waiting[0] if walk.waiting else ".")

    @contextmanager
    def opened(self, key: StoreKey) -> Iterator[int]:
        """The directory `key`, opened for reading its names."""
        with self.place(key) as place:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            number = os.open(place.name, flags, dir_fd=place.directory)
        try:
            yield number
        finally:
            os.close(number)

    def status(self, key: StoreKey, found: os.stat_result) -> FileStatus | None:
        """The status of what was found at `key`; None for what is no file and no directory."""
        modified_at = from_milliseconds(found.st_mtime_ns // 1_000_000)
        ownership = Ownership(
            self._name_of("user", found.st_uid),
            self._name_of("group", found.st_gid),
            stat.S_IMODE(found.st_mode),
        )
        if stat.S_ISDIR(found.st_mode):
            return FileStatus(key, Kind.DIRECTORY, modified_at=modified_at, ownership=ownership)
        if not stat.S_ISREG(found.st_mode):
            return None
        return FileStatus(
            key,
            Kind.FILE,
            size=found.st_size,
            modified_at=modified_at,
            fingerprint=fingerprint_of(found),
            ownership=ownership,
        )

    def _name_of(self, kind: str, number: int) -> str:
        """The name of a user or group; asked of the system once."""
        known = self._names.get((kind, number))
        if known is None:
            ask: Callable[[int], str] = _user_name if kind == "user" else _group_name
            try:
                known = ask(number)
            except KeyError:
                known = str(number)
            self._names[kind, number] = known
        return known


def _user_name(number: int) -> str:
    return pwd.getpwuid(number).pw_name


def _group_name(number: int) -> str:
    return grp.getgrgid(number).gr_name


def fingerprint_of(found: os.stat_result) -> Fingerprint:
    """What pins the content of a file of this host."""
    return Fingerprint(f"file:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}")


def rename_strictly(source: Place, target: Place) -> None:
    """Rename in one step; FileExistsError when the target's name is taken."""
    library = ctypes.CDLL(None, use_errno=True)
    result = library.renameat2(
        source.directory,
        os.fsencode(source.name),
        target.directory,
        os.fsencode(target.name),
        _NO_REPLACE,
    )
    if result == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS) or stat.S_ISDIR(source.look().st_mode):
        raise OSError(number, os.strerror(number), target.name)
    # Some file systems (NFS) cannot do it in one step; a link never replaces.
    os.link(
        source.name,
        target.name,
        src_dir_fd=source.directory,
        dst_dir_fd=target.directory,
        follow_symlinks=False,
    )
    os.unlink(source.name, dir_fd=source.directory)
