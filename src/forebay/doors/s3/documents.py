"""The documents that listings are asked with and answered by: query to wish, page to XML."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.lake import LakeEntry
from forebay.doors.s3.listing import MOST_KEYS, Listing, ListWish, Shown
from forebay.doors.s3.token import Tokens
from forebay.doors.s3.xml import branch, document, leaf

OWNER_ID: Final = "f0" * 32
"""The one owner of all buckets, in the form that S3 gives its owners."""

EMPTY_ETAG: Final = '"d41d8cd98f00b204e9800998ecf8427e"'
"""The ETag of no bytes: directories are shown as empty objects."""

_BEGINNING: Final = datetime.fromtimestamp(0, UTC)


def _as_it_is(text: str) -> str:
    return text


def _escaped(text: str) -> str:
    return quote(text, safe="/-_.~")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A listing as the client asked for it."""

    bucket: str
    query: Mapping[str, str]
    tokens: Tokens
    version_2: bool

    def wish(self) -> ListWish:
        """What is to be listed.

        Raises:
            Refusal: a parameter has a value that it cannot have.
        """
        query = self.query
        if self.version_2 and query["list-type"] != "2":
            raise _bad_argument("list-type", "Invalid List Type specified in Request")
        if query.get("encoding-type", "url") != "url":
            raise _bad_argument("encoding-type", "Invalid Encoding Method specified in Request")
        return ListWish(
            self.bucket,
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            after=self._after(),
            most=most_of(query, "max-keys", MOST_KEYS),
        )

    def _after(self) -> str:
        query = self.query
        if not self.version_2:
            return query.get("marker", "")
        if "continuation-token" in query:
            return self.tokens.key(self._listing(), query["continuation-token"])
        return query.get("start-after", "")

    def _listing(self) -> str:
        """What tokens of this listing are bound to."""
        query = self.query
        return "\0".join((self.bucket, query.get("prefix", ""), query.get("delimiter", "")))

    def answer(self, listing: Listing, most: int) -> bytes:
        """The page as XML."""
        query = self.query
        escaped = _escaped if "encoding-type" in query else _as_it_is
        children = [
            leaf("Name", self.bucket),
            leaf("Prefix", escaped(query.get("prefix", ""))),
            *(
                self._place_2(listing, escaped)
                if self.version_2
                else self._place_1(escaped, listing)
            ),
            leaf("MaxKeys", most),
        ]
        if query.get("delimiter"):
            children.append(leaf("Delimiter", escaped(query["delimiter"])))
        if "encoding-type" in query:
            children.append(leaf("EncodingType", "url"))
        children.append(leaf("IsTruncated", str(listing.truncated).lower()))
        with_owner = not self.version_2 or query.get("fetch-owner") == "true"
        children += [_contents(shown, escaped, with_owner=with_owner) for shown in listing.shown]
        return document("ListBucketResult", *children)

    def _place_1(self, escaped: Callable[[str], str], listing: Listing) -> list[str]:
        children = [leaf("Marker", escaped(self.query.get("marker", "")))]
        # Without a delimiter the last key is the next marker, and S3 leaves it out.
        if listing.truncated and self.query.get("delimiter"):
            children.append(leaf("NextMarker", escaped(listing.last)))
        return children

    def _place_2(self, listing: Listing, escaped: Callable[[str], str]) -> list[str]:
        query = self.query
        children = [leaf("KeyCount", len(listing.shown))]
        if "start-after" in query:
            children.append(leaf("StartAfter", escaped(query["start-after"])))
        if "continuation-token" in query:
            children.append(leaf("ContinuationToken", query["continuation-token"]))
        if listing.truncated:
            token = self.tokens.token(self._listing(), listing.last)
            children.append(leaf("NextContinuationToken", token))
        return children


def _contents(shown: Shown, escaped: Callable[[str], str], *, with_owner: bool) -> str:
    entry = shown.entry
    if entry is None:
        return branch("CommonPrefixes", leaf("Prefix", escaped(shown.key)))
    return branch(
        "Contents",
        leaf("Key", escaped(shown.key)),
        leaf("LastModified", timestamp(entry)),
        leaf("ETag", entry.etag or EMPTY_ETAG),
        leaf("Size", entry.size),
        *([owner()] if with_owner else []),
        leaf("StorageClass", "STANDARD"),
    )


def timestamp(entry: LakeEntry) -> str:
    """When it was changed, as S3 writes it in documents."""
    moment = _BEGINNING if entry.modified_at is None else entry.modified_at
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def owner() -> str:
    """The owner of everything."""
    return branch("Owner", leaf("ID", OWNER_ID), leaf("DisplayName", "forebay"))


def most_of(query: Mapping[str, str], name: str, most: int) -> int:
    """The value of a parameter that limits a page, never more than `most`.

    Raises:
        Refusal: it is no number that a limit can be.
    """
    text = query.get(name, "")
    if not text:
        return most
    if not (text.isascii() and text.isdigit()) or len(text) > 10:  # noqa: PLR2004 - of 32 bits
        raise _bad_argument(name, f"Provided {name} not an integer or within integer range")
    return min(int(text), most)


def _bad_argument(name: str, message: str) -> Refusal:
    return Refusal("InvalidArgument", message, {"ArgumentName": name})
