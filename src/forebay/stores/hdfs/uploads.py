"""Uploads: parts below `.forebay/mpu/<id>`, joined aside and renamed into place."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, md5
from typing import Final

from forebay.model.errors import (
    FileMissing,
    ForebayError,
    StoreAway,
    StoreBusy,
    StoreLied,
    UploadMissing,
)
from forebay.model.paths import StoreKey
from forebay.model.ranges import whole
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk, PartStatus, UploadStatus, WriteOptions, pieces
from forebay.stores.hdfs.address import own_path, path_of
from forebay.stores.hdfs.native import Native, pieces_of
from forebay.stores.hdfs.web import WebHdfs
from forebay.stores.hdfs.writing import Aside, must_have

_ABOUT: Final = "upload.json"
_UPLOAD: Final = re.compile(r"[0-9a-f]{32}")
_PART: Final = re.compile(r"(\d{5})\.([0-9a-f]{32})")
_PARTS_PER_CONCAT: Final = 100
"""Their names are in the URL, whose length servers limit."""

_READS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """One file below `.forebay`: its name, size and time of writing."""

    name: str
    size: int
    modified_ms: int


class Uploads:
    """The uploads of one store. Everything about them is in HDFS: any process can go on.

    An upload's id ends with a hash of its key, so that it belongs to that key without being
    looked up. A part's file name is its number and the MD5 of its content; of two files with one
    number the newer is the part.
    """

    def __init__(
        self,
        native: Native,
        web: WebHdfs | None,
        aside: Aside,
        home: StoreKey,
        fresh_name: Callable[[], str],
    ) -> None:
        self._native = native
        self._web = web
        self._aside = aside
        self._home = home
        self._fresh_name = fresh_name

    async def create(self, key: StoreKey) -> str:
        """Begin an upload."""
        upload_id = self._fresh_name()[:16] + _hash_of(key)
        about = json.dumps({"key": key.text}).encode()
        path, _ = await self._aside.make(key, pieces(about), len(about))
        await self._native.make_directory(self._directory(upload_id), 0o700)
        await self._native.rename(path, self._directory(upload_id, _ABOUT), replace=False)
        return upload_id

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """Store one part, whole or not at all."""
        await self._files(key, upload_id)
        digest = md5(usedforsecurity=False)

        async def digested() -> AsyncIterator[Chunk]:
            async for piece in body:
                digest.update(piece)
                yield piece

        path, status = await self._aside.make(key, digested(), size)
        name = f"{number:05d}.{digest.hexdigest()}"
        try:
            await self._native.rename(path, self._directory(upload_id, name), replace=True)
        except BaseException as problem:
            self._aside.drop(path)
            if isinstance(problem, FileMissing):
                raise _missing(key, upload_id) from problem
            raise
        for found in await self._files(key, upload_id):
            if found.name.startswith(f"{number:05d}.") and found.name != name:
                await self._native.delete(self._directory(upload_id, found.name))
        return PartStatus(number, status.size, f'"{digest.hexdigest()}"')

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """The parts held, by number."""
        held = _parts_of(await self._files(key, upload_id))
        return [held[number][0] for number in sorted(held)]

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """The uploads below `directory`."""
        try:
            entries = await self._native.listing(own_path(self._home, "mpu"))
        except FileMissing:
            return []
        names = [entry.path.rpartition("/")[2] for entry in entries]
        turn = asyncio.Semaphore(_READS_AT_ONCE)

        async def told(name: str) -> UploadStatus | None:
            async with turn:
                return await self._about(name)

        uploads = await asyncio.gather(*(told(name) for name in names if _UPLOAD.fullmatch(name)))
        found = [upload for upload in uploads if upload and upload.key.is_under(directory)]
        return sorted(found, key=lambda upload: (upload.key.text.encode(), upload.upload_id))

    async def complete(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> FileStatus:
        """Make the file of the named parts."""
        files = await self._files(key, upload_id)
        if not parts:
            raise UploadMissing(path_of(key), f"upload {upload_id} is completed of no parts")
        wanted = sorted(parts, key=lambda part: part.number)
        joined = f"joined-{_hash_of_parts(wanted)}"
        sizes = {found.name: found.size for found in files}
        names = _names_of(key, upload_id, wanted, files, sizes.get(joined, 0))
        total = sum(size for _, size in names)
        if options.size is not None and options.size != total:
            raise StoreLied(key, f"its parts have {total} bytes, not {options.size}")
        await self._aside.must_hold(key, options.condition)
        path = self._directory(upload_id, joined)
        done = sizes.get(joined)
        if done is None or done < total:
            await self._join(key, upload_id, joined, names, done)
        status = must_have(await self._aside.status(key, path), total)
        await self._aside.place(path, key, options.condition)
        await self._native.delete(self._directory(upload_id), recursive=True)
        return status

    async def abort(self, key: StoreKey, upload_id: str) -> None:
        """Drop the upload; one that is gone, or belongs to another key, is no error."""
        if _belongs(key, upload_id):
            await self._native.delete(self._directory(upload_id), recursive=True)

    async def _join(
        self,
        key: StoreKey,
        upload_id: str,
        joined: str,
        names: Sequence[tuple[str, int]],
        done: int | None,
    ) -> None:
        """Make the file `joined` of the files named; `done` bytes of it are there already."""
        if self._web is not None:
            try:
                await self._concatenate(self._web, upload_id, joined, names, done)
            except (StoreAway, StoreBusy):
                raise
            except ForebayError:
                # Encryption zones, erasure coding, other owners, other block sizes: HDFS joins
                # only some files. A part that is gone is found missing by the copy, too.
                if done:
                    raise
            else:
                return
        total = sum(size for _, size in names)
        path, _ = await self._aside.make(key, self._contents(upload_id, names), total)
        await self._native.rename(path, self._directory(upload_id, joined), replace=True)

    async def _concatenate(
        self,
        web: WebHdfs,
        upload_id: str,
        joined: str,
        names: Sequence[tuple[str, int]],
        done: int | None,
    ) -> None:
        path = self._directory(upload_id, joined)
        if done is None:
            await web.create(path, pieces(), 0)
        left = [name for name, size in _after(names, done or 0) if size]
        for start in range(0, len(left), _PARTS_PER_CONCAT):
            sources = [
                self._directory(upload_id, name) for name in left[start : start + _PARTS_PER_CONCAT]
            ]
            await web.ask("POST", "CONCAT", path, sources=",".join(sources))

    async def _contents(
        self, upload_id: str, names: Sequence[tuple[str, int]]
    ) -> AsyncIterator[bytes]:
        for name, size in names:
            path = self._directory(upload_id, name)
            async for piece in self._content(path, size):
                yield piece

    async def _content(self, path: str, size: int) -> AsyncIterator[bytes]:
        reader = await self._native.open(path)
        if len(reader) != size:
            raise StoreLied(path, f"has {len(reader)} bytes, not {size}")
        if not size:
            return
        span = whole(size)
        following = pieces_of(reader, span.start, len(span))
        while piece := await self._native.answer(self._native.begin(path, following), path):
            yield piece

    async def _about(self, upload_id: str) -> UploadStatus | None:
        path = self._directory(upload_id, _ABOUT)
        try:
            status = await self._aside.status(StoreKey(""), path)
            told = [piece async for piece in self._content(path, status.size)]
            key = StoreKey(json.loads(b"".join(told))["key"])
        except (ForebayError, ValueError, KeyError) as problem:
            if isinstance(problem, StoreAway):
                raise
            return None  # it is just being begun or ended
        return UploadStatus(upload_id, key, status.modified_at)

    async def _files(self, key: StoreKey, upload_id: str) -> Sequence[Found]:
        """What is in the upload's directory."""
        if not _belongs(key, upload_id):
            raise _missing(key, upload_id)
        try:
            entries = await self._native.listing(self._directory(upload_id))
        except FileMissing as problem:
            raise _missing(key, upload_id) from problem
        return [
            Found(entry.path.rpartition("/")[2], entry.length, entry.modification_time)
            for entry in entries
        ]

    def _directory(self, upload_id: str, *names: str) -> str:
        return own_path(self._home, "mpu", upload_id, *names)


def _missing(key: StoreKey, upload_id: str) -> UploadMissing:
    return UploadMissing(path_of(key), f"there is no upload {upload_id!r}")


def _hash_of(key: StoreKey) -> str:
    return blake2b(key.text.encode(), digest_size=8).hexdigest()


def _belongs(key: StoreKey, upload_id: str) -> bool:
    return _UPLOAD.fullmatch(upload_id) is not None and upload_id.endswith(_hash_of(key))


def _hash_of_parts(parts: Sequence[PartStatus]) -> str:
    told = ",".join(f"{part.number}:{part.size}:{part.etag}" for part in parts)
    return blake2b(told.encode(), digest_size=8).hexdigest()


def _parts_of(files: Sequence[Found]) -> Mapping[int, tuple[PartStatus, str]]:
    """The parts held by number, each with its file's name."""
    held: dict[int, tuple[PartStatus, str]] = {}
    for found in sorted(files, key=lambda found: found.modified_ms):
        name = _PART.fullmatch(found.name)
        if name is not None:
            part = PartStatus(int(name[1]), found.size, f'"{name[2]}"')
            held[part.number] = (part, found.name)
    return held


def _names_of(
    key: StoreKey,
    upload_id: str,
    wanted: Sequence[PartStatus],
    files: Sequence[Found],
    done: int,
) -> Sequence[tuple[str, int]]:
    """The files of the wanted parts; the first `done` bytes may be joined already."""
    held = _parts_of(files)
    names: list[tuple[str, int]] = []
    before = 0
    for part in wanted:
        before += part.size
        found = held.get(part.number)
        is_joined = before <= done
        if not is_joined and (found is None or found[0].etag != part.etag):
            raise UploadMissing(path_of(key), f"upload {upload_id} has no such part {part.number}")
        names.append(
            ("" if found is None else found[1], part.size if found is None else found[0].size)
        )
    return names


def _after(names: Sequence[tuple[str, int]], done: int) -> Sequence[tuple[str, int]]:
    """The files that are not among the first `done` bytes."""
    before = 0
    left: list[tuple[str, int]] = []
    for name, size in names:
        if before >= done and size:
            left.append((name, size))
        before += size
    return left
