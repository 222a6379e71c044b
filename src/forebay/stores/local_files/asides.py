"""Files written aside, which get their name when they are whole."""

import asyncio
import errno
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from forebay.model.conditions import IfAbsent, IfUnchanged, WriteCondition
from forebay.model.errors import ConditionFailed, NotADirectory, NotAFile, StoreLied
from forebay.model.paths import OURS, StoreKey
from forebay.stores.contract import Chunk
from forebay.stores.local_files.descriptors import Descriptor, obtained, to_its_end
from forebay.stores.local_files.tree import (
    Place,
    Tree,
    fingerprint_of,
    keep_names,
    make_directory,
    open_directory,
    rename_strictly,
)
from forebay.stores.local_files.trouble import speaking_of

_TEMPORARY: Final = "tmp"
_BUFFERED: Final = 1 << 20
_COPIED_AT_ONCE: Final = 64 << 20
_FORGOTTEN: Final = 24 * 3600 * 1_000_000_000
"""Nanoseconds after which a file aside has nobody who will finish it."""


@contextmanager
def our_directory(tree: Tree, *names: str, make: bool = True) -> Iterator[int]:
    """The directory `names` in `.forebay`, opened; links are refused."""
    with tree.opened_root() as root:
        opened = [root]
        try:
            for name in (OURS, *names):
                if make:
                    make_directory(name, opened[-1], 0o700)
                opened.append(open_directory(name, opened[-1]))
            yield opened[-1]
        finally:
            for number in opened[1:]:
                os.close(number)


class Aside:
    """One file aside. It is removed when it is dropped before it got its name."""

    def __init__(self, tree: Tree, name: str, key: StoreKey, announced: int | None) -> None:
        self.name = name
        self.size = 0
        self._tree = tree
        self._key = key
        self._announced = announced
        with our_directory(tree, _TEMPORARY) as directory:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = Descriptor(os.open(name, flags, 0o666, dir_fd=directory))

    async def fill(self, body: AsyncIterator[Chunk]) -> None:
        """Take the whole body."""
        # Small pieces are gathered: a thread for each would cost more than the writing.
        buffer = bytearray()
        async for piece in body:
            buffer += piece
            if len(buffer) >= _BUFFERED:
                await asyncio.to_thread(self.append, bytes(buffer))
                buffer.clear()
        if buffer:
            await asyncio.to_thread(self.append, bytes(buffer))
        if self._announced is not None and self.size != self._announced:
            raise StoreLied(self._key, f"a body of {self.size} bytes, announced {self._announced}")

    def append(self, content: bytes) -> None:
        """Write more."""
        self.size += len(content)
        if self._announced is not None and self.size > self._announced:
            raise StoreLied(self._key, f"a body of more than the {self._announced} announced")
        rest = memoryview(content)
        with speaking_of(self._key), self._descriptor.used(self._key) as number:
            while rest:
                rest = rest[os.write(number, rest) :]

    async def append_file(self, source: Descriptor, size: int) -> None:
        """Write the `size` bytes of another file, without taking them into memory."""
        position = 0
        while position < size:
            wanted = min(size - position, _COPIED_AT_ONCE)
            copied = await asyncio.to_thread(self._copied, source, position, wanted)
            if not copied:
                raise StoreLied(self._key, f"its source ends at {position} of {size} bytes")
            position += copied
            self.size += copied

    def settle(self, moment: int) -> None:
        """Bring it to the disk, with `moment` as the time of its last change."""
        with speaking_of(self._key), self._descriptor.used(self._key) as number:
            # The kernel's own time moves in steps of milliseconds; two contents must never share
            # inode, length and time.
            os.utime(number, ns=(moment, moment))
            os.fsync(number)

    def found(self) -> os.stat_result:
        """What the operating system says of it."""
        with speaking_of(self._key), self._descriptor.used(self._key) as number:
            return os.fstat(number)

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Where it is."""
        with our_directory(self._tree, _TEMPORARY) as directory:
            yield Place(directory, self.name)

    def drop(self) -> None:
        """Let go of it; if it has no name yet, it is gone."""
        self._descriptor.close()
        with suppress(OSError), self.place() as place:
            os.unlink(place.name, dir_fd=place.directory)

    def _copied(self, source: Descriptor, position: int, size: int) -> int:
        with (
            speaking_of(self._key),
            source.used(self._key) as origin,
            self._descriptor.used(self._key) as number,
        ):
            try:
                return os.copy_file_range(origin, number, size, offset_src=position)
            except OSError as error:
                # Not every file system can; then the bytes go through us.
                if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                    raise
            rest = memoryview(os.pread(origin, min(size, _BUFFERED), position))
            copied = len(rest)
            while rest:
                rest = rest[os.write(number, rest) :]
            return copied


@dataclass(slots=True)
class Asides:
    """The files aside of one tree, and the one way to give them names.

    Args:
        tree: where the names are.
        new_name: a name that nobody used.
        clock: nanoseconds since the epoch.
    """

    tree: Tree
    new_name: Callable[[], str]
    clock: Callable[[], int] = time.time_ns
    _naming: threading.Lock = field(default_factory=threading.Lock)
    _telling: threading.Lock = field(default_factory=threading.Lock)
    _last_moment: int = 0
    _is_swept: bool = False

    def begin(self, key: StoreKey, announced: int | None = None) -> Aside:
        """A new file aside, for what will be at `key`."""
        with speaking_of(key):
            aside = Aside(self.tree, self.new_name(), key, announced)
            if not self._is_swept:
                self._is_swept = True
                self._sweep()
        return aside

    @asynccontextmanager
    async def begun(self, key: StoreKey, announced: int | None = None) -> AsyncIterator[Aside]:
        """A new file aside, which is gone at the end, unless it got its name."""
        aside = await obtained(lambda: self.begin(key, announced), Aside.drop)
        try:
            yield aside
        finally:
            await to_its_end(aside.drop)

    async def name(
        self, aside: Aside, key: StoreKey, condition: WriteCondition | None
    ) -> os.stat_result:
        """Give the whole file its name `key`, if `condition` holds."""
        await asyncio.to_thread(aside.settle, self.moment())
        return await to_its_end(self._named, aside, key, condition)

    def moment(self) -> int:
        """A time that no file written here had before."""
        with self._telling:
            self._last_moment = max(self.clock(), self._last_moment + 1)
            return self._last_moment

    @contextmanager
    def deciding(self, key: StoreKey, condition: WriteCondition | None) -> Iterator[None]:
        """Nobody of ours comes between the condition and what is done under it."""
        with self._naming:
            self._must_meet(key, condition)
            yield

    def _named(
        self, aside: Aside, key: StoreKey, condition: WriteCondition | None
    ) -> os.stat_result:
        if key.is_root:
            raise NotAFile(key, "is the root")
        # A parent that is no directory is reported so, or as a name taken by a file.
        otherwise = {errno.EEXIST: NotADirectory}
        with speaking_of(key, otherwise), ExitStack() as stack:
            with self.deciding(key, condition):
                target = stack.enter_context(self.tree.place(key, make=True))
                source = stack.enter_context(aside.place())
                _rename(source, target, key, condition)
            # Not under the lock: others need not wait for the disk.
            keep_names(target.directory)
        return aside.found()

    def _must_meet(self, key: StoreKey, condition: WriteCondition | None) -> None:
        if not isinstance(condition, IfUnchanged):
            return
        try:
            with self.tree.place(key) as place:
                fingerprint = fingerprint_of(place.look())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConditionFailed(key, "is not there") from error
        if fingerprint != condition.fingerprint:
            raise ConditionFailed(key, "is another by now")

    def _sweep(self) -> None:
        """Remove what a crash left aside long ago."""
        with our_directory(self.tree, _TEMPORARY) as directory:
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
            try:
                with os.scandir(readable) as entries:
                    old = [entry.name for entry in entries if self._is_forgotten(entry)]
            finally:
                os.close(readable)
            for name in old:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)

    def _is_forgotten(self, entry: "os.DirEntry[str]") -> bool:
        try:
            changed_at = entry.stat(follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            return False
        return self.clock() - changed_at > _FORGOTTEN


def _rename(source: Place, target: Place, key: StoreKey, condition: WriteCondition | None) -> None:
    if target.is_taken() and stat.S_ISDIR(target.look().st_mode):
        raise NotAFile(key, "is a directory")
    if not isinstance(condition, IfAbsent):
        os.rename(
            source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory
        )
        return
    try:
        rename_strictly(source, target)
    except FileExistsError as error:
        raise ConditionFailed(key, "is there already") from error
