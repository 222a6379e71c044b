"""The native client: hdfs-native's blocking calls, in threads, with deadlines and our errors."""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from hdfs_native import Client, FileReader, FileWriter
from hdfs_native import WriteOptions as NativeWriteOptions

from forebay.model.errors import ForebayError
from forebay.stores.hdfs.address import HdfsOptions
from forebay.stores.hdfs.threads import Job, Threads
from forebay.stores.hdfs.trouble import trouble_of_native

Result = TypeVar("Result")

LARGEST_PIECE: Final = 1 << 20

_REPLICAS_PER_STALL: Final = 3
"""How many DataNodes that hang may be passed over before we call it a stall."""


class Native:
    """hdfs-native, spoken to from the event loop."""

    def __init__(self, options: HdfsOptions) -> None:
        self._options = options
        self._deadline = options.deadline.total_seconds()
        self._stall = options.stall.total_seconds()
        self._threads = Threads("hdfs-native", options.threads)
        self._client: Client | None = None

    @property
    def threads(self) -> Threads:
        """Where its calls run."""
        return self._threads

    async def status(self, path: str) -> Any:  # noqa: ANN401 - hdfs-native's FileStatus
        """The status, without the file id."""
        return await self._call(path, lambda client: client.get_file_info(path))

    async def listing(self, path: str) -> list[Any]:
        """The statuses of all that is directly in a directory."""
        return await self._call(path, lambda client: list(client.list_status(path)))

    async def open(self, path: str) -> FileReader:
        """A reader of the file as it is now. It needs no closing."""
        return await self._call(path, lambda client: client.read(path))

    async def create(self, path: str) -> FileWriter:
        """A writer of a new file."""
        options = NativeWriteOptions(overwrite=False, create_parent=True)
        return await self._call(path, lambda client: client.create(path, options))

    async def write(self, path: str, writer: FileWriter, piece: bytes) -> None:
        """Write one piece."""
        await self._run(path, self._stall, lambda: writer.write(piece))

    async def finish(self, path: str, writer: FileWriter) -> None:
        """Close the file: it is whole."""
        await self._run(path, self._stall, writer.close)

    async def rename(self, source: str, target: str, *, replace: bool) -> None:
        """Rename in one step; never into a directory."""
        await self._call(source, lambda client: client.rename(source, target, replace))

    async def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Remove it; whether it was there."""
        return await self._call(path, lambda client: client.delete(path, recursive))

    async def make_directory(self, path: str, mode: int) -> None:
        """Make the directory and its parents."""
        await self._call(path, lambda client: client.mkdirs(path, mode, create_parent=True))

    def begin(self, path: str, work: Callable[[], Result]) -> Job:
        """Begin a call; `answer` or `drop` it."""
        return self._threads.start(_translating(work, path), path)

    async def answer(self, job: Job, path: str) -> Any:  # noqa: ANN401 - the job's own
        """The answer of a call that was begun, before it counts as a stall."""
        return await self._threads.wait(job, self._stall, path)

    def drop(self, job: Job) -> None:
        """Let go of a call that was begun."""
        self._threads.drop(job)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()
        self._client = None

    async def _call(self, path: str, work: Callable[[Client], Result]) -> Result:
        return await self._run(path, self._deadline, lambda: work(self._connected()))

    async def _run(self, path: str, seconds: float, work: Callable[[], Result]) -> Result:
        return await self._threads.run(_translating(work, path), seconds, path)

    def _connected(self) -> Client:
        # Made in a thread: it reads Hadoop's files, and looks up names.
        if self._client is None:
            directory = self._options.configuration_directory
            self._client = Client(
                self._options.uri,
                dict(_settings(self._options)),
                None if directory is None else os.fspath(directory),
            )
        return self._client


def pieces_of(reader: FileReader, start: int, size: int) -> Callable[[], bytes]:
    """What gives the next piece of a range each time it is called, and at last nothing.

    hdfs-native gives 64 KiB at a time; they are joined here, in the thread, because each way into
    the event loop costs more than the joining. The first piece is small: somebody waits for it.
    """
    arriving: Iterator[bytes] = reader.read_range_stream(start, size)
    most = LARGEST_PIECE // 4

    def following() -> bytes:
        nonlocal most
        parts: list[bytes] = []
        length = 0
        for part in arriving:
            parts.append(part)
            length += len(part)
            if length + len(part) > most:
                break
        most = LARGEST_PIECE
        return parts[0] if len(parts) == 1 else b"".join(parts)

    return following


def _settings(options: HdfsOptions) -> Iterator[tuple[str, str]]:
    # Names, not addresses, lead to DataNodes from outside the cluster's own network.
    yield "dfs.client.use.datanode.hostname", "true"
    # A DataNode that hangs must be passed over before we call it a stall: another has the bytes.
    milliseconds = int(options.stall.total_seconds() * 1000) // _REPLICAS_PER_STALL
    yield "dfs.client.socket-timeout", str(max(1, milliseconds))
    yield from options.settings.items()


def _translating(work: Callable[[], Result], path: str) -> Callable[[], Result]:
    """`work`, with the library's errors made ours: its panics are no Exceptions."""

    def translated() -> Result:
        try:
            return work()
        except ForebayError:
            raise
        except BaseException as problem:
            raise trouble_of_native(problem, path) from problem

    return translated
