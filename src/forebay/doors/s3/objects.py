"""Objects: GET and HEAD of one key."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from starlette.responses import Response

from forebay.doors.s3.answer import DEFAULT_CONTENT_TYPE, is_header_text
from forebay.doors.s3.asked import Asked
from forebay.doors.s3.body import FileResponse
from forebay.doors.s3.documents import EMPTY_ETAG
from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.lake import Lake, LakeEntry, OpenedFile
from forebay.doors.s3.listing import must_be_bucket
from forebay.doors.s3.wishes import (
    NOT_MODIFIED,
    failed_condition,
    range_still_holds,
    wanted_bytes,
)
from forebay.model.errors import AccessDenied, FileMissing, NotADirectory, NotAFile
from forebay.model.ranges import ByteRange, whole
from forebay.model.status import Kind, to_milliseconds

_DIRECTORY_CONTENT_TYPE: Final = "application/x-directory"

_OVERRIDES: Final[Mapping[str, str]] = {
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
    "response-content-language": "content-language",
    "response-content-type": "content-type",
    "response-expires": "expires",
}
"""Query parameters with which a client chooses headers of the answer."""


async def head_object(lake: Lake, asked: Asked) -> Response:
    """What is known of the key, without its bytes.

    Raises:
        Refusal, AccessDenied, StoreAway: see `errors`.
    """
    entry = await _found(lake, asked)
    status, span = _decided(asked, entry)
    headers = _headers(asked, entry, status, span)
    if status == NOT_MODIFIED:
        return Response(None, status, headers)
    return Response(None, status, {**headers, "content-length": str(len(span))})


async def get_object(lake: Lake, asked: Asked, ahead: int) -> Response:
    """The bytes of the key, or those of one range; `ahead` bytes more may be fetched.

    Raises:
        Refusal, AccessDenied, StoreAway, GenerationGone: see `errors`.
    """
    if asked.address.insists_on_directory:
        return await head_object(lake, asked)
    try:
        opened = await lake.open(asked.caller, asked.address.path)
    except (FileMissing, NotAFile, NotADirectory):
        raise await _missing(lake, asked) from None
    reading = _Reading(asked, opened)
    try:
        span = await opened.begin(reading.wanted, ahead=ahead)
    except BaseException:
        opened.close()
        raise
    if reading.status == NOT_MODIFIED:
        opened.close()
        return Response(None, reading.status, reading.headers)
    return FileResponse(reading.status, reading.headers, opened, span)


class _Reading:
    """The answer to a GET, decided anew if the file turns out to be another."""

    def __init__(self, asked: Asked, opened: OpenedFile) -> None:
        self._asked = asked
        self._opened = opened
        self.status = 0
        self.headers: dict[str, str] = {}

    def wanted(self, entry: LakeEntry) -> ByteRange:
        """Which bytes are to be sent."""
        self.status, span = _decided(self._asked, entry)
        self.headers = _headers(self._asked, entry, self.status, span)
        if self.status != NOT_MODIFIED:
            # What is cached is counted before the first byte is fetched.
            self.headers["x-forebay-cache"] = _share(self._opened, span)
            self.headers["content-length"] = str(len(span))
        return span


async def tagged_object(lake: Lake, asked: Asked) -> LakeEntry:
    """What is known of the key, whose tags are asked for.

    Raises:
        Refusal, AccessDenied, StoreAway: see `errors`.
    """
    return await _found(lake, asked)


async def _found(lake: Lake, asked: Asked) -> LakeEntry:
    """What is known of the file, or of the directory if the key insists on one."""
    address = asked.address
    try:
        detailed = not address.insists_on_directory
        entry = await lake.stat(asked.caller, address.path, detailed=detailed)
        if not address.insists_on_directory and entry.kind is Kind.FILE:
            return entry
        if address.insists_on_directory:
            if entry.kind is Kind.FILE:
                # An object store may hold both `a` and `a/b`: the file is what `stat` shows.
                await lake.list(asked.caller, address.path, most=1)
            return _Directory(entry)
    except (FileMissing, NotADirectory):
        pass
    raise await _missing(lake, asked)


async def _missing(lake: Lake, asked: Asked) -> Refusal:
    """What is missing: the key, or its bucket."""
    try:
        await must_be_bucket(lake, asked.caller, asked.address.bucket)
    except Refusal as refusal:
        return refusal
    except AccessDenied:
        pass
    return Refusal("NoSuchKey", "The specified key does not exist.", {"Key": asked.address.key})


class _Directory:
    """A directory, shown as an empty object."""

    kind = Kind.DIRECTORY
    size = 0
    etag = EMPTY_ETAG
    content_type: str | None = _DIRECTORY_CONTENT_TYPE

    def __init__(self, entry: LakeEntry) -> None:
        self.path = entry.path
        self.modified_at = entry.modified_at
        self.age = entry.age


def _decided(asked: Asked, entry: LakeEntry) -> tuple[int, ByteRange]:
    """The status of the answer, and which bytes it has."""
    _must_be_the_only_version(asked.query)
    modified = _seconds(entry)
    etag = entry.etag.encode()
    failed = failed_condition(asked.headers, etag, modified)
    if failed == NOT_MODIFIED:
        return failed, ByteRange(0, 0)
    if failed is not None:
        message = "At least one of the pre-conditions you specified did not hold"
        raise Refusal("PreconditionFailed", message)
    asked_range = asked.headers.get(b"range")
    if "partNumber" in asked.query:
        return 206, _part(asked, entry.size)
    if_range = asked.headers.get(b"if-range")
    if asked_range is None or (
        if_range is not None and not range_still_holds(if_range, etag, modified)
    ):
        return 200, whole(entry.size)
    wanted = wanted_bytes(asked_range, entry.size)
    return (200, whole(entry.size)) if wanted is None else (206, ByteRange(*wanted))


def _part(asked: Asked, size: int) -> ByteRange:
    """The bytes of a part: every object has one."""
    if b"range" in asked.headers:
        message = "Cannot specify both Range header and partNumber query parameter"
        raise Refusal("InvalidRequest", message)
    number = asked.query["partNumber"]
    if not (number.isascii() and number.isdigit()) or number == "0":
        raise Refusal("InvalidArgument", "Part number must be an integer between 1 and 10000")
    if number != "1":
        raise Refusal("InvalidPartNumber", "The requested partnumber is not satisfiable")
    return whole(size)


def _must_be_the_only_version(query: Mapping[str, str]) -> None:
    """Buckets have no versions: the one there is is called `null`."""
    version = query.get("versionId")
    if version == "":
        raise Refusal("InvalidArgument", "Version id cannot be the empty string")
    if version not in {None, "null"}:
        message = "The specified version does not exist."
        raise Refusal("NoSuchVersion", message, {"VersionId": str(version)})


def _headers(asked: Asked, entry: LakeEntry, status: int, span: ByteRange) -> dict[str, str]:
    """The headers that describe the object."""
    content_type = entry.content_type or ""
    headers = {
        "accept-ranges": "bytes",
        "etag": entry.etag,
        "last-modified": formatdate(_seconds(entry), usegmt=True),
        "content-type": content_type if is_header_text(content_type) else "",
        # What is answered from was remembered, or it was asked for just now.
        "x-forebay-cache": "hit" if entry.age.total_seconds() >= 1 else "miss",
        "x-forebay-age": str(max(0, int(entry.age.total_seconds()))),
    }
    headers["content-type"] = headers["content-type"] or DEFAULT_CONTENT_TYPE.decode()
    if status == 206:  # noqa: PLR2004 - Partial Content
        # Of an empty object there is no first byte to name.
        last = f"{span.start}-{span.end - 1}" if span else "*"
        headers["content-range"] = f"bytes {last}/{entry.size}"
    if "partNumber" in asked.query:
        headers["x-amz-mp-parts-count"] = "1"
    for parameter, name in _OVERRIDES.items():
        value = asked.query.get(parameter)
        if value is not None:
            if not is_header_text(value):
                message = "Header value cannot be represented"
                raise Refusal("InvalidArgument", message, {"ArgumentName": parameter})
            headers[name] = value
    return headers


def _seconds(entry: LakeEntry) -> int:
    return 0 if entry.modified_at is None else to_milliseconds(entry.modified_at) // 1000


def _share(file: OpenedFile, span: ByteRange) -> str:
    """How much of the bytes is cached: hit, partial or miss."""
    present = file.present(span)
    if present == len(span):
        return "hit"
    return "partial" if present else "miss"
