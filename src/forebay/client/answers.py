"""The answers of the S3 door, in our words: statuses, pages of listings, errors. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from forebay.client.status import Status, whole_seconds
from forebay.client.trouble import Changed, Denied, Missing, NoKey, WrongClock, WrongSecret
from forebay.model.errors import (
    BadInput,
    BadRange,
    ForebayError,
    NodeAway,
    StoreAway,
    StoreLied,
    StoreTrouble,
)
from forebay.model.status import Kind

_BY_CODE: Final[Mapping[str, Callable[[str, str], ForebayError]]] = {
    "AccessDenied": Denied,
    "InvalidAccessKeyId": NoKey,
    "InternalError": StoreTrouble,
    "InvalidArgument": BadInput,
    "InvalidRange": BadRange,
    "InvalidURI": BadInput,
    "NoSuchBucket": Missing,
    "NoSuchKey": Missing,
    "PreconditionFailed": Changed,
    "RequestTimeTooSkewed": WrongClock,
    "RequestTimeout": NodeAway,
    "ServiceUnavailable": StoreAway,
    "SignatureDoesNotMatch": WrongSecret,
    "SlowDown": StoreAway,
}

_BY_STATUS: Final[Mapping[int, Callable[[str, str], ForebayError]]] = {
    400: BadInput,
    403: Denied,
    404: Missing,
    412: Changed,
    416: BadRange,
    500: StoreTrouble,
    502: NodeAway,
    503: StoreAway,
    504: NodeAway,
}
"""Where there is no document: after HEAD, or from something between us and the door."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing.

    Attributes:
        entries: files and directories, without the directory that is listed.
        next_token: what to ask for the next page with; None on the last one.
        is_there: whether the page proves that there is such a directory.
    """

    entries: list[Status]
    next_token: str | None
    is_there: bool


def error_of(path: str, status: int, document: bytes) -> ForebayError:
    """What went wrong, told by an answer that is no success."""
    code, message = "", ""
    try:
        root = _parsed(path, document)
        code = root.findtext("Code") or ""
        message = root.findtext("Message") or ""
    except StoreLied:
        pass
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, StoreTrouble)
    if not message and kind not in {Changed, Denied, Missing}:
        message = f"the door answered with HTTP {status}"
    # The subject is said already: the door's sentence may begin with it, too.
    return kind(path, message.removeprefix(f"{path}: "))


def status_of(path: str, kind: Kind, headers: Mapping[str, str]) -> Status:
    """The status that the headers of an answer tell; a part's size is that of the whole."""
    whole = headers.get("content-range", "").rpartition("/")[2]
    size = whole if whole.isdigit() else headers.get("content-length", "")
    if not size.isdigit():
        raise StoreLied(path, "the door's answer tells no size")
    if kind is Kind.DIRECTORY:
        return Status(path, kind, modified=_http_date(headers.get("last-modified")))
    return Status(
        path,
        kind,
        int(size),
        headers.get("etag", ""),
        _http_date(headers.get("last-modified")),
        headers.get("content-type"),
    )


def page_of(directory: str, prefix: str, document: bytes) -> Page:
    """A page of what is listed below `prefix` of the whole lake, in the order of the door.

    Raises:
        StoreLied: it is no page.
    """
    root = _parsed(directory, document)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    if root.tag != f"{space}ListBucketResult":
        raise StoreLied(directory, "the door's answer is no listing")
    entries = [_listed(directory, found, space) for found in root.iter(f"{space}Contents")]
    entries += [
        Status(_path(directory, found.findtext(f"{space}Prefix")), Kind.DIRECTORY)
        for found in root.iter(f"{space}CommonPrefixes")
    ]
    itself = f"/{prefix}".rstrip("/") or "/"
    token = root.findtext(f"{space}NextContinuationToken")
    shown = [entry for entry in entries if entry.path != itself]
    return Page(shown, token or None, is_there=bool(entries))


def _listed(directory: str, found: Element, space: str) -> Status:
    key = found.findtext(f"{space}Key")
    size = found.findtext(f"{space}Size") or ""
    path = _path(directory, key)
    modified = _timestamp(found.findtext(f"{space}LastModified"))
    if key is not None and key.endswith("/"):
        return Status(path, Kind.DIRECTORY, modified=modified)
    if not size.isdigit():
        raise StoreLied(path, "the door's listing tells no size")
    return Status(path, Kind.FILE, int(size), found.findtext(f"{space}ETag") or "", modified)


def _path(directory: str, key: str | None) -> str:
    if not key:
        raise StoreLied(directory, "the door's listing has an entry without a key")
    return f"/{unquote(key)}".rstrip("/")


def _parsed(path: str, document: bytes) -> Element:
    from defusedxml import ElementTree  # noqa: PLC0415 - reads of cached bytes parse no document
    from defusedxml.common import DefusedXmlException  # noqa: PLC0415

    try:
        root: Element = ElementTree.fromstring(document)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise StoreLied(path, "the door's answer is no XML document") from error
    return root


def _http_date(text: str | None) -> datetime | None:
    try:
        return whole_seconds(parsedate_to_datetime(text).timestamp()) if text else None
    except ValueError:
        return None


def _timestamp(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return None if moment is None else whole_seconds(moment.astimezone(UTC).timestamp())
