"""The shelf: the cached bytes and remembered names of one host, opened once in a process.

One process writes (it holds the lock); any number of processes of the same user read, asking
nobody. LMDB takes an environment only once in a process: in the node, the writer and the readers
share one `Shelf`.
"""

import errno
import fcntl
import mmap
import os
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import lmdb

from forebay.model.errors import NodeAway, NodeRunning, NoRoom, ShelfDamaged
from forebay.shelf.blocks import BlocksDatabase, BlocksReader
from forebay.shelf.blocks_writer import BlocksWriter
from forebay.shelf.handles import OpenFiles
from forebay.shelf.inspect import reads_through
from forebay.shelf.layout import Layout
from forebay.shelf.marks import EPOCH_SLOT, TRUSTED_RUN_SLOT, Marks
from forebay.shelf.names import NamesDatabase, NamesReader
from forebay.shelf.names_writer import NamesWriter
from forebay.shelf.run import FORMAT, RunRecord, boot_id, next_run, read_run, write_run

TOUCHED_BYTES: Final = 1 << 20
"""File number modulo this is the byte of a file: numbers grow by one, so few share a byte."""


@dataclass(frozen=True, slots=True)
class ShelfOptions:
    """How much the index may take.

    Attributes:
        names_bytes: of disk, for remembered names; whole directories go when it is more.
        names_map_bytes: of address space, for the names; more than `names_bytes`.
        blocks_map_bytes: of address space, for the index of held bytes.
    """

    names_bytes: int = 1 << 30
    names_map_bytes: int = 8 << 30
    blocks_map_bytes: int = 32 << 30


class Damage(NamedTuple):
    """A block of a segment file that was found not to be what was entered."""

    generation: bytes
    segment: int
    file: int
    block: int


class Shelf:
    """An open shelf. `open_shelf` makes it.

    Attributes:
        layout: where its files are.
        names: looks up remembered names.
        blocks: looks up held blocks.
        names_marks: tell readers that kept names are old.
        blocks_marks: tell readers that kept segments are old.
        touched: one byte a segment file; readers set it.
        files: the descriptors that this process has on segment files.
        run: the run of the writer; None in a process that only reads.
        damage: what readers found; the keeper takes from it.
        suspects: files with such damage -> their row in the index when it was found.
        opened_epoch: the epoch of what is open.
        wiped: whether this run began with an empty index because the old one could not be read.
    """

    def __init__(
        self,
        layout: Layout,
        options: ShelfOptions,
        run: RunRecord | None = None,
        lock: int | None = None,
        *,
        suspect: bool = False,
    ) -> None:
        self.layout = layout
        self.options = options
        self.run = run
        self.files = OpenFiles()
        self.damage: deque[Damage] = deque(maxlen=10_000)
        self.suspects: dict[int, bytes] = {}
        self.wiped = False
        self._lock = lock
        self._is_open = False
        self._suspect = suspect
        self._let_go: list[Callable[[int], None]] = []
        self._writers: tuple[NamesWriter, BlocksWriter] | None = None
        self._open()

    @property
    def writes(self) -> bool:
        """Whether this process is the writer."""
        return self._lock is not None

    @property
    def names_writer(self) -> NamesWriter:
        """Changes remembered names; in the writing process only."""
        return self._writer[0]

    @property
    def blocks_writer(self) -> BlocksWriter:
        """Changes what is held; in the writing process only."""
        return self._writer[1]

    @property
    def trusted_run(self) -> int:
        """Segments of earlier runs must be verified before use."""
        return self.blocks_marks.values[TRUSTED_RUN_SLOT]

    @property
    def epoch(self) -> int:
        """Another value than before: the environments are others, see `renew`."""
        return self.blocks_marks.values[EPOCH_SLOT]

    def check_readers(self) -> None:
        """Give back what readers that were killed still hold: they would keep old pages alive."""
        self._names.environment.reader_check()
        self._blocks.environment.reader_check()

    def on_unlinked(self, let_go: Callable[[int], None]) -> None:
        """Call `let_go(file)` for each segment file that is unlinked: close descriptors on it."""
        self._let_go.append(let_go)

    def unlinked(self, file: int) -> None:
        """Make readers of this process close their descriptors on a segment file."""
        for let_go in self._let_go:
            let_go(file)

    def report(self, damages: Sequence[Damage], row: bytes) -> None:
        """Say that blocks of a segment file are damaged; in any thread.

        Until its row in the index is another one, readers of this process leave the file alone.
        """
        for damage in damages:
            self.suspects[damage.file] = row
            self.damage.append(damage)
            self.unlinked(damage.file)

    def renew(self) -> bool:
        """In a reading process: open the index again if it is another one now.

        True if it was. False also when there is none: what was open stays.
        """
        if self.writes:
            return False
        try:
            same = self.is_open and (
                self.layout.blocks_marks.stat().st_ino == self.blocks_marks.inode
                and self.epoch == self.opened_epoch
            )
        except OSError:
            return False
        if same:
            return False
        self._shut()
        try:
            self._open()
        except (OSError, lmdb.Error) as error:
            raise NodeAway(self.layout.root, "its shelf cannot be opened now") from error
        return True

    @property
    def is_open(self) -> bool:
        """Whether the index can be looked into; in a reading process it may be away for a while."""
        return self._is_open

    def close(self, *, clean: bool = True) -> None:
        """Let go of everything; as the writer, note that the run ended as it should."""
        if self.run is not None and clean:
            self._names.environment.sync(True)  # noqa: FBT003 - as LMDB has it
            self._blocks.environment.sync(True)  # noqa: FBT003
            ended = RunRecord(
                self.run.run, self.run.trusted_run, self.run.boot, self.run.first_file, clean=True
            )
            write_run(self.layout.run, ended)
        # A thread that nobody waits for any more may still be changing names: LMDB must not be
        # closed under it.
        with nullcontext() if self._writers is None else self._writers[0].at_rest():
            self._shut()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def abandon(self) -> None:
        """In a forked child: let go of the environments, which are the parent's, unclosed.

        Closing them would take the parent's place in LMDB's table of readers. Nothing of it may be
        used afterwards; the child may open the shelf for itself.
        """
        self._writers = None
        for held in ("names", "blocks", "_names", "_blocks"):
            self.__dict__.pop(held, None)

    @property
    def _writer(self) -> tuple[NamesWriter, BlocksWriter]:
        if self._writers is None:
            raise RuntimeError("this process only reads the shelf")
        return self._writers

    def _open(self) -> None:
        write, layout, options = self.writes, self.layout, self.options
        self.blocks_marks = Marks(layout.blocks_marks, write=write)
        self.names_marks = Marks(layout.names_marks, write=write)
        self.opened_epoch = self.epoch
        self.touched = _map_touched(layout.touched)
        if write:
            self.blocks_marks.mend()
            self.names_marks.mend()
            self._names = self._open_names()
            self._blocks = self._open_blocks()
        else:
            self._names = NamesDatabase(layout.names, options.names_map_bytes, write=False)
            self._blocks = BlocksDatabase(layout.blocks, options.blocks_map_bytes, write=False)
        self.names = NamesReader(self._names)
        self.blocks = BlocksReader(self._blocks)
        self._is_open = True
        if self.run is not None:
            self.blocks_marks.values[TRUSTED_RUN_SLOT] = self.run.trusted_run
            self._writers = (
                NamesWriter(self._names, self.names_marks, options.names_bytes),
                BlocksWriter(self._blocks, self.blocks_marks, self.run.run),
            )

    def _open_names(self) -> NamesDatabase:
        path, size = self.layout.names, self.options.names_map_bytes
        try:
            self._look_through(path, size)
            database = NamesDatabase(path, size, write=True)
            database.environment.reader_check()
        except lmdb.Error:
            self._wipe(path)
            database = NamesDatabase(path, size, write=True)
        return database

    def _open_blocks(self) -> BlocksDatabase:
        path, size = self.layout.blocks, self.options.blocks_map_bytes
        try:
            self._look_through(path, size)
            database = BlocksDatabase(path, size, write=True)
            database.environment.reader_check()
        except lmdb.Error:
            self._wipe(path)
            database = BlocksDatabase(path, size, write=True)
        return database

    def _look_through(self, path: Path, map_bytes: int) -> None:
        # After a crash of the host the index may lack pages: it is read by another process first.
        if self._suspect and path.exists() and not reads_through(path, map_bytes):
            self._wipe(path)

    def _wipe(self, path: Path) -> None:
        """Begin anew, and tell readers that have the old one open."""
        shutil.rmtree(path, ignore_errors=True)
        self.names_marks.disown()
        self.blocks_marks.disown()
        self.blocks_marks.values[EPOCH_SLOT] += 2
        self.opened_epoch = self.epoch
        self.wiped = True

    def _shut(self) -> None:
        self._is_open = False
        self._names.environment.close()
        self._blocks.environment.close()


def open_shelf(
    directory: Path, options: ShelfOptions, *, write: bool, now: Callable[[], float]
) -> Shelf:
    """Open the shelf in `directory`, once in a process. As the writer it is made if need be.

    As the writer this may take seconds after a crash of the host (the index is read through).

    Raises:
        NodeRunning: another process writes it.
        NodeAway: (reading) there is no shelf that a node of this boot has opened.
        NoRoom: (writing) the disk is full.
        ShelfDamaged: (writing) the directory cannot be used.
    """
    layout = Layout(directory)
    if not write:
        run = read_run(layout.run)
        # An index of an earlier boot may lack pages: only its writer can tell, and has not yet.
        if run is None or run.boot != boot_id() or run.format != FORMAT:
            raise NodeAway(directory, "no node has opened its shelf since this host started")
        try:
            return Shelf(layout, options)
        except (OSError, lmdb.Error) as error:
            raise NodeAway(directory, "its shelf cannot be opened now") from error
    try:
        return _open_to_write(layout, options, now)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise (NoRoom if full else ShelfDamaged)(directory, reason) from error


def _open_to_write(layout: Layout, options: ShelfOptions, now: Callable[[], float]) -> Shelf:
    layout.make()
    lock = _take_lock(layout.lock)
    try:
        before = read_run(layout.run)
        if before is not None and before.format != FORMAT:
            for old in (layout.names, layout.blocks):
                shutil.rmtree(old, ignore_errors=True)
        boot = boot_id()
        run = next_run(before, boot, now())
        suspect = before is None or (before.boot != boot and not before.clean)
        write_run(layout.run, run)
        return Shelf(layout, options, run, lock, suspect=suspect)
    except BaseException:
        os.close(lock)
        raise


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise NodeRunning(path.parent, "another process writes this shelf") from error
    return descriptor


def _map_touched(path: Path) -> memoryview:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size < TOUCHED_BYTES:
            # Not a hole: a write into one on a full disk would end the process.
            os.posix_fallocate(descriptor, 0, TOUCHED_BYTES)
        return memoryview(mmap.mmap(descriptor, TOUCHED_BYTES))
    finally:
        os.close(descriptor)
