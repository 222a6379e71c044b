"""Lake paths and store keys: the two kinds of name, which never mix.

A `LakePath` is absolute (`/onprem/sales/a.parquet`); a `StoreKey` is where the same file is inside
one store (`sales/a.parquet`). Both are normalised text: equal names are equal strings.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from forebay.model.errors import BadPath

LONGEST_NAME: Final = 480
"""Bytes of a name that the index can remember (an LMDB key has 511, 8 are the directory's)."""

OURS: Final = ".forebay"
"""The directory name that belongs to Forebay: hidden and refused at every depth."""


# C0, DEL and C1 control characters and lone surrogates: none is ever meant, and each is misread by
# some tool. One search over the whole text, because listings ask for every name.
_FORBIDDEN: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
_SUSPECT_PART: Final = re.compile(r"(?:^|/)(?:\.{0,2}|\.forebay)(?:/|$)")


def fault_of_key(text: str) -> str | None:
    """Why `text` can be no store key, or None.

    For names that a store lists: those with a fault are passed over and counted.
    """
    if text == "":
        return None
    if _FORBIDDEN.search(text) is not None:
        return "has a control character, or is not UTF-8"
    if _SUSPECT_PART.search(text) is not None:
        return f"has an empty part, '.', '..' or {OURS!r}, which belongs to Forebay"
    # A letter has at most four bytes: short texts need no encoding to know that they fit.
    if len(text) * 4 > LONGEST_NAME and any(
        len(name.encode()) > LONGEST_NAME for name in text.split("/")
    ):
        return f"has a name of more than {LONGEST_NAME} bytes"
    return None


@dataclass(frozen=True, slots=True, order=True)
class StoreKey:
    """Where a file is inside one store: no leading or trailing slash, no '..'; '' is the root."""

    text: str

    def __post_init__(self) -> None:
        fault = fault_of_key(self.text)
        if fault is not None:
            raise BadPath(self.text, fault)

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> "StoreKey":
        """The key of `name` (one or several parts) below this one."""
        if name == "":
            return self
        return StoreKey(f"{self.text}/{name}" if self.text else name)

    @property
    def is_root(self) -> bool:
        """Whether this is the root of the store."""
        return self.text == ""

    @property
    def name(self) -> str:
        """The last part; '' for the root."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self) -> "StoreKey":
        """The directory it is in; the root is its own parent."""
        return StoreKey(self.text.rpartition("/")[0])

    def is_under(self, other: "StoreKey") -> bool:
        """Whether it is `other`, or inside it."""
        return other.is_root or self.text == other.text or self.text.startswith(other.text + "/")

    def below(self, other: "StoreKey") -> str:
        """The text that leads from `other` to this key; '' when they are equal.

        Raises:
            BadPath: it is not under `other`.
        """
        if not self.is_under(other):
            raise BadPath(self.text, f"is not under {other.text!r}")
        return self.text if other.is_root else self.text[len(other.text) + 1 :]


@dataclass(frozen=True, slots=True, order=True)
class LakePath:
    """A name in the one namespace: absolute, normalised; '/' is the root."""

    text: str

    def __post_init__(self) -> None:
        if self.text == "/":
            return
        if not self.text.startswith("/"):
            raise BadPath(self.text, "is not absolute")
        fault = fault_of_key(self.text[1:])
        if fault is not None:
            raise BadPath(self.text, fault)

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> "LakePath":
        """The path of `name` (one or several parts) below this one."""
        if name == "":
            return self
        return LakePath(f"/{name}" if self.is_root else f"{self.text}/{name}")

    @property
    def is_root(self) -> bool:
        """Whether this is '/'."""
        return self.text == "/"

    @property
    def name(self) -> str:
        """The last part; '' for the root."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self) -> "LakePath":
        """The directory it is in; the root is its own parent."""
        return LakePath(self.text.rpartition("/")[0] or "/")

    @property
    def parts(self) -> tuple[str, ...]:
        """The names that lead to it, from the root."""
        return () if self.is_root else tuple(self.text[1:].split("/"))

    def is_under(self, other: "LakePath") -> bool:
        """Whether it is `other`, or inside it."""
        return other.is_root or self.text == other.text or self.text.startswith(other.text + "/")

    def below(self, other: "LakePath") -> str:
        """The text that leads from `other` to this path; '' when they are equal.

        Raises:
            BadPath: it is not under `other`.
        """
        if not self.is_under(other):
            raise BadPath(self.text, f"is not under {other.text}")
        return self.text[1:] if other.is_root else self.text[len(other.text) + 1 :]

    def parents(self) -> Iterator["LakePath"]:
        """The directories it is in, the nearest first, the root last."""
        here = self
        while not here.is_root:
            here = here.parent
            yield here


ROOT: Final = LakePath("/")
STORE_ROOT: Final = StoreKey("")


def lake_path(text: str) -> LakePath:
    """The lake path that a person typed: one trailing '/' is allowed.

    Raises:
        BadPath: it is none.
    """
    return LakePath(text[:-1] if len(text) > 1 and text.endswith("/") else text)


def must_be_directory(text: str) -> bool:
    """Whether the text, as typed, insists on a directory (it ends with '/')."""
    return text.endswith("/")
