"""Uploads in parts on a file system: a directory each, below `.forebay/mpu`."""

import asyncio
import errno
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from forebay.model.errors import FileMissing, ForebayError, NotAFile, StoreLied, UploadMissing
from forebay.model.paths import StoreKey
from forebay.model.status import from_milliseconds
from forebay.stores.contract import Chunk, PartStatus, UploadStatus, WriteOptions
from forebay.stores.local_files.asides import Aside, Asides, our_directory
from forebay.stores.local_files.descriptors import Descriptor, to_its_end
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
        aside = await asyncio.to_thread(self.asides.begin, key, size)
        try:
            await aside.fill(body)
            await asyncio.to_thread(aside.settle, self.asides.moment())
            return await to_its_end(self._enter, key, upload_id, number, aside)
        finally:
            await to_its_end(aside.drop)

    def parts(self, key: StoreKey, upload_id: str) -> list[PartStatus]:
        """The parts held, by number."""
        self._must_be(key, upload_id)
        found: list[PartStatus] = []
        with (
            speaking_of(key, _GONE),
            our_directory(self.asides.tree, _UPLOADS, upload_id, make=False) as directory,
        ):
            for name in _names_in(directory):
                if name.isdigit():
                    found.append(_part(int(name), Place(directory, name).look()))
        return sorted(found, key=lambda part: part.number)

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
        with ExitStack() as stack:
            opened: list[tuple[PartStatus, Descriptor]] = []
            for part in sorted(parts, key=lambda part: part.number):
                descriptor = await asyncio.to_thread(self._open_part, key, upload_id, part)
                stack.callback(descriptor.close)
                opened.append((part, descriptor))
            aside = await asyncio.to_thread(self.asides.begin, key)
            try:
                for part, descriptor in opened:
                    await aside.append_file(descriptor, part.size)
                found = await self.asides.name(aside, key, options.condition)
            finally:
                await to_its_end(aside.drop)
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
                # The session first: from then on it is no upload any more.
                for name in (_SESSION, *_names_in(directory)):
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
                session = json.loads(file.read())
        return UploadStatus(
            upload_id, StoreKey(session["key"]), from_milliseconds(session["started_at"])
        )


def _names_in(directory: int) -> list[str]:
    number = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.listdir(number)
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
