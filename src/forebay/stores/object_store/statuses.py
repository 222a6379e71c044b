"""The status of one key: what HEAD and the prefix below it say."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from forebay.model.errors import BadOption, FileMissing, StoreLied
from forebay.model.generation import Fingerprint
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Kind
from forebay.stores.contract import StoreDigest, fingerprint_of_etag
from forebay.stores.object_store.signed import Answer, Request, SignedClient

ETAG_PREFIX: Final = fingerprint_of_etag("").text
DIGEST: Final = "crc64nvme"
DIGEST_HEADER: Final = "x-amz-checksum-crc64nvme"
DIGEST_BYTES: Final = 8

_METADATA: Final = "x-amz-meta-"
_METADATA_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTENT_TYPE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_ENCODED: Final = re.compile(r"=\?UTF-8\?B\?([A-Za-z0-9+/=]*)\?=", re.IGNORECASE)


class Statuses:
    """Asks for the status of single keys."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    async def stat(self, key: StoreKey) -> FileStatus:
        """The file `key`, or else the directory that the prefix below it makes."""
        if key.is_root:
            return directory_status(key)
        try:
            return await self.file(key)
        except FileMissing:
            # The answer to HEAD has no body: only the listing tells a missing bucket from this.
            if await self.count_below(key, most=1):
                return directory_status(key)
            raise

    async def file(self, key: StoreKey) -> FileStatus:
        """The file `key`. Raises FileMissing, also where a directory of that name is."""
        return file_status(key, await self._client.send(Request("HEAD", key.text)))

    async def is_file(self, key: StoreKey) -> bool:
        """Whether there is a file `key`."""
        try:
            await self.file(key)
        except FileMissing:
            return False
        return True

    async def keys_below(self, key: StoreKey, *, most: int) -> list[str]:
        """The first keys below the directory `key`, as the store names them; its marker counts."""
        query = [("list-type", "2"), ("max-keys", str(most))]
        if not key.is_root:
            query.append(("prefix", f"{key.text}/"))
        document = (await self._client.send(Request("GET", query=query))).document()
        return [found.text("Key") for found in document.every("Contents")]

    async def count_below(self, key: StoreKey, *, most: int) -> int:
        """How many keys are below the directory `key`, counted up to `most`."""
        return len(await self.keys_below(key, most=most))

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """The CRC64NVME that the store keeps of the whole file."""
        asks = {"x-amz-checksum-mode": "ENABLED"}
        answer = await self._client.send(Request("HEAD", key.text, headers=asks))
        value = answer.headers.get(DIGEST_HEADER)
        if value is None or answer.headers.get("x-amz-checksum-type", "") == "COMPOSITE":
            return None
        try:
            raw = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise StoreLied(key, "its checksum cannot be read") from error
        return StoreDigest(DIGEST, raw.hex())


def file_status(key: StoreKey, answer: Answer) -> FileStatus:
    """The status that an answer to HEAD gives.

    Raises:
        StoreLied: the answer lacks what every store sends.
    """
    headers = answer.headers
    etag, size = headers.get("etag", ""), headers.get("content-length", "")
    if not etag or not size.isdecimal():
        raise StoreLied(key, "the store's answer lacks ETag or length")
    return FileStatus(
        key=key,
        kind=Kind.FILE,
        size=int(size),
        modified_at=answer.moment("last-modified"),
        fingerprint=fingerprint_of_etag(etag),
        etag=etag,
        content_type=headers.get("content-type"),
        metadata={
            name.removeprefix(_METADATA): _decoded(value)
            for name, value in headers.items()
            if name.startswith(_METADATA)
        },
    )


def directory_status(key: StoreKey) -> FileStatus:
    """The status of a directory: the store knows nothing of it but its name."""
    return FileStatus(key=key, kind=Kind.DIRECTORY)


def etag_of(fingerprint: Fingerprint) -> str | None:
    """The ETag that a fingerprint holds, or None if it is of another kind."""
    text = fingerprint.text
    return text[len(ETAG_PREFIX) :] if text.startswith(ETAG_PREFIX + '"') else None


def kept_headers(content_type: str | None, metadata: Mapping[str, str]) -> dict[str, str]:
    """The headers that have the store keep a content type and metadata.

    Raises:
        BadOption: the type or a name is none that a header can have.
    """
    if content_type is not None and _CONTENT_TYPE.fullmatch(content_type) is None:
        raise BadOption("content type", f"{content_type!r} is none that the store can keep")
    headers = {} if content_type is None else {"content-type": content_type}
    for name, value in metadata.items():
        if _METADATA_NAME.fullmatch(name) is None:
            raise BadOption("metadata", f"{name!r} is no name that the store can keep")
        headers[_METADATA + name.lower()] = _encoded(value)
    return headers


def _encoded(value: str) -> str:
    # Headers are ASCII, and blanks at their ends are lost: RFC 2047, as S3 itself shows them.
    if value.isascii() and value.isprintable() and value == " ".join(value.split()):
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode()).decode()}?="


def _decoded(value: str) -> str:
    match = _ENCODED.fullmatch(value)
    if match is None:
        return value
    try:
        return base64.b64decode(match.group(1), validate=True).decode()
    except ValueError:
        return value
