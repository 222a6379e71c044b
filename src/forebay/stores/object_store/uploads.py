"""Uploads in parts, as the store itself keeps them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus

from forebay.model.conditions import IfAbsent, IfUnchanged, WriteCondition
from forebay.model.errors import ConditionFailed, FileMissing, StoreLied, UploadMissing
from forebay.model.paths import StoreKey, fault_of_key
from forebay.stores.contract import Chunk, PartStatus, UploadStatus, WriteOptions
from forebay.stores.object_store.bodies import (
    HELD_BYTES,
    checksum,
    in_pieces,
    streamed,
    streamed_headers,
)
from forebay.stores.object_store.documents import Element, completion, quoted
from forebay.stores.object_store.signed import Answer, Request, SignedClient
from forebay.stores.object_store.statuses import DIGEST_HEADER, etag_of, kept_headers

MOST_PARTS: Final = 10_000

_REMEMBERED_PARTS: Final = 20_000
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)


class MultipartUploads:
    """Begins, fills, completes and aborts uploads."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client
        self._latest: dict[tuple[str, int], str] = {}

    async def create(self, key: StoreKey, options: WriteOptions) -> str:
        """Begin an upload whose file the store keeps a CRC64NVME of."""
        headers = {
            **kept_headers(options.content_type, options.metadata),
            "x-amz-checksum-algorithm": "CRC64NVME",
            "x-amz-checksum-type": "FULL_OBJECT",
        }
        request = Request("POST", key.text, [("uploads", "")], headers)
        upload_id = (await self._client.send(request)).document().text("UploadId")
        if not upload_id:
            raise StoreLied(key, "the store began an upload without an id")
        return upload_id

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """Send a part; a small one is held first, a large one streams through."""
        if size <= HELD_BYTES:
            async with aclosing(in_pieces(body, max(size, 1), size, key)) as pieces:
                content = b"".join([piece async for piece in pieces])
            return await self.send_part(key, upload_id, number, content)
        query = _part(upload_id, number)
        sent = Request("PUT", key.text, query, streamed_headers(size), streamed(body, size, key))
        return self._arrived(upload_id, number, size, await self._sent(sent))

    async def send_part(
        self, key: StoreKey, upload_id: str, number: int, content: bytes
    ) -> PartStatus:
        """Send a part that is in memory."""
        headers = {DIGEST_HEADER: checksum(content)}
        request = Request("PUT", key.text, _part(upload_id, number), headers, content)
        return self._arrived(upload_id, number, len(content), await self._sent(request))

    async def copy_part(
        self, key: StoreKey, upload_id: str, number: int, source: dict[str, str]
    ) -> str:
        """Have the store copy a part from what the headers `source` name; its ETag."""
        answer = await self._sent(Request("PUT", key.text, _part(upload_id, number), source))
        return quoted(answer.document().text("ETag"))

    async def parts(self, key: StoreKey, upload_id: str) -> list[PartStatus]:
        """The parts held, by number."""
        found: dict[int, tuple[datetime, bool, PartStatus]] = {}
        marker = ""
        while True:
            query = [("uploadId", upload_id)]
            if marker:
                query.append(("part-number-marker", marker))
            document = (await self._sent(Request("GET", key.text, query))).document()
            listed = [self._listed(upload_id, part) for part in document.every("Part")]
            for one in listed:
                # SeaweedFS shows a part that was sent twice twice: the later one counts.
                number = one[2].number
                found[number] = max(found.get(number, one), one, key=lambda known: known[:2])
            if document.text("IsTruncated") != "true" or not listed:
                return [found[number][2] for number in sorted(found)]
            marker = document.text("NextPartNumberMarker") or str(listed[-1][2].number)

    async def begun(self, directory: StoreKey) -> list[UploadStatus]:
        """The uploads begun below `directory`, by key and id."""
        found: list[UploadStatus] = []
        markers: list[tuple[str, str]] = []
        while True:
            query = [("uploads", ""), ("encoding-type", "url"), *markers]
            if not directory.is_root:
                query.append(("prefix", f"{directory.text}/"))
            document = (await self._client.send(Request("GET", query=query))).document()
            decode = unquote_plus if document.text("EncodingType") == "url" else str
            uploads = [
                (decode(upload.text("Key")), upload.text("UploadId"), upload.moment("Initiated"))
                for upload in document.every("Upload")
            ]
            found += [
                UploadStatus(upload_id, StoreKey(name), started_at)
                for name, upload_id, started_at in uploads
                if name and fault_of_key(name) is None
            ]
            if document.text("IsTruncated") != "true" or not uploads:
                return sorted(
                    found, key=lambda upload: (upload.key.text.encode(), upload.upload_id)
                )
            # Not every store says where the next page begins: behind the last one it does.
            key_marker = decode(document.text("NextKeyMarker")) or uploads[-1][0]
            id_marker = document.text("NextUploadIdMarker") or uploads[-1][1]
            markers = [("key-marker", key_marker), ("upload-id-marker", id_marker)]

    async def complete(
        self,
        key: StoreKey,
        upload_id: str,
        parts: Sequence[PartStatus],
        condition: WriteCondition | None,
    ) -> str:
        """Make the file of `parts`; its ETag."""
        if not parts:
            raise UploadMissing(key, "an upload is completed from one part at least")
        in_order = sorted(parts, key=lambda part: part.number)
        headers = {**condition_headers(condition, key), "content-type": "application/xml"}
        query = [("uploadId", upload_id)]
        request = Request("POST", key.text, query, headers, completion(in_order))
        try:
            document = (await self._client.send(request)).document()
        except FileMissing as error:
            # There is no file to compare with.
            raise ConditionFailed(key, "there is no such file") from error
        return quoted(document.text("ETag"))

    async def abort(self, key: StoreKey, upload_id: str) -> None:
        """Drop the upload; one that is gone is no error."""
        try:
            await self._client.send(Request("DELETE", key.text, [("uploadId", upload_id)]))
        except (UploadMissing, FileMissing):
            return

    def _arrived(self, upload_id: str, number: int, size: int, answer: Answer) -> PartStatus:
        etag = answer.headers.get("etag", "")
        if not etag:
            raise StoreLied(answer.subject, "the store gives no ETag of the part")
        self._latest.pop((upload_id, number), None)
        self._latest[upload_id, number] = etag
        if len(self._latest) > _REMEMBERED_PARTS:
            del self._latest[next(iter(self._latest))]
        return PartStatus(number, size, etag)

    def _listed(self, upload_id: str, part: Element) -> tuple[datetime, bool, PartStatus]:
        """A part, behind what tells the latest of one number: its time, and what we sent."""
        number, etag = part.number("PartNumber"), quoted(part.text("ETag"))
        is_ours = self._latest.get((upload_id, number)) == etag
        status = PartStatus(number, part.number("Size"), etag)
        return part.moment("LastModified") or _LONG_AGO, is_ours, status

    async def _sent(self, request: Request) -> Answer:
        try:
            return await self._client.send(request)
        except FileMissing as error:
            raise UploadMissing(request.key, "there is no such upload") from error


def condition_headers(condition: WriteCondition | None, subject: object) -> dict[str, str]:
    """The headers that have the store decide `condition`.

    Raises:
        ConditionFailed: it names a fingerprint that no object of this store can have.
    """
    match condition:
        case None:
            return {}
        case IfAbsent():
            return {"if-none-match": "*"}
        case IfUnchanged(fingerprint):
            etag = etag_of(fingerprint)
            if etag is None:
                raise ConditionFailed(subject, "the fingerprint is of another kind of store")
            return {"if-match": etag}


def _part(upload_id: str, number: int) -> list[tuple[str, str]]:
    return [("partNumber", str(number)), ("uploadId", upload_id)]
