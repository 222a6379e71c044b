"""The options of a mount: their names, types, meanings and defaults, and the values given."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from forebay.model.errors import BadOption
from forebay.model.quantities import (
    bandwidth_of,
    duration_of,
    duration_text,
    frequency_of,
)
from forebay.namespace.uri import Scheme

T = TypeVar("T")
Value_co = TypeVar("Value_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Value_co]):
    """A type of value: its word in help texts, and how it is read. `parse` raises BadOption."""

    word: str
    parse: Callable[[str], Value_co]


@dataclass(frozen=True, slots=True)
class Option(Generic[Value_co]):
    """One option.

    Attributes:
        name: as it is typed.
        kind: the type of its value.
        meaning: for people, one line.
        default: the value when it is not given.
        secret: its value is kept encrypted and never shown.
    """

    name: str
    kind: Kind[Value_co]
    meaning: str
    default: Value_co
    secret: bool = False

    @property
    def default_text(self) -> str:
        """The default as a person would write it; '' where there is none."""
        match self.default:
            case None:
                return ""
            case timedelta() as duration:
                return duration_text(duration)
            case other:
                return str(other)


@dataclass(frozen=True, slots=True)
class Sync:
    """How old a remembered status may be; None: it is never asked for again."""

    max_age: timedelta | None

    def __str__(self) -> str:
        if self.max_age is None:
            return "never"
        return duration_text(self.max_age) if self.max_age else "always"


def sync_of(text: str) -> Sync:
    """The sync written as `never`, `always` or a duration.

    Raises:
        BadOption: it is none.
    """
    if text == "never":
        return Sync(None)
    if text == "always":
        return Sync(timedelta(0))
    try:
        return Sync(duration_of(text))
    except BadOption as error:
        raise BadOption(text, "is no sync; write it as never, always or 30s") from error


def _text(text: str) -> str:
    if not text or not text.isprintable():
        raise BadOption(text, "is empty, or has control characters")
    return text


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise BadOption(text, "is neither true nor false")
    return text == "true"


def _count(text: str) -> int:
    # Four digits: more connections than that no process has descriptors for.
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) > 0):  # noqa: PLR2004
        raise BadOption(text, "is no whole number from 1 to 9999")
    return int(text)


def _some_time(text: str) -> timedelta:
    duration = duration_of(text)
    if not duration:
        raise BadOption(text, "is no time at all; write it as 500ms, 30s or 5m")
    return duration


def _url(text: str) -> str:
    # With '@' it may hold a password, which no error repeats.
    fault = BadOption("…" if "@" in text else text, "is no http://host:port or https://host:port")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise fault from error
    is_plain = not ("@" in text or parts.query or parts.fragment or parts.path.strip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain:
        raise fault
    return text.rstrip("/")


def _directory(text: str) -> str:
    if not _text(text).startswith("/"):
        raise BadOption(text, "is no absolute path")
    return text


TEXT: Final = Kind("text", _text)
FLAG: Final = Kind("true|false", _flag)
COUNT: Final = Kind("number", _count)
DURATION: Final = Kind("duration", _some_time)
URL: Final = Kind("URL", _url)
DIRECTORY: Final = Kind("directory", _directory)
REQUESTS: Final = Kind("requests/s", frequency_of)
BANDWIDTH: Final = Kind("bytes/s", bandwidth_of)
SYNC_KIND: Final = Kind("never|always|duration", sync_of)

SYNC: Final = Option(
    "sync",
    SYNC_KIND,
    "How old a remembered status may be before the store is asked again.",
    Sync(timedelta(seconds=30)),
)
REQUEST_BUDGET: Final[Option[int | None]] = Option(
    "budget.requests", REQUESTS, "The most stat and list requests a second, such as 100/s.", None
)
BANDWIDTH_BUDGET: Final[Option[int | None]] = Option(
    "budget.bandwidth", BANDWIDTH, "The most bytes a second, such as 200MiB/s.", None
)
CONNECTION_BUDGET: Final = Option(
    "budget.connections", COUNT, "The most requests at once that read, and that write.", 64
)
DEADLINE: Final = Option(
    "budget.deadline",
    DURATION,
    "How long one answer, or the next bytes of one, may take before the store counts as away.",
    timedelta(seconds=30),
)

COMMON: Final[tuple[Option[Any], ...]] = (
    SYNC,
    REQUEST_BUDGET,
    BANDWIDTH_BUDGET,
    CONNECTION_BUDGET,
    DEADLINE,
)
"""The options of every mount."""

S3_ENDPOINT: Final[Option[str | None]] = Option(
    "endpoint", URL, "The service, if it is not AWS: http://host:port.", None
)
S3_REGION: Final[Option[str | None]] = Option(
    "region", TEXT, "The region; default: as the AWS settings of the host say.", None
)
S3_ACCESS_KEY_ID: Final[Option[str | None]] = Option(
    "access_key_id",
    TEXT,
    "The access key; default: the usual AWS chain (environment, profile, web identity, instance).",
    None,
)
S3_SECRET_ACCESS_KEY: Final[Option[str | None]] = Option(
    "secret_access_key", TEXT, "The secret of the access key.", None, secret=True
)
S3_SESSION_TOKEN: Final[Option[str | None]] = Option(
    "session_token", TEXT, "The token of temporary keys.", None, secret=True
)
S3_PATH_STYLE: Final[Option[bool | None]] = Option(
    "path_style",
    FLAG,
    "Whether the bucket stands in the path, not the host name; default: if there is an endpoint.",
    None,
)
S3_CONNECT_TIMEOUT: Final = Option(
    "connect_timeout", DURATION, "How long a connection may take.", timedelta(seconds=3)
)
S3_READ_TIMEOUT: Final = Option(
    "read_timeout", DURATION, "How long a connection may be silent.", timedelta(seconds=20)
)

HDFS_USER: Final[Option[str | None]] = Option(
    "user", TEXT, "The HDFS user; all HDFS mounts of a node use the same one.", None
)
HDFS_WEBHDFS: Final[Option[str | None]] = Option(
    "webhdfs",
    TEXT,
    "The HTTP addresses of the NameNodes, http://host:port, comma between them; or none.",
    None,
)
HDFS_CONFIGURATION: Final[Option[str | None]] = Option(
    "hadoop.conf",
    DIRECTORY,
    "The directory with core-site.xml and hdfs-site.xml; default: HADOOP_CONF_DIR.",
    None,
)
HDFS_HOME: Final[Option[str | None]] = Option(
    "home", DIRECTORY, "The directory below which `.forebay` may be made; default: the root.", None
)
HDFS_DEADLINE: Final = Option(
    "deadline", DURATION, "How long a NameNode may take to answer.", timedelta(seconds=15)
)
HDFS_STALL: Final = Option(
    "stall", DURATION, "How long a DataNode may be silent.", timedelta(seconds=20)
)

OF_SCHEME: Final[Mapping[Scheme, tuple[Option[Any], ...]]] = {
    Scheme.S3: (
        S3_ENDPOINT,
        S3_REGION,
        S3_ACCESS_KEY_ID,
        S3_SECRET_ACCESS_KEY,
        S3_SESSION_TOKEN,
        S3_PATH_STYLE,
        S3_CONNECT_TIMEOUT,
        S3_READ_TIMEOUT,
    ),
    Scheme.HDFS: (
        HDFS_USER,
        HDFS_WEBHDFS,
        HDFS_CONFIGURATION,
        HDFS_HOME,
        HDFS_DEADLINE,
        HDFS_STALL,
    ),
    Scheme.FILE: (),
}
"""The options that one kind of store has besides the common ones."""


@dataclass(frozen=True, slots=True)
class OptionValues:
    """The values of a mount's options, read. `values[S3_REGION]` has the option's own type."""

    scheme: Scheme
    _texts: Mapping[str, str] = field(repr=False)
    _values: Mapping[str, object] = field(repr=False)

    def __getitem__(self, option: Option[T]) -> T:
        if option.name not in self._values:
            return option.default
        return self._values[option.name]  # type: ignore[return-value] # parsed by the option's kind

    @property
    def store_texts(self) -> Mapping[str, str]:
        """What was given for this kind of store, as texts; durations in seconds, as in `0.5s`.

        References are followed, and the common options are left out.
        """
        names = [o.name for o in OF_SCHEME[self.scheme] if o.name in self._values]
        return {name: _plain(self._texts[name], self._values[name]) for name in names}

    @property
    def of_store(self) -> tuple[tuple[str, str], ...]:
        """All that makes one opened store differ from another of the same root. Has secrets."""
        return tuple(sorted((n, t) for n, t in self._texts.items() if n != SYNC.name))


def _plain(text: str, value: object) -> str:
    return f"{value.total_seconds():.15g}s" if isinstance(value, timedelta) else text


def known_options(scheme: Scheme) -> tuple[Option[Any], ...]:
    """All options of a mount of this kind."""
    return COMMON + OF_SCHEME[scheme]


def check_names(scheme: Scheme, names: Iterable[str]) -> None:
    """Refuse unknown options.

    Raises:
        BadOption: one is unknown; it names the nearest known one.
    """
    known = [option.name for option in known_options(scheme)]
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise BadOption(name, f"is no option of {scheme}:// mounts; {hint}")


def read_options(scheme: Scheme, texts: Mapping[str, str]) -> OptionValues:
    """The values that `texts`, in which no references are left, say.

    Raises:
        BadOption: an option is unknown, or its value is none. Secret values are not repeated.
    """
    check_names(scheme, texts)
    values: dict[str, object] = {}
    for option in known_options(scheme):
        if option.name not in texts:
            continue
        try:
            values[option.name] = option.kind.parse(texts[option.name])
        except BadOption as error:
            seen = "the value" if option.secret else repr(error.subject)
            raise BadOption(option.name, f"{seen} {error.reason}") from error
    result = OptionValues(scheme, dict(texts), values)
    _check_together(result)
    return result


def _check_together(values: OptionValues) -> None:
    has_id = values[S3_ACCESS_KEY_ID] is not None
    has_secret = values[S3_SECRET_ACCESS_KEY] is not None
    if has_id != has_secret:
        missing = S3_SECRET_ACCESS_KEY if has_id else S3_ACCESS_KEY_ID
        raise BadOption(missing.name, "is missing: access key and secret are given together")
    if values[S3_SESSION_TOKEN] is not None and not has_id:
        raise BadOption(S3_SESSION_TOKEN.name, "is given without the access key it belongs to")
