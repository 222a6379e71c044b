"""The kinds of value that settings have: how each is read, and how it is written."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay.model.errors import BadInput, BadOption
from forebay.model.quantities import size_of, size_text
from forebay.namespace.options import Sync, sync_of
from forebay.namespace.uri import store_uri

_SHARE: Final = re.compile(r"(\d{1,3})%", re.ASCII)
_PASSWORD: Final = re.compile(r"(://[^/:@]*:)[^/]*@")
_HIGHEST_PORT: Final = 65535
_ALL: Final = 100


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the free space of a disk."""

    percent: int

    def __str__(self) -> str:
        return f"{self.percent}%"

    def of(self, free_bytes: int) -> int:
        """The bytes that are this share of `free_bytes`."""
        return free_bytes * self.percent // _ALL


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple() | list():
            return ":".join(_shown(item) for item in value)
        case _:
            return _PASSWORD.sub(r"\1***@", str(value))


def _size_shown(value: object) -> str:
    return size_text(value) if isinstance(value, int) else _shown(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    Attributes:
        expected: what a value must be, for people.
        read: makes a value of what stands in the file, or of a variable's text. Its second
            argument is the home directory. Raises BadInput.
        shown: the value as it may be shown to anybody; what is shown can be read again, but for
            passwords, which are masked.
    """

    expected: str
    read: Callable[[object, str], object]
    shown: Callable[[object], str] = _shown


def _size(value: object, _home: str) -> int:
    # YAML's `yes` is a truth, which Python takes for a 1.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadOption(value, "is no size")
    return size_of(str(value))


def _quota(value: object, home: str) -> int | Share:
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return _size(value, home)
    if not 0 < int(match[1]) <= _ALL:
        raise BadOption(value, "is no share")
    return Share(int(match[1]))


def _count(value: object, _home: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadOption(value, "is no count")
    return value


def _port(value: object, home: str) -> int:
    port = _count(value, home)
    if port > _HIGHEST_PORT:
        raise BadOption(value, "is no port")
    return port


def _flag(value: object, _home: str) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise BadOption(value, "is no flag")
    return value == "true"


def _text(value: object, _home: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise BadOption(value, "is no text")
    return value


def _path(value: object, home: str) -> Path:
    if isinstance(value, Path):
        return value
    text = _text(value, home)
    if text == "~" or text.startswith("~/"):
        text = f"{home}{text[1:]}"
    if not text.startswith("/"):
        raise BadOption(value, "is no absolute path")
    return Path(text)


def _paths(value: object, home: str) -> tuple[Path, ...]:
    # In the environment: as in PATH.
    parts = value.split(":") if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise BadOption(value, "is no list")
    return tuple(_path(part, home) for part in parts)


def _sync(value: object, home: str) -> Sync:
    return sync_of(_text(value, home))


def _uri(value: object, home: str) -> str:
    return str(store_uri(_text(value, home)))


def _key_source(value: object, home: str) -> str:
    is_variable = isinstance(value, str) and value.startswith("env:")
    return _text(value, home) if is_variable else str(_path(value, home))


SIZE: Final = Kind("a size, such as 512MiB or 20GiB", _size, _size_shown)
QUOTA: Final = Kind(
    "a size, such as 20GiB, or a share of the free space, such as 25%", _quota, _size_shown
)
COUNT: Final = Kind("a whole number", _count)
PORT: Final = Kind("a whole number from 0 to 65535", _port)
FLAG: Final = Kind("true or false", _flag)
HOST: Final = Kind("the name or address of this host", _text)
PATH: Final = Kind("an absolute path", _path)
PATHS: Final = Kind("a list of absolute paths", _paths)
SYNC: Final = Kind("never, always or a duration, such as 30s", _sync)
STORE_URI: Final = Kind("the URI of a store, such as file:///data/lake", _uri)
DATABASE_URL: Final = Kind("the URL of a database", _text)
KEY_SOURCE: Final = Kind("an absolute path, or env:NAME", _key_source)


def read(kind: Kind, value: object, home: str) -> object | None:
    """The value that `value` says, or None if it is not what is expected."""
    try:
        return kind.read(value, home)
    except BadInput:
        return None


def masked(value: object) -> str:
    """Whatever was given, as it may be shown to anybody."""
    return _shown(value)


def is_loopback(host: str) -> bool:
    """Whether only this host can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
