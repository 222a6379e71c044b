"""Writing: files are made aside, below `.forebay/tmp`, and renamed into place when whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from forebay.model.conditions import IfAbsent, IfUnchanged, WriteCondition
from forebay.model.errors import (
    ConditionFailed,
    FileExists,
    FileMissing,
    ForebayError,
    NotAFile,
    StoreLied,
    StoreRefused,
)
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk, Stats
from forebay.stores.hdfs.address import own_path, path_of
from forebay.stores.hdfs.identity import status_of_native, status_of_web
from forebay.stores.hdfs.native import LARGEST_PIECE, Native
from forebay.stores.hdfs.web import WebHdfs

DIRECTORY_MODE: Final = 0o755
PRIVATE_MODE: Final = 0o700


class Aside:
    """Makes files aside and puts them in place."""

    def __init__(
        self,
        native: Native,
        web: WebHdfs | None,
        stats: Stats,
        home: StoreKey,
        fresh_name: Callable[[], str],
    ) -> None:
        self._native = native
        self._web = web
        self._stats = stats
        self._home = home
        self._fresh_name = fresh_name
        self._has_home = False
        self._sweeping: set[asyncio.Task[None]] = set()

    async def make(
        self, key: StoreKey, body: AsyncIterator[Chunk], size: int | None
    ) -> tuple[str, FileStatus]:
        """Make a file of `body` aside: its path, and its status under the name `key`.

        Raises:
            StoreLied: the body has not `size` bytes, or HDFS has not what we sent.
        """
        try:
            await self._make_home()
        except StoreRefused as problem:
            raise self._refused(key, problem) from problem
        path = own_path(self._home, "tmp", self._fresh_name())
        try:
            counted = _Counted(key, body, size)
            await self._send(path, counted.pieces(), size)
            status = must_have(await self.status(key, path), counted.length)
        except BaseException as problem:
            self.drop(path)
            if isinstance(problem, StoreRefused):
                raise self._refused(key, problem) from problem
            raise
        return path, status

    async def place(self, path: str, key: StoreKey, condition: WriteCondition | None) -> None:
        """Give the file made at `path` its name; parent directories come into being.

        Raises:
            ConditionFailed: what is there is not what was asked for.
            NotAFile: a directory is there.
        """
        await self.must_hold(key, condition)
        overwrites = not isinstance(condition, IfAbsent)
        target = path_of(key)
        try:
            try:
                await self._native.rename(path, target, replace=overwrites)
            except FileMissing:
                await self._native.make_directory(path_of(key.parent), DIRECTORY_MODE)
                await self._native.rename(path, target, replace=overwrites)
        except FileExists as problem:
            if overwrites:
                raise NotAFile(key, "is a directory") from problem
            raise ConditionFailed(key, "is there already") from problem

    async def must_hold(self, key: StoreKey, condition: WriteCondition | None) -> None:
        """Look whether an `IfUnchanged` holds; `IfAbsent` is decided by the rename."""
        if not isinstance(condition, IfUnchanged):
            return
        try:
            status = await self._stats.stat(key)
        except FileMissing as problem:
            raise ConditionFailed(key, "is gone") from problem
        if status.fingerprint != condition.fingerprint:
            raise ConditionFailed(key, "was changed")

    async def status(self, key: StoreKey, path: str) -> FileStatus:
        """The status of the file at `path`, under the name `key`."""
        if self._web is None:
            return status_of_native(key, await self._native.status(path))
        answer = await self._web.ask("GET", "GETFILESTATUS", path)
        return status_of_web(key, answer["FileStatus"])

    def drop(self, path: str) -> None:
        """Remove what was made aside, behind our caller's back: it may be in a hurry to end."""
        task = asyncio.get_running_loop().create_task(self._sweep(path))
        self._sweeping.add(task)
        task.add_done_callback(self._sweeping.discard)

    async def close(self) -> None:
        """Wait until what was dropped is gone."""
        await asyncio.gather(*self._sweeping)

    def _refused(self, key: StoreKey, problem: StoreRefused) -> StoreRefused:
        place = own_path(self._home)
        return StoreRefused(
            key,
            f"files are made below {place} first, and there: {problem.reason}; the mount option "
            "'home' names another directory to make .forebay in",
        )

    async def _sweep(self, path: str) -> None:
        try:
            await self._native.delete(path)
        except ForebayError:
            # It stays below `.forebay/tmp`, where nobody sees it.
            return

    async def _make_home(self) -> None:
        if not self._has_home:
            await self._native.make_directory(own_path(self._home), PRIVATE_MODE)
            self._has_home = True

    async def _send(self, path: str, body: AsyncIterator[bytes], size: int | None) -> None:
        if self._web is not None:
            await self._web.create(path, body, size)
            return
        writer = await self._native.create(path)
        async for piece in body:
            await self._native.write(path, writer, piece)
        await self._native.finish(path, writer)


class _Counted:
    """A body whose length is watched."""

    def __init__(self, key: StoreKey, body: AsyncIterator[Chunk], size: int | None) -> None:
        self._key = key
        self._body = body
        self._size = size
        self.length = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self.length += len(piece)
            if self._size is not None and self.length > self._size:
                raise StoreLied(self._key, f"more than the announced {self._size} bytes came")
            for start in range(0, len(piece), LARGEST_PIECE):
                yield bytes(piece[start : start + LARGEST_PIECE])
        if self._size is not None and self.length < self._size:
            raise StoreLied(self._key, f"{self.length} of the announced {self._size} bytes came")


def must_have(status: FileStatus, length: int) -> FileStatus:
    """The status, if the file has `length` bytes.

    Raises:
        StoreLied: it has not.
    """
    if status.size != length:
        raise StoreLied(status.key, f"HDFS has {status.size} of {length} bytes")
    return status
