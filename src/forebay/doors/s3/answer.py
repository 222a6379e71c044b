"""What a hit answers: the head and the bytes of a GET or HEAD that needs nothing but the shelf.

No sockets and no loop. None means "not mine": the request goes to the application, which words
refusals, and does all that is rare.
"""

from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Final, Protocol

import msgspec

from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.keyring import Holder
from forebay.doors.s3.signature import NO_BODY, Parts, Signatures, canonical_path
from forebay.doors.s3.wishes import CONDITIONS, NOT_MODIFIED, failed_condition, wanted_bytes
from forebay.metrics.request_ids import RequestIds
from forebay.model.errors import ForebayError
from forebay.shelf.reader import Entry

SERVER: Final = b"Forebay"
DEFAULT_CONTENT_TYPE: Final = b"binary/octet-stream"
"""What S3 calls bytes of which it knows nothing."""

_UNUSUAL: Final = frozenset(
    {
        b"expect",
        b"if-range",
        b"transfer-encoding",
        b"upgrade",
        b"x-amz-expected-bucket-owner",
        b"x-amz-security-token",
        b"x-amz-server-side-encryption-customer-algorithm",
        b"x-amz-server-side-encryption-customer-key",
        b"x-amz-server-side-encryption-customer-key-md5",
    }
)
"""Headers that need more thought than a hit takes."""

_STATUS_LINES: Final = {
    304: b"HTTP/1.1 304 Not Modified\r\n",
    412: b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n",
}


class Reader(Protocol):
    """The shelf, as it is read on this host."""

    def find(self, name: bytes) -> Entry | None:
        """What is remembered under the URL path `name`; None: nothing fresh."""
        ...


class Hit(msgspec.Struct, frozen=True, gc=False):
    """An answer on its way. `head` lacks the empty line; `start` to `end` are the bytes to send."""

    status: int
    head: bytes
    entry: Entry
    start: int
    end: int
    holder: Holder
    request_id: str
    begun: float
    method: bytes


class DateLine:
    """The Date header, made once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def at(self, now: float) -> bytes:
        """The line at `now`, in seconds since 1970."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._line = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._line


def is_header_text(value: str) -> bool:
    """Whether the text can stand in a header as it is."""
    return value.isascii() and value.isprintable()


def _seconds(entry: Entry) -> int:
    return 0 if entry.modified_ms is None else entry.modified_ms // 1000


def is_told(entry: Entry) -> bool:
    """Whether all is known of the file that an answer tells; a listing may lack the media type."""
    return entry.detailed or bool(entry.content_type)


def tail_of(entry: Entry) -> bytes:
    """The lines that are the same in every answer about this content of this file."""
    return (
        b"Accept-Ranges: bytes\r\nETag: %b\r\nLast-Modified: %b\r\nContent-Type: %b\r\n"
        b"Server: %b\r\nx-forebay-cache: hit\r\n"
    ) % (
        entry.etag,
        formatdate(_seconds(entry), usegmt=True).encode(),
        entry.content_type or DEFAULT_CONTENT_TYPE,
        SERVER,
    )


class Answers:
    """Decides whether a request is a hit, and what is answered.

    Args:
        reader: the shelf.
        signatures: who may come in.
        request_ids: names for the requests.
        now: the time, in seconds since 1970.
    """

    def __init__(
        self,
        reader: Reader,
        signatures: Signatures,
        request_ids: RequestIds,
        now: Callable[[], float],
    ) -> None:
        self._find = reader.find
        self._signatures = signatures
        self._next_id = request_ids.next
        self._now = now
        self._date = DateLine().at

    def hit(
        self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> Hit | None:
        """The answer, or None where the application must give it."""
        given = dict(headers)
        # Repeated headers, bodies, sub-resources, presigned URLs: not worth a rule here.
        if len(given) != len(headers) or b"?" in target or b"#" in target:
            return None
        if not _UNUSUAL.isdisjoint(given) or given.get(b"content-length", b"0") != b"0":
            return None
        if given.get(b"x-amz-content-sha256") not in NO_BODY:
            return None
        try:
            holder = self._signatures.by_header(Parts(method, canonical_path(target), b"", given))
            entry = self._find(target)
            if entry is None or not holder.may_read(entry.path) or not is_told(entry):
                return None
            return self._answer(method, entry, given, holder)
        except (ForebayError, Refusal):
            return None

    def _answer(
        self, method: bytes, entry: Entry, given: dict[bytes, bytes], holder: Holder
    ) -> Hit:
        now = self._now()
        tail = entry.tail
        if tail is None:
            tail = entry.tail = tail_of(entry)
        request_id = self._next_id()
        age = now - entry.checked
        lines = b"%b%bx-amz-request-id: %b\r\nx-forebay-age: %d\r\n" % (
            self._date(now),
            tail,
            request_id.encode(),
            max(0, age),
        )
        size = entry.size
        if not CONDITIONS.isdisjoint(given):
            failed = failed_condition(given, entry.etag, _seconds(entry))
            # A client reads why a condition failed from a document, which the application writes.
            if failed == NOT_MODIFIED or (failed is not None and method == b"HEAD"):
                head = _STATUS_LINES[failed] + lines
                return Hit(failed, head, entry, 0, 0, holder, request_id, now, method)
            if failed is not None:
                raise Refusal("PreconditionFailed", "")
        asked = given.get(b"range")
        wanted = None if asked is None else wanted_bytes(asked, size)
        if wanted is None:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b" % (size, lines)
            return Hit(200, head, entry, 0, size, holder, request_id, now, method)
        start, end = wanted
        head = (
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n"
            b"Content-Range: bytes %d-%d/%d\r\n%b"
        ) % (end - start, start, end - 1, size, lines)
        return Hit(206, head, entry, start, end, holder, request_id, now, method)
