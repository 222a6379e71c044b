"""Writes: a body becomes a file, whole or not at all, in one request or by an upload."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from forebay.model.errors import (
    ConditionFailed,
    FileMissing,
    StoreLied,
    StoreTrouble,
    Unsupported,
)
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Kind
from forebay.stores.contract import Chunk, PartStatus, WriteOptions, fingerprint_of_etag
from forebay.stores.object_store.bodies import HELD_BYTES, checksum, in_pieces
from forebay.stores.object_store.signed import Request, SignedClient
from forebay.stores.object_store.statuses import DIGEST_HEADER, Statuses, kept_headers
from forebay.stores.object_store.uploads import MOST_PARTS, MultipartUploads, condition_headers

# With the piece that is being gathered that is 64 MiB at most.
_PARTS_ON_THEIR_WAY: Final = 2
LARGEST_WRITE: Final = HELD_BYTES * MOST_PARTS


class Writing:
    """Writes files whole."""

    def __init__(self, client: SignedClient, statuses: Statuses, uploads: MultipartUploads) -> None:
        self._client = client
        self._statuses = statuses
        self._uploads = uploads

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """Store `body` at `key`; a small one is held first, a large one goes up in parts."""
        condition_headers(options.condition, key)
        if options.size is not None and options.size > LARGEST_WRITE:
            raise Unsupported(key, f"a write of more than {LARGEST_WRITE} bytes; use an upload")
        async with aclosing(in_pieces(body, HELD_BYTES, options.size, key)) as pieces:
            first = await anext(pieces, b"")
            second = await anext(pieces, None)
            if second is None:
                return await self.put(key, first, options)
            return await self._in_parts(key, [first, second], pieces, options)

    async def put(self, key: StoreKey, content: bytes, options: WriteOptions) -> FileStatus:
        """Store `content` in one request."""
        headers = {
            **kept_headers(options.content_type, options.metadata),
            **condition_headers(options.condition, key),
            DIGEST_HEADER: checksum(content),
        }
        request = Request("PUT", key.text, headers=headers, body=content)
        try:
            answer = await self._client.send(request)
        except FileMissing as error:
            # There is no file to compare with.
            raise ConditionFailed(key, "there is no such file") from error
        return await self.written(key, answer.headers.get("etag", ""), len(content), options)

    async def written(
        self, key: StoreKey, etag: str, size: int, options: WriteOptions
    ) -> FileStatus:
        """The status of what was just written."""
        if not etag:
            raise StoreLied(key, "the store gives no ETag of what it has written")
        with suppress(StoreTrouble, FileMissing):
            # The file is written, whatever the answer to this is.
            status = await self._statuses.file(key)
            if status.etag == etag:
                return status
        return FileStatus(
            key=key,
            kind=Kind.FILE,
            size=size,
            modified_at=None,
            fingerprint=fingerprint_of_etag(etag),
            etag=etag,
            content_type=options.content_type,
            metadata=options.metadata,
        )

    @asynccontextmanager
    async def upload(self, key: StoreKey, options: WriteOptions) -> AsyncIterator[str]:
        """An upload that is aborted on any error, and when cancelled."""
        upload_id = await self._uploads.create(key, options)
        try:
            yield upload_id
        except BaseException:
            # If it cannot be aborted the first error still says more; `list_uploads` shows it.
            with suppress(StoreTrouble):
                await asyncio.shield(self._uploads.abort(key, upload_id))
            raise

    async def _in_parts(
        self,
        key: StoreKey,
        gathered: list[bytes],
        pieces: AsyncIterator[bytes],
        options: WriteOptions,
    ) -> FileStatus:
        async with self.upload(key, options) as upload_id:
            try:
                parts = await self._all_parts(key, upload_id, gathered, pieces)
            except BaseExceptionGroup as group:
                # One trouble stops all parts; the others are its echo.
                raise group.exceptions[0] from None
            etag = await self._uploads.complete(key, upload_id, parts, options.condition)
        return await self.written(key, etag, sum(part.size for part in parts), options)

    async def _all_parts(
        self,
        key: StoreKey,
        upload_id: str,
        gathered: list[bytes],
        pieces: AsyncIterator[bytes],
    ) -> list[PartStatus]:
        room = asyncio.Semaphore(_PARTS_ON_THEIR_WAY)
        parts: list[PartStatus] = []

        async def send(number: int, content: bytes) -> None:
            try:
                parts.append(await self._uploads.send_part(key, upload_id, number, content))
            finally:
                room.release()

        async with asyncio.TaskGroup() as group:
            number = 0
            async with aclosing(_chained(gathered, pieces)) as contents:
                async for content in contents:
                    number += 1
                    if number > MOST_PARTS:
                        raise Unsupported(key, f"a write of more than {LARGEST_WRITE} bytes")
                    await room.acquire()
                    group.create_task(send(number, content))
        return parts


async def _chained(
    gathered: list[bytes], pieces: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    while gathered:
        # Taken out, or the first parts would stay in memory to the end.
        yield gathered.pop(0)
    async for piece in pieces:
        yield piece
