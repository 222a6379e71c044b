"""The kinds of value that settings have: how each is read, and how it is written."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, ValidationInfo

from forebay.model.errors import BadOption, BadUri
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


def _size(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("no size")  # noqa: TRY004 - what pydantic asks for
    try:
        return size_of(str(value))
    except BadOption as error:
        raise ValueError("no size") from error


def _quota(value: object) -> object:
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return _size(value)
    if not 0 < int(match[1]) <= _ALL:
        raise ValueError("no share")
    return Share(int(match[1]))


def _count(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    # YAML's `yes` is a truth, which Python takes for a 1.
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("no count")
    return value


def _port(value: object) -> object:
    port = _count(value)
    if not isinstance(port, int) or port > _HIGHEST_PORT:
        raise ValueError("no port")
    return port


def _flag(value: object) -> object:
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise ValueError("no flag")  # noqa: TRY004 - what pydantic asks for
    return value


def _text(value: object) -> object:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("no text")
    return value


def directory_of(value: object, home: str) -> Path:
    """The absolute path that `value` says; `~` is `home`. Raises ValueError."""
    if isinstance(value, Path):
        return value
    text = str(_text(value))
    if text == "~" or text.startswith("~/"):
        text = f"{home}{text[1:]}"
    if not text.startswith("/"):
        raise ValueError("no absolute path")
    return Path(text)


def _path(value: object, info: ValidationInfo) -> object:
    return directory_of(value, info.context["home"] if isinstance(info.context, dict) else "")


def _paths(value: object) -> object:
    # In the environment: as in PATH.
    return value.split(":") if isinstance(value, str) else value


def _sync(value: object) -> object:
    try:
        return sync_of(str(_text(value)))
    except BadOption as error:
        raise ValueError("no sync") from error


def _uri(value: object) -> object:
    try:
        return str(store_uri(str(_text(value))))
    except BadUri as error:
        raise ValueError(error.reason) from error


def _source(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str) and value.startswith("env:"):
        return _text(value)
    return str(_path(value, info))


Size = Annotated[int, BeforeValidator(_size)]
Quota = Annotated[int | Share, BeforeValidator(_quota)]
Count = Annotated[int, BeforeValidator(_count)]
Port = Annotated[int, BeforeValidator(_port)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str, BeforeValidator(_text)]
Directory = Annotated[Path, BeforeValidator(_path)]
Directories = Annotated[tuple[Directory, ...], BeforeValidator(_paths)]
Freshness = Annotated[Sync, BeforeValidator(_sync)]
Uri = Annotated[str, BeforeValidator(_uri)]
KeySource = Annotated[str, BeforeValidator(_source)]


def shown(value: object) -> str:
    """The value as it may be shown to anybody: passwords in URLs are masked."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple() | list():
            return ":".join(shown(item) for item in value)
        case _:
            return _PASSWORD.sub(r"\1***@", str(value))


def size_shown(value: object) -> str:
    """A size as a person would write it."""
    return size_text(value) if isinstance(value, int) else shown(value)


def is_loopback(host: str) -> bool:
    """Whether only this host can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
