"""The filesystem `forebay://`, as fsspec knows filesystems: pandas, polars, PyArrow, DuckDB, Dask.

Reading only. On the node's own host, as its own user, cached bytes come straight from the shelf;
all else goes through the node's S3 door.
"""

# fsspec's own signatures have booleans by position:
# ruff: noqa: FBT001, FBT002

import mmap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, overload

from fsspec.spec import AbstractFileSystem
from fsspec.utils import stringify_path

from forebay.client.content import Content, status_of_entry
from forebay.client.file import LakeFile
from forebay.client.gathering import Gathering, span_of, spans_of
from forebay.client.listing import below, listed
from forebay.client.place import Wanted, place_of
from forebay.client.remote import Remote, kind_of
from forebay.client.short import ShortCircuit
from forebay.client.status import Info, Status
from forebay.client.trouble import IsDirectory, Missing, ReadingOnly
from forebay.model.errors import BadRange, Unsupported
from forebay.model.paths import lake_path
from forebay.model.status import Kind

if TYPE_CHECKING:
    from forebay.shelf.handles import Handle
    from forebay.shelf.shelf import Shelf

PROTOCOL: Final = "forebay"

_PREFIX: Final = f"{PROTOCOL}://"
_MOST_AHEAD: Final = 4 << 20
_MOST_HELD: Final = 256
"""Descriptors handed out at most: a program may open 1,024 files by default."""


class ForebayFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The lake. Safe in threads; a forked child may go on using it.

    Args:
        data: the node's data directory. None: FOREBAY_DATA, else ~/.local/share/forebay.
        endpoint: URL of the node's S3 door. None: what the node wrote into its data directory,
            else the profile's.
        key: access key. None: the profile's.
        secret: its secret.
        profile: of ~/.config/forebay/credentials; None: default.
        short_circuit: whether cached bytes may be read from the shelf on this host.
        shelf: the node's shelf, where this process has it open already (LMDB opens it only once).
    """

    protocol = PROTOCOL
    root_marker = "/"
    blocksize = _MOST_AHEAD

    def __init__(  # noqa: PLR0913 - the storage options, each by its name
        self,
        data: str | None = None,
        endpoint: str | None = None,
        key: str | None = None,
        secret: str | None = None,
        profile: str | None = None,
        *,
        short_circuit: bool = True,
        shelf: "Shelf | None" = None,
    ) -> None:
        super().__init__()
        wanted = Wanted(None if data is None else str(data), endpoint, key, secret, profile)
        place = place_of(wanted)
        self._remote = Remote(lambda: place_of(wanted))
        if short_circuit:
            self._short = ShortCircuit(place.shelf, shelf)
        else:
            self._short = ShortCircuit(None)
        self._held: dict[str, Handle] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:  # noqa: ANN401 - fsspec's own, lists too
        if type(path) is not str:
            if isinstance(path, list):
                return [cls._strip_protocol(one) for one in path]
            path = stringify_path(path)
        path = path.removeprefix(_PREFIX)
        if not path.startswith("/"):
            path = f"/{path}"
        if path.endswith("/"):
            path = path.rstrip("/") or "/"
        return path

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path."""
        return f"{_PREFIX}{self._strip_protocol(name)}"

    # What is there

    def info(self, path: str, **_: object) -> Info:
        """What is known of a file or directory.

        Raises:
            Missing: nothing is there; it is a FileNotFoundError.
        """
        return self._status(self._path(path)).info()

    def exists(self, path: str, **_: object) -> bool:
        """Whether there is something. A store that is away is an error, never a no."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Whether it is a directory."""
        return self._is(path, Kind.DIRECTORY)

    def isfile(self, path: str) -> bool:
        """Whether it is a file."""
        return self._is(path, Kind.FILE)

    @overload
    def ls(self, path: str, detail: Literal[True] = ..., **_: object) -> list[Info]: ...
    @overload
    def ls(self, path: str, detail: Literal[False], **_: object) -> list[str]: ...
    def ls(self, path: str, detail: bool = True, **_: object) -> list[Info] | list[str]:
        """What is directly in a directory, in order; a file is listed as itself."""
        found = listed(self._remote, self._path(path))
        return [entry.info() for entry in found] if detail else [entry.path for entry in found]

    @overload
    def find(
        self,
        path: str,
        maxdepth: int | None = ...,
        withdirs: bool = ...,
        detail: Literal[False] = ...,
        **options: object,
    ) -> list[str]: ...
    @overload
    def find(
        self,
        path: str,
        maxdepth: int | None = ...,
        withdirs: bool = ...,
        *,
        detail: Literal[True],
        **options: object,
    ) -> dict[str, Info]: ...
    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **options: object,
    ) -> list[str] | dict[str, Info]:
        """All files below a path (with `withdirs`, directories too), in order."""
        if maxdepth is not None:
            found: list[str] | dict[str, Info] = super().find(
                path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options
            )
            return found
        found_below = {
            entry.path: entry for entry in below(self._remote, self._path(path), withdirs=withdirs)
        }
        if detail:
            return {name: found_below[name].info() for name in sorted(found_below)}
        return sorted(found_below)

    @overload
    def du(
        self,
        path: str,
        total: Literal[True] = ...,
        maxdepth: int | None = ...,
        withdirs: bool = ...,
        **_: object,
    ) -> int: ...
    @overload
    def du(
        self,
        path: str,
        total: Literal[False],
        maxdepth: int | None = ...,
        withdirs: bool = ...,
        **_: object,
    ) -> dict[str, int]: ...
    def du(
        self,
        path: str,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
        **_: object,
    ) -> int | dict[str, int]:
        """Bytes of the files below a path, together or by file."""
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True)
        sizes = {name: info["size"] for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    def modified(self, path: str) -> datetime:
        """When it was changed, in UTC and whole seconds."""
        moment = self.info(path)["modified"]
        if moment is None:
            raise Unsupported(self._path(path), "its store does not say when it was changed")
        return moment

    def created(self, path: str) -> datetime:
        """When its content came to be: the same as `modified`."""
        return self.modified(path)

    def ukey(self, path: str) -> str:
        """The door's ETag: the same as long as the content is the same."""
        return self._file(path).status.etag

    def checksum(self, path: str) -> str:
        """The same as `ukey`."""
        return self.ukey(path)

    # Bytes

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: object
    ) -> bytes:
        """Bytes of a file: all, or from `start` up to `end`; less than 0 counts from the end."""
        name = self._strip_protocol(path)
        found = self._short.find(name)
        if found is None:
            return self._cat_through_door(self._path(path), start, end)
        opened, entry = found
        first, count = span_of(start, end, entry.size)
        body = self._short.read(opened, entry, first, count) if count else b""
        if len(body) == count:
            return body
        content = Content(self._short, self._remote, status_of_entry(entry), found)
        return body + content.fetch(first + len(body), count - len(body))

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: int | Sequence[int | None] | None,
        ends: int | Sequence[int | None] | None,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: object,
    ) -> list[bytes | Exception]:
        """Many ranges at once: those on the shelf at once, the others with several requests.

        All ranges of one file are of one content. `max_gap` changes nothing but how many requests
        that takes, and is left to the node. With `on_error="return"` an error stands in the place
        of its range.
        """
        del max_gap
        spans = spans_of([self._strip_protocol(path) for path in paths], starts, ends)
        found = Gathering(self._near_content, self._file).bytes_of(spans)
        for body in found if on_error != "return" else ():
            if isinstance(body, Exception):
                raise body
        return found

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, object] | None = None,
        **_: object,
    ) -> LakeFile:
        del autocommit, cache_options
        if mode != "rb":
            raise ReadingOnly(self._path(path))
        ahead = block_size if isinstance(block_size, int) else self.blocksize
        return LakeFile(self._file(path), ahead)

    # Hand-over: bytes in the shelf for programs that read files themselves

    def near(self, path: str) -> str:
        """What a program in this process opens to read the file best.

        A path of the descriptor of its bytes, if all are cached in one segment file on this host;
        else its URL. The path stays good, and what it leads to the same, for as long as this
        filesystem lives, whatever happens to the file.
        """
        descriptor = self.local_descriptor(path)
        return self.unstrip_protocol(path) if descriptor is None else f"/proc/self/fd/{descriptor}"

    def local_descriptor(self, path: str) -> int | None:
        """A descriptor of exactly the file's bytes, if all are cached in one segment file here.

        It is this filesystem's, which keeps it open: do not close it.
        """
        content = self._file(path)
        known = self._held.get(content.status.etag)
        if known is not None:
            return known.fd
        handle = content.whole() if len(self._held) < _MOST_HELD else None
        if handle is None:
            return None
        return self._held.setdefault(content.status.etag, handle).fd

    def mapped(self, path: str) -> memoryview | None:
        """The file's bytes in memory, without a copy, if all are cached in one segment file here.

        It stays good for as long as it is kept, whatever happens to the file.
        """
        content = self._file(path)
        handle = content.whole()
        if handle is None:
            return None
        return memoryview(mmap.mmap(handle.fd, content.status.size, prot=mmap.PROT_READ))

    # Writing

    def _refuse(self, path: object = "", *_: object, **__: object) -> NoReturn:
        """Refused: this version of the client only reads."""
        raise ReadingOnly(path)

    mkdir = makedir = makedirs = mkdirs = rmdir = _refuse
    rm = rm_file = _rm = delete = _refuse
    cp = cp_file = copy = mv = move = rename = _refuse
    put = put_file = upload = pipe = pipe_file = _refuse
    touch = write_bytes = write_text = _refuse

    def start_transaction(self) -> NoReturn:
        """Refused: this version of the client only reads."""
        raise ReadingOnly("transaction")

    # Inside

    def _path(self, path: str) -> str:
        """The lake path that is meant.

        Raises:
            BadPath: it is none.
        """
        return lake_path(self._strip_protocol(path)).text

    def _status(self, path: str) -> Status:
        found = self._short.find(path)
        return kind_of(self._remote, path) if found is None else status_of_entry(found[1])

    def _is(self, path: str, kind: Kind) -> bool:
        try:
            return self._status(self._path(path)).kind is kind
        except FileNotFoundError:
            return False

    def _file(self, path: str) -> Content:
        """The file as it is now: this look decides which content is read."""
        content = self._near_content(path)
        if content is not None:
            return content
        name = self._path(path)
        status = kind_of(self._remote, name)
        if not status.is_file:
            raise IsDirectory(name)
        return Content(self._short, self._remote, status)

    def _near_content(self, path: str) -> Content | None:
        """The same, if the shelf knows it."""
        found = self._short.find(self._strip_protocol(path))
        if found is None:
            return None
        return Content(self._short, self._remote, status_of_entry(found[1]), found)

    def _cat_through_door(self, path: str, start: int | None, end: int | None) -> bytes:
        first = start or 0
        if first < 0 or (end is not None and end <= max(first, 0)):
            content = self._file(path)
            return content.read(*span_of(start, end, content.status.size))
        try:
            part = self._remote.part(path, first, end)
        except BadRange:
            return b""
        except Missing:
            self._file(path)
            raise
        content = Content(self._short, self._remote, part.status)
        _, count = span_of(start, end, part.status.size)
        return part.body + content.read(first + len(part.body), count - len(part.body))
