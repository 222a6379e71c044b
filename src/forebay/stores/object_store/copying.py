"""Copies and renames inside the store, bound to the generation that was found."""

from typing import Final

from forebay.model.conditions import IfAbsent, IfUnchanged, WriteCondition
from forebay.model.errors import (
    BadPath,
    ConditionFailed,
    FileExists,
    FileMissing,
    GenerationGone,
    NotAFile,
    Unsupported,
)
from forebay.model.paths import StoreKey
from forebay.model.ranges import whole
from forebay.model.sigv4 import escape
from forebay.model.status import FileStatus
from forebay.stores.contract import PartStatus, WriteOptions
from forebay.stores.object_store.deleting import Deleting
from forebay.stores.object_store.documents import quoted
from forebay.stores.object_store.signed import Request, SignedClient
from forebay.stores.object_store.statuses import Statuses
from forebay.stores.object_store.uploads import MultipartUploads, condition_headers
from forebay.stores.object_store.writing import Writing

LARGEST_SINGLE_COPY: Final = 5 << 30
COPIED_PART_BYTES: Final = 1 << 30


class Copying:
    """Copies and renames files; the bytes do not pass through us."""

    def __init__(
        self,
        client: SignedClient,
        statuses: Statuses,
        writing: Writing,
        uploads: MultipartUploads,
        deleting: Deleting,
    ) -> None:
        self._client = client
        self._statuses = statuses
        self._writing = writing
        self._uploads = uploads
        self._deleting = deleting

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None
    ) -> FileStatus:
        """Make `target` a copy of the file `source`."""
        found = await self._file(source)
        return await self._copied(found, target, condition)

    async def rename(self, source: StoreKey, target: StoreKey, *, replace: bool) -> None:
        """Copy `source` to `target`, then remove it. A directory is Unsupported."""
        if source.is_root or target.is_root:
            raise BadPath(source, "the root cannot be renamed or replaced")
        found = await self._statuses.stat(source)
        if found.is_directory:
            raise Unsupported(source, "an object store cannot rename directories")
        if source == target:
            if replace:
                return
            raise FileExists(target, "is the file itself")
        try:
            copied = await self._copied(found, target, None if replace else IfAbsent())
        except ConditionFailed as error:
            raise FileExists(target, "is there already") from error
        await self._remove_source(found, copied)

    async def _remove_source(self, found: FileStatus, copied: FileStatus) -> None:
        try:
            await self._deleting.delete_file(found.key, IfUnchanged(found.fingerprint))
        except (ConditionFailed, FileMissing) as error:
            # Somebody wrote to the source meanwhile: take back the copy of its old content.
            await self._deleting.delete_file(copied.key, IfUnchanged(copied.fingerprint))
            raise GenerationGone(found.key, "the file was changed during its rename") from error

    async def _file(self, key: StoreKey) -> FileStatus:
        found = await self._statuses.stat(key)
        if found.is_directory:
            raise NotAFile(key, "is a directory")
        return found

    async def _copied(
        self, found: FileStatus, target: StoreKey, condition: WriteCondition | None
    ) -> FileStatus:
        condition_headers(condition, target)
        kept = WriteOptions(
            condition=condition, content_type=found.content_type, metadata=found.metadata
        )
        if condition is None and found.size <= LARGEST_SINGLE_COPY:
            return await self._in_one(found, target, kept)
        if found.size == 0:
            # No part can be copied from nothing.
            return await self._writing.put(target, b"", kept)
        return await self._in_parts(found, target, kept)

    async def _in_one(self, found: FileStatus, target: StoreKey, kept: WriteOptions) -> FileStatus:
        headers = {**self._source(found), "x-amz-checksum-algorithm": "CRC64NVME"}
        try:
            answer = await self._client.send(Request("PUT", target.text, headers=headers))
        except ConditionFailed as error:
            raise GenerationGone(found.key, "the file was changed before its copy") from error
        except FileMissing as error:
            raise FileMissing(found.key, "it was deleted before its copy") from error
        etag = quoted(answer.document().text("ETag"))
        return await self._writing.written(target, etag, found.size, kept)

    async def _in_parts(
        self, found: FileStatus, target: StoreKey, kept: WriteOptions
    ) -> FileStatus:
        """Only the completion of an upload takes conditions on every store."""
        async with self._writing.upload(target, kept) as upload_id:
            parts: list[PartStatus] = []
            for number, span in enumerate(whole(found.size).split(COPIED_PART_BYTES), start=1):
                span_header = f"bytes={span.start}-{span.end - 1}"
                headers = {**self._source(found), "x-amz-copy-source-range": span_header}
                try:
                    etag = await self._uploads.copy_part(target, upload_id, number, headers)
                except ConditionFailed as error:
                    raise GenerationGone(found.key, "changed during its copy") from error
                parts.append(PartStatus(number, len(span), etag))
            etag = await self._uploads.complete(target, upload_id, parts, kept.condition)
        return await self._writing.written(target, etag, found.size, kept)

    def _source(self, found: FileStatus) -> dict[str, str]:
        return {
            "x-amz-copy-source": f"{self._client.address.bucket}/{escape(found.key.text)}",
            "x-amz-copy-source-if-match": found.etag or "",
        }
