"""The reader of one file of this host: one open descriptor."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from typing import Final

from forebay.model.errors import GenerationGone, NotAFile, StoreLied
from forebay.model.paths import StoreKey
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk
from forebay.stores.local_files.descriptors import Descriptor
from forebay.stores.local_files.tree import Place, Tree, fingerprint_of
from forebay.stores.local_files.trouble import speaking_of

_LARGEST_PIECE: Final = 1 << 20


def open_file(place: Place, key: StoreKey) -> int:
    """The file at `place`, opened for reading."""
    # O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    number = os.open(place.name, flags, dir_fd=place.directory)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise NotAFile(key, "is no file")
    return number


def open_reader(tree: Tree, status: FileStatus) -> "LocalReader":
    """A reader of exactly the generation that `status` names."""
    if status.is_directory:
        raise NotAFile(status.key, "is a directory")
    with speaking_of(status.key), tree.place(status.key) as place:
        descriptor = Descriptor(open_file(place, status.key))
    reader = LocalReader(descriptor, status)
    try:
        reader.must_be_unchanged()
    except BaseException:
        descriptor.close()
        raise
    return reader


class LocalReader:
    """Reads one generation: a replaced file is read on, a file changed in its place is noticed."""

    def __init__(self, descriptor: Descriptor, status: FileStatus) -> None:
        self._descriptor = descriptor
        self._status = status

    async def stream(self, span: ByteRange) -> AsyncIterator[Chunk]:
        """See the contract."""
        for piece in span.split(_LARGEST_PIECE):
            yield await asyncio.to_thread(self._piece, piece)

    async def verify(self) -> None:
        """See the contract."""
        await asyncio.to_thread(self.must_be_unchanged)

    async def close(self) -> None:
        """See the contract."""
        self.let_go()

    def let_go(self) -> None:
        """Close it, as soon as no thread reads any more."""
        self._descriptor.close()

    def must_be_unchanged(self) -> None:
        """Raise GenerationGone if the open file is no more what the status says."""
        with speaking_of(self._status.key), self._descriptor.used(self._status.key) as number:
            found = os.fstat(number)
        if fingerprint_of(found) != self._status.fingerprint:
            raise GenerationGone(self._status.key, "was changed")

    def _piece(self, span: ByteRange) -> bytes:
        pieces: list[bytes] = []
        position = span.start
        with speaking_of(self._status.key), self._descriptor.used(self._status.key) as number:
            while position < span.end:
                piece = os.pread(number, span.end - position, position)
                if not piece:
                    break
                pieces.append(piece)
                position += len(piece)
        if position < span.end:
            self.must_be_unchanged()
            raise StoreLied(self._status.key, f"ends at {position}, not at {self._status.size}")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
