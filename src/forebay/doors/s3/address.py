"""Addresses: which bucket and key a URL names, and which lake path that is.

The bucket `lake` is the whole namespace; every top-level directory whose name S3 allows for a
bucket is a bucket too.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from forebay.doors.s3.errors import Refusal
from forebay.model.errors import BadPath
from forebay.model.paths import ROOT, LakePath, lake_path

WHOLE_LAKE: Final = "lake"
"""The bucket that holds the whole namespace."""

_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BUCKET_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_IPV4: Final = re.compile(r"\d+\.\d+\.\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL names: the service (no bucket), a bucket (no key) or an object.

    `key` is as the client wrote it, `path` the lake path of it, or of the bucket.
    """

    bucket: str
    key: str
    path: LakePath

    @property
    def insists_on_directory(self) -> bool:
        """Whether the key ends with '/', which only directories answer to."""
        return self.key.endswith("/")


def is_bucket_name(name: str) -> bool:
    """Whether S3 allows `name` for a bucket."""
    return (
        _BUCKET_NAME.fullmatch(name) is not None
        and ".." not in name
        and _IPV4.fullmatch(name) is None
    )


def bucket_path(bucket: str) -> LakePath:
    """The directory that the bucket is."""
    return ROOT if bucket == WHOLE_LAKE else ROOT / bucket


def must_be_escaped_right(raw: bytes) -> None:
    """Let a part of a URL pass whose escapes are whole.

    Raises:
        Refusal: one is not.
    """
    if _BROKEN_ESCAPE.search(raw) is not None:
        raise Refusal("InvalidURI", "Couldn't parse the specified URI.")


def decoded(raw: bytes) -> str:
    """The text of an escaped part of a URL, decoded once.

    Raises:
        Refusal: an escape is broken, or it is not UTF-8.
    """
    must_be_escaped_right(raw)
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Refusal("InvalidURI", "The specified URI is not UTF-8.") from None


def address_of(raw_path: bytes) -> Address:
    """What the path of a URL names, decided before anything else looks at it.

    Raises:
        Refusal: it is no URL path, or no bucket could have that name.
        BadPath: the key can be no lake path.
    """
    if not raw_path.startswith(b"/"):
        raise Refusal("InvalidURI", "Couldn't parse the specified URI.")
    bucket, slash, key = decoded(raw_path[1:]).partition("/")
    if not bucket:
        if slash:
            raise Refusal("InvalidBucketName", "The specified bucket is not valid.")
        return Address("", "", ROOT)
    if not is_bucket_name(bucket):
        facts = {"BucketName": bucket} if bucket.isprintable() else {}
        raise Refusal("InvalidBucketName", "The specified bucket is not valid.", facts)
    return Address(bucket, key, path_of_key(bucket, key))


def path_of_key(bucket: str, key: str) -> LakePath:
    """The lake path of a key; one trailing '/' is allowed.

    Raises:
        BadPath: it can be none.
    """
    if not key:
        return bucket_path(bucket)
    if key == "/":
        raise BadPath(key, "has an empty part")
    return lake_path(f"/{key}" if bucket == WHOLE_LAKE else f"/{bucket}/{key}")


def key_of_path(bucket: str, path: LakePath) -> str:
    """The key under which the bucket shows the lake path."""
    return path.below(bucket_path(bucket))


def lake_text(raw_path: bytes) -> str | None:
    """The lake path that a URL path names when it names an object that can be a file, or None."""
    try:
        address = address_of(raw_path)
    except (Refusal, BadPath):
        return None
    if not address.key or address.insists_on_directory:
        return None
    return address.path.text
