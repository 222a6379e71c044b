"""The store of local files: a directory on this host."""

import asyncio
import errno
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from forebay.model.conditions import WriteCondition
from forebay.model.errors import (
    BadPath,
    FileExists,
    FileMissing,
    ForebayError,
    GenerationGone,
    NotADirectory,
    StoreAway,
)
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Page, from_milliseconds
from forebay.stores.contract import (
    Abilities,
    Chunk,
    PartStatus,
    StoreDigest,
    UploadStatus,
    WriteOptions,
)
from forebay.stores.local_files.asides import Asides
from forebay.stores.local_files.descriptors import Descriptor, obtained, to_its_end
from forebay.stores.local_files.listing import NamesInOrder, page_of
from forebay.stores.local_files.reader import LocalReader, open_file, open_reader
from forebay.stores.local_files.tree import Tree, keep_names, rename_strictly
from forebay.stores.local_files.trouble import speaking_of
from forebay.stores.local_files.uploads import Uploads

_ABILITIES: Final = Abilities(
    real_directories=True,
    listed_details=True,
    conditional_create=True,
    atomic_rename=True,
    directory_rename=True,
    server_copy=True,
    clock=True,
)
_LOOKING: Final[Mapping[int, type[ForebayError]]] = {errno.ENOTDIR: FileMissing}
"""What is below a file is missing, for those who only look."""


def _unused_name() -> str:
    return secrets.token_hex(16)


class LocalFilesStore:
    """The files below a directory of this host.

    What is written goes aside into `.forebay/tmp` and gets its name when it is whole. Symbolic
    links are followed as long as they stay inside; others, and what is neither file nor directory,
    cannot be addressed.

    Args:
        root: the directory.
        clock: nanoseconds since the epoch; also the times of what is written.
        new_name: a name of 32 hexadecimal letters that nobody used.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Callable[[], int] = time.time_ns,
        new_name: Callable[[], str] = _unused_name,
    ) -> None:
        self._tree = Tree(root.absolute())
        self._clock = clock
        self._names = NamesInOrder(clock)
        self._asides = Asides(self._tree, new_name, clock)
        self._uploads = Uploads(self._asides)
        self._is_open = True

    @property
    def identity(self) -> StoreIdentity:
        """Which store it is."""
        return StoreIdentity(f"file://{self._tree.root}")

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        return _ABILITIES

    async def check(self) -> Mapping[str, str]:
        """See the contract."""
        self._must_be_open()
        return await asyncio.to_thread(self._facts)

    async def now(self) -> datetime | None:
        """See the contract."""
        self._must_be_open()
        return from_milliseconds(self._clock() // 1_000_000)

    async def close(self) -> None:
        """See the contract."""
        self._is_open = False

    async def stat(self, key: StoreKey) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        return await asyncio.to_thread(self._stat, key)

    async def list(
        self, directory: StoreKey, *, recursive: bool = False, after: str = "", most: int = 1000
    ) -> Page:
        """See the contract."""
        self._must_be_open()

        def page() -> Page:
            with speaking_of(directory, _LOOKING):
                return page_of(
                    self._tree, self._names, directory, after, recursive=recursive, most=most
                )

        return await asyncio.to_thread(page)

    async def open(self, status: FileStatus) -> LocalReader:
        """See the contract."""
        self._must_be_open()
        return await obtained(lambda: open_reader(self._tree, status), LocalReader.let_go)

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        async with self._asides.begun(key, options.size) as aside:
            await aside.fill(body)
            found = await self._asides.name(aside, key, options.condition)
        return self._status(key, found)

    async def create_upload(self, key: StoreKey, options: WriteOptions) -> str:
        """See the contract."""
        del options  # a file system holds neither type nor metadata
        self._must_be_open()
        return await to_its_end(self._uploads.create, key)

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """See the contract."""
        self._must_be_open()
        return await self._uploads.write_part(key, upload_id, number, body, size)

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """See the contract."""
        self._must_be_open()
        return await asyncio.to_thread(self._uploads.parts, key, upload_id)

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """See the contract."""
        self._must_be_open()
        return await asyncio.to_thread(self._uploads.below, directory)

    async def complete_upload(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        return self._status(key, await self._uploads.complete(key, upload_id, parts, options))

    async def abort_upload(self, key: StoreKey, upload_id: str) -> None:
        """See the contract."""
        self._must_be_open()
        await to_its_end(self._uploads.abort, key, upload_id)

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None = None
    ) -> FileStatus:
        """See the contract."""
        self._must_be_open()
        descriptor = await obtained(lambda: self._open_source(source), Descriptor.close)
        try:
            status = await asyncio.to_thread(self._status_of, descriptor, source)
            async with self._asides.begun(target, status.size) as aside:
                await aside.append_file(descriptor, status.size)
                if await asyncio.to_thread(self._status_of, descriptor, source) != status:
                    raise GenerationGone(source, "was changed while it was copied")
                found = await self._asides.name(aside, target, condition)
        finally:
            descriptor.close()
        return self._status(target, found)

    async def rename(self, source: StoreKey, target: StoreKey, *, replace: bool = False) -> None:
        """See the contract."""
        self._must_be_open()
        await to_its_end(self._rename, source, target, replace=replace)

    async def delete(self, key: StoreKey, condition: WriteCondition | None = None) -> None:
        """See the contract."""
        self._must_be_open()
        await to_its_end(self._delete, key, condition)

    async def make_directory(self, key: StoreKey) -> None:
        """See the contract."""
        self._must_be_open()

        def make() -> None:
            # A parent of `key/x` is `key`: the way down makes all that is missing.
            with (
                speaking_of(key, {errno.EEXIST: NotADirectory}),
                self._tree.place(key / "x", make=True),
            ):
                pass

        await to_its_end(make)

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """See the contract."""
        del key
        self._must_be_open()
        return None

    async def hosts(self, status: FileStatus) -> Sequence[str]:
        """See the contract."""
        del status
        self._must_be_open()
        return (socket.gethostname(),)

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise StoreAway(self.identity, "the store was closed")

    def _facts(self) -> Mapping[str, str]:
        root = self._tree.root
        with speaking_of(root), self._tree.opened_root() as number:
            with os.scandir(number):
                pass
            room = shutil.disk_usage(number)
            is_writable = os.access(root, os.W_OK | os.X_OK)
        return {
            "directory": str(root),
            "writable": "yes" if is_writable else "no",
            "free bytes": str(room.free),
        }

    def _status(self, key: StoreKey, found: os.stat_result) -> FileStatus:
        status = self._tree.status(key, found)
        if status is None:
            raise BadPath(key, "is neither a file nor a directory")
        return status

    def _stat(self, key: StoreKey) -> FileStatus:
        with speaking_of(key, _LOOKING), self._tree.place(key) as place:
            return self._status(key, place.look())

    def _open_source(self, key: StoreKey) -> Descriptor:
        with speaking_of(key, _LOOKING), self._tree.place(key) as place:
            return Descriptor(open_file(place, key))

    def _status_of(self, descriptor: Descriptor, key: StoreKey) -> FileStatus:
        with speaking_of(key), descriptor.used(key) as number:
            return self._status(key, os.fstat(number))

    def _rename(self, source: StoreKey, target: StoreKey, *, replace: bool) -> None:
        if source.is_root or target.is_root:
            raise BadPath(source, "the root keeps its name")
        is_directory = self._stat(source).is_directory
        if is_directory and target.is_under(source):
            raise BadPath(target, f"lies inside {source.text!r}")
        with (
            speaking_of(target),
            self._tree.place(source, follow=False) as old,
            self._tree.place(target, follow=False) as new,
        ):
            if is_directory or not replace:
                rename_strictly(old, new)
            else:
                if new.is_taken() and stat.S_ISDIR(new.look().st_mode):
                    raise FileExists(target, "is a directory")
                os.rename(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory)
            keep_names(new.directory)
            keep_names(old.directory)

    def _delete(self, key: StoreKey, condition: WriteCondition | None) -> None:
        if key.is_root:
            raise BadPath(key, "the root is never removed")
        self._stat(key)
        with (
            speaking_of(key, _LOOKING),
            self._asides.deciding(key, condition),
            # A link is removed itself, not what it leads to.
            self._tree.place(key, follow=False) as place,
        ):
            if stat.S_ISDIR(place.look().st_mode):
                os.rmdir(place.name, dir_fd=place.directory)
            else:
                os.unlink(place.name, dir_fd=place.directory)
            keep_names(place.directory)
