"""Pieces: what a reader of a file that may have to be fetched is given, one after the other."""

from dataclasses import dataclass

from forebay.shelf.handles import Handle


@dataclass(frozen=True, slots=True)
class FilePiece:
    """Bytes that lie in a segment file: send them with `os.sendfile`.

    They stay readable for as long as `handle` is kept, whatever is evicted, and their pages were
    resident a moment ago.
    """

    handle: Handle
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class BytesPiece:
    """Bytes that could not be kept: no room, or a disk that takes no writes."""

    data: bytes | bytearray | memoryview

    @property
    def count(self) -> int:
        """How many bytes."""
        return len(self.data)


Piece = FilePiece | BytesPiece
