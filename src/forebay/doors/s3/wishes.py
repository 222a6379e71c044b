"""What a read wishes for: conditions and a range, decided by RFC 9110 as S3 reads it. Pure."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from forebay.doors.s3.errors import Refusal

NOT_MODIFIED: Final = 304
PRECONDITION_FAILED: Final = 412

CONDITIONS: Final = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"}
)

_MOST_DIGITS: Final = 18
_RANGE: Final = re.compile(rb"bytes=(\d*)-(\d*)")


@lru_cache(maxsize=4096)
def _seconds_of(date: bytes) -> float | None:
    """The moment that an HTTP date names, in seconds since 1970; None: it is no date."""
    try:
        return parsedate_to_datetime(date.decode("latin-1")).timestamp()
    except (ValueError, OverflowError):
        return None


def _names_etag(listed: bytes, etag: bytes) -> bool:
    """Whether the list of entity tags is `*` or names `etag`; quotes may be missing."""
    bare = etag.strip(b'"')
    return listed == b"*" or any(
        tag.strip().removeprefix(b"W/").strip(b'"') == bare for tag in listed.split(b",")
    )


def _is_refused(headers: Mapping[bytes, bytes], etag: bytes, modified: int) -> bool:
    """Whether `If-Match` or, without it, `If-Unmodified-Since` forbids the answer."""
    wanted = headers.get(b"if-match")
    if wanted is not None:
        return not _names_etag(wanted, etag)
    since = headers.get(b"if-unmodified-since")
    moment = None if since is None else _seconds_of(since)
    return moment is not None and modified > moment


def _is_known(headers: Mapping[bytes, bytes], etag: bytes, modified: int) -> bool:
    """Whether `If-None-Match` or, without it, `If-Modified-Since` says that the client has it."""
    held = headers.get(b"if-none-match")
    if held is not None:
        return _names_etag(held, etag)
    since = headers.get(b"if-modified-since")
    moment = None if since is None else _seconds_of(since)
    return moment is not None and modified <= moment


def failed_condition(headers: Mapping[bytes, bytes], etag: bytes, modified: int) -> int | None:
    """The status to answer instead, or None to go on. `modified` is in seconds since 1970."""
    if _is_refused(headers, etag, modified):
        return PRECONDITION_FAILED
    if _is_known(headers, etag, modified):
        return NOT_MODIFIED
    return None


def range_still_holds(if_range: bytes, etag: bytes, modified: int) -> bool:
    """Whether the range may be answered: the client's part is of the content that is here now."""
    if if_range.startswith(b'"'):
        return if_range == etag
    return _seconds_of(if_range) == modified


def _number(digits: bytes) -> int:
    """The number; of one beyond all sizes, something beyond all sizes."""
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= _MOST_DIGITS else 10**_MOST_DIGITS


def wanted_bytes(value: bytes, size: int) -> tuple[int, int] | None:
    """Start and end of the one range that a `Range` header asks for, in a file of `size` bytes.

    None: the header is none that S3 heeds (several ranges, another unit): the whole file.

    Raises:
        Refusal: the file has no such bytes.
    """
    match = _RANGE.fullmatch(value)
    if match is None:
        return None
    first, last = match.groups()
    if first:
        start = _number(first)
        if last and _number(last) < start:
            return None
        end = min(_number(last) + 1, size) if last else size
    elif last:
        start, end = max(0, size - _number(last)), size
    else:
        return None
    if start >= end:
        facts = {"RangeRequested": value.decode("latin-1"), "ActualObjectSize": str(size)}
        raise Refusal("InvalidRange", "The requested range is not satisfiable", facts)
    return start, end
