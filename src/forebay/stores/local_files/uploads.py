"""Uploads in parts on a file system: a directory each, below `.forebay/mpu`."""

import asyncio
import errno
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from forebay.model.errors import FileMissing, ForebayError, NotAFile, StoreLied, UploadMissing
from forebay.model.paths import StoreKey
from forebay.model.status import from_milliseconds
from forebay.stores.contract import Chunk, PartStatus, UploadStatus, WriteOptions
from forebay.stores.local_files.asides import Aside, Asides, our_directory
from forebay.stores.local_files.descriptors import Descriptor, obtained, to_its_end
from forebay.stores.local_files.reader import open_file
from forebay.stores.local_files.tree import Place, keep_names
from forebay.stores.local_files.trouble import speaking_of

_UPLOADS: Final = "mpu"
_SESSION: Final = "session.json"
# Ids come back to us from clients: what is none must not become a name.
_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")
_GONE: Final[Mapping[int, type[ForebayError]]] = {errno.ENOENT: UploadMissing}


@dataclass(frozen=True, slots=True)
class Uploads:
    """The uploads of one tree, which any process can go on with."""

    asides: Asides

    def create(self, key: StoreKey) -> str:
        """Begin an upload."""
        if key.is_root:
            raise NotAFile(key, "is the root")
        upload_id = self.asides.new_name()
        started_at = self.asides.clock() // 1_000_000
        aside = self.asides.begin(key)
        try:
            aside.append(json.dumps({"key": key.text, "started_at": started_at}).encode())
            with (
                speaking_of(key),
                our_directory(self.asides.tree, _UPLOADS, upload_id) as directory,
            ):
                # The session comes last and whole: a directory without one is no upload.
                _move(aside, Place(directory, _SESSION))
        finally:
            aside.drop()
        return upload_id

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """Store one part."""
        await asyncio.to_thread(self._must_be, key, upload_id)
        async with self.asides.begun(key, size) as aside:
            await aside.fill(body)
            await asyncio.to_thread(aside.settle, self.asides.moment())
            return await to_its_end(self._enter, key, upload_id, number, aside)

    def parts(self, key: StoreKey, upload_id: str) -> list[PartStatus]:
        """The parts held, by number."""
        self._must_be(key, upload_id)
        with (
            speaking_of(key, _GONE),
            our_directory(self.asides.tree, _UPLOADS, upload_id, make=False) as directory,
        ):
            numbers = sorted(int(name) for name in _names_in(directory) if name.isdigit())
            return [_part(number, Place(directory, str(number)).look()) for number in numbers]

    def below(self, directory: StoreKey) -> list[UploadStatus]:
        """The uploads begun below `directory`, by key and id."""
        try:
            with (
                speaking_of(directory),
                our_directory(self.asides.tree, _UPLOADS, make=False) as uploads,
            ):
                ids = [name for name in _names_in(uploads) if _UPLOAD_ID.fullmatch(name)]
        except FileMissing:
            return []
        found: list[UploadStatus] = []
        for upload_id in ids:
            with suppress(UploadMissing):
                found.append(self._status(directory, upload_id))
        return sorted(
            (status for status in found if status.key.is_under(directory)),
            key=lambda status: (status.key.text, status.upload_id),
        )

    async def complete(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> os.stat_result:
        """Make the file of the named parts."""
        await asyncio.to_thread(self._must_be, key, upload_id)
        if not parts:
            raise UploadMissing(key, "no part is named")
        size = sum(part.size for part in parts)
        if options.size is not None and size != options.size:
            raise StoreLied(key, f"parts of {size} bytes were announced as {options.size}")
        async with self.asides.begun(key, size) as aside:
            for part in sorted(parts, key=lambda part: part.number):
                await self._append_part(aside, key, upload_id, part)
            found = await self.asides.name(aside, key, options.condition)
        await to_its_end(self.abort, key, upload_id)
        return found

    def abort(self, key: StoreKey, upload_id: str) -> None:
        """Drop the upload and its parts."""
        try:
            self._must_be(key, upload_id)
        except UploadMissing:
            return
        with speaking_of(key), our_directory(self.asides.tree, _UPLOADS) as uploads:
            with our_directory(self.asides.tree, _UPLOADS, upload_id, make=False) as directory:
                # The session last: an upload dropped in part, by a crash, can be dropped again.
                # Parts that come while we drop find no session the second time.
                while names := _names_in(directory):
                    for name in sorted(names, key=lambda name: name == _SESSION):
                        with suppress(FileNotFoundError):
                            os.unlink(name, dir_fd=directory)
            os.rmdir(upload_id, dir_fd=uploads)

    def _enter(self, key: StoreKey, upload_id: str, number: int, aside: Aside) -> PartStatus:
        self._must_be(key, upload_id)
        with (
            speaking_of(key, _GONE),
            our_directory(self.asides.tree, _UPLOADS, upload_id, make=False) as directory,
        ):
            _move(aside, Place(directory, str(number)))
        return _part(number, aside.found())

    async def _append_part(
        self, aside: Aside, key: StoreKey, upload_id: str, part: PartStatus
    ) -> None:
        descriptor = await obtained(lambda: self._open_part(key, upload_id, part), Descriptor.close)
        try:
            await aside.append_file(descriptor, part.size)
        finally:
            descriptor.close()

    def _open_part(self, key: StoreKey, upload_id: str, part: PartStatus) -> Descriptor:
        with (
            speaking_of(key, _GONE),
            our_directory(self.asides.tree, _UPLOADS, upload_id, make=False) as directory,
        ):
            number = open_file(Place(directory, str(part.number)), key)
        descriptor = Descriptor(number)
        if _part(part.number, os.fstat(number)) != part:
            descriptor.close()
            raise UploadMissing(key, f"part {part.number} is another by now")
        return descriptor

    def _must_be(self, key: StoreKey, upload_id: str) -> None:
        if self._status(key, upload_id).key != key:
            raise UploadMissing(key, f"no upload {upload_id!r}")

    def _status(self, subject: StoreKey, upload_id: str) -> UploadStatus:
        if not _UPLOAD_ID.fullmatch(upload_id):
            raise UploadMissing(subject, f"no upload {upload_id!r}")
        with (
            speaking_of(subject, _GONE),
            our_directory(self.asides.tree, _UPLOADS, upload_id, make=False) as directory,
        ):
            number = open_file(Place(directory, _SESSION), subject)
            with os.fdopen(number, "rb") as file:
                text = file.read()
        try:
            session = json.loads(text)
            started_at = from_milliseconds(session["started_at"])
            return UploadStatus(upload_id, StoreKey(session["key"]), started_at)
        except (ValueError, KeyError, TypeError) as error:
            raise UploadMissing(subject, f"upload {upload_id!r} cannot be read") from error


def _names_in(directory: int) -> list[str]:
    number = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(number) as entries:
            return [entry.name for entry in entries]
    finally:
        os.close(number)


def _move(aside: Aside, target: Place) -> None:
    with aside.place() as source:
        os.rename(
            source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory
        )
    keep_names(target.directory)


def _part(number: int, found: os.stat_result) -> PartStatus:
    etag = f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"'
    return PartStatus(number, found.st_size, etag)
