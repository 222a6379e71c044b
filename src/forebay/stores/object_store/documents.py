"""The XML documents that object stores send and take."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element as XmlElement
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from forebay.model.errors import StoreLied
from forebay.stores.contract import PartStatus

_NAMESPACE: Final = re.compile(rb"""\sxmlns=(?:"[^"]*"|'[^']*')""")


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a document; names are without name space."""

    raw: XmlElement

    @property
    def tag(self) -> str:
        """Its name."""
        return self.raw.tag

    def text(self, path: str) -> str:
        """The text of the first element at `path`, or ''."""
        return self.raw.findtext(path) or ""

    def number(self, path: str) -> int:
        """The number at `path`.

        Raises:
            StoreLied: there is none.
        """
        text = self.text(path)
        if not text.isascii() or not text.isdecimal():
            raise StoreLied(path, "the store's answer has no number there")
        return int(text)

    def moment(self, path: str) -> datetime | None:
        """The time at `path`, in UTC, or None.

        Raises:
            StoreLied: what stands there is no time.
        """
        text = self.text(path)
        if not text:
            return None
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError as error:
            raise StoreLied(path, "the store's answer has no time there") from error

    def find(self, path: str) -> "Element | None":
        """The first element at `path`."""
        found = self.raw.find(path)
        return None if found is None else Element(found)

    def every(self, path: str) -> Iterator["Element"]:
        """The elements at `path`, in order."""
        return (Element(found) for found in self.raw.iterfind(path))


def parsed(document: bytes, subject: object) -> Element:
    """The document's root.

    Raises:
        StoreLied: it is no XML, or has what no store sends (a DTD).
    """
    try:
        # Stores disagree on the name space, and some send none.
        return Element(fromstring(_NAMESPACE.sub(b"", document, count=1)))
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise StoreLied(subject, "the store's answer is no XML") from error


def completion(parts: Sequence[PartStatus]) -> bytes:
    """The document that completes an upload of `parts`."""
    named = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>"
        for part in parts
    )
    return f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()


def quoted(etag: str) -> str:
    """The ETag with its quotes: some stores leave them out in documents."""
    return etag if not etag or etag.endswith('"') else f'"{etag}"'
