"""The URI of a store: which store, and where in it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forebay.model.errors import BadPath, BadUri
from forebay.model.paths import STORE_ROOT, StoreKey

_FORM: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(/.*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)

_LATER: Final = frozenset({"webhdfs", "swebhdfs", "gs", "gcs", "az", "abfs", "abfss", "wasb"})
_OTHER_WORDS: Final = {"s3a": "s3", "s3n": "s3"}


class Scheme(StrEnum):
    """A kind of store."""

    HDFS = "hdfs"
    S3 = "s3"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class StoreUri:
    """A parsed URI. Nothing in it is escaped: a `%` is a `%`, as Hadoop and the AWS tools have it.

    Attributes:
        scheme: the kind of store.
        authority: host and port, a nameservice ('': the default one), or a bucket; '' for files.
        path: the directory, for files: absolute, normalised; else ''.
        key: where in the store.
    """

    scheme: Scheme
    authority: str
    path: str
    key: StoreKey

    def __str__(self) -> str:
        slash = "" if self.key.is_root else "/"
        return f"{self.root}{slash}{self.key}"

    @property
    def root(self) -> str:
        """The URI of the store's root. A mounted directory of files is a store of its own."""
        return f"{self.scheme}://{self.authority}{self.path}"


def store_uri(text: str) -> StoreUri:
    """The URI that a person typed: one trailing '/' is allowed.

    Raises:
        BadUri: it names no store that can be mounted.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadUri(_without_credentials(text), "is no URI of a store")
    scheme = _scheme(match[1].lower(), text)
    authority, path = match[2], match[3] or ""
    if "@" in authority:
        raise BadUri(
            _without_credentials(text),
            "names a user; users and keys are options of the mount, so that no list shows them",
        )
    key = _key(path, text)
    _check_authority(scheme, authority, text)
    if scheme is Scheme.FILE:
        return StoreUri(scheme, "", f"/{key}", STORE_ROOT)
    return StoreUri(scheme, authority, "", key)


def _scheme(word: str, text: str) -> Scheme:
    if word in {scheme.value for scheme in Scheme}:
        return Scheme(word)
    if word in _OTHER_WORDS:
        raise BadUri(text, f"is written {_OTHER_WORDS[word]}:// here")
    if word in _LATER:
        raise BadUri(text, f"{word}:// stores cannot be mounted yet")
    if word == "union":
        raise BadUri(text, "union:// stores cannot be mounted yet; mount their members one by one")
    raise BadUri(_without_credentials(text), f"there is no kind of store called {word!r}")


def _key(path: str, text: str) -> StoreKey:
    try:
        return StoreKey(path.removeprefix("/").removesuffix("/"))
    except BadPath as error:
        raise BadUri(text, f"its path {error.reason}") from error


def _check_authority(scheme: Scheme, authority: str, text: str) -> None:
    match scheme:
        case Scheme.FILE:
            if authority:
                raise BadUri(text, "names a host; files are on this one: file:///path")
        case Scheme.S3:
            if _BUCKET.fullmatch(authority) is None:
                raise BadUri(text, f"{authority!r} is no bucket name")
        case Scheme.HDFS:
            # Without an authority it is the `fs.defaultFS` of Hadoop's own configuration.
            if authority and not _is_host(authority):
                raise BadUri(text, f"{authority!r} is no host:port and no nameservice")


def _is_host(authority: str) -> bool:
    if _AUTHORITY.fullmatch(authority) is None:
        return False
    _, colon, port = authority.rpartition(":")
    return not (colon and port.isdigit()) or 0 < int(port) < 1 << 16


def _without_credentials(text: str) -> str:
    return re.sub(r"//[^/]*@", "//…@", text)
