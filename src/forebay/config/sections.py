"""The sections of the settings: names, kinds, meanings and defaults, in one table of classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from forebay.config.kinds import (
    Count,
    Directories,
    Directory,
    Flag,
    Freshness,
    KeySource,
    Port,
    Quota,
    Share,
    Size,
    Text,
    Uri,
    shown,
    size_shown,
)
from forebay.namespace.options import Sync

_A_SIZE: Final = "a size, such as 512MiB or 20GiB"
_A_PATH: Final = "an absolute path"
_A_PORT: Final = "a whole number from 0 to 65535"
_A_FLAG: Final = "true or false"
_A_HOST: Final = "the name or address of this host"


def _setting(default: object, meaning: str, expected: str, *, in_repr: bool = True) -> Any:  # noqa: ANN401 - as pydantic's Field
    extra: dict[str, Any] = {"expected": expected, "is_size": expected.startswith(_A_SIZE)}
    return Field(default, description=meaning, json_schema_extra=extra, repr=in_repr)


class Section(BaseModel):
    """Settings that belong together. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Door(Section):
    """Where a door listens, and how it is secured."""

    host: Text = _setting("127.0.0.1", "The address to listen on.", _A_HOST)
    port: Port = _setting(0, "The port to listen on; 0: a free one.", _A_PORT)
    tls_certificate: Directory | None = _setting(
        None, "The file with the certificate chain, in PEM.", _A_PATH
    )
    tls_key: Directory | None = _setting(
        None, "The file with the certificate's private key, in PEM.", _A_PATH
    )
    allow_plaintext: Flag = _setting(
        default=False,
        meaning="Whether hosts other than this one may be served without TLS.",
        expected=_A_FLAG,
    )

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.tls_certificate is not None


class S3Door(Door):
    """The S3 door."""

    port: Port = _setting(7480, "The port to listen on; 0: a free one.", _A_PORT)


class AdminDoor(Door):
    """The admin API over HTTP; on its UNIX socket it is always there."""

    port: Port = _setting(7470, "The port to listen on; 0: a free one.", _A_PORT)


class Doors(Section):
    """The doors."""

    s3: S3Door = Field(default_factory=S3Door)
    admin: AdminDoor = Field(default_factory=AdminDoor)


class Cache(Section):
    """The cached bytes on this host."""

    directory: Directory = _setting(None, "Where they lie; default: `shelf` in `data`.", _A_PATH)
    quota: Quota = _setting(
        Share(25),
        "The most bytes they take. A share is of the free space; at the first start it is "
        "replaced, in the file, by what it comes to.",
        f"{_A_SIZE}, or a share of the free space, such as 25%",
    )
    reserve: Size = _setting(
        1 << 30, "Free space on the disk that is left alone, whatever the quota says.", _A_SIZE
    )

    @property
    def reserve_bytes(self) -> int:
        """Free space on the disk that is left alone."""
        return self.reserve


class Metadata(Section):
    """What is remembered of the stores."""

    max_bytes: Size = _setting(2 << 30, "The most bytes that remembered statuses take.", _A_SIZE)
    sync: Freshness = _setting(
        Sync(timedelta(seconds=30)),
        "How old a remembered status may be, for mounts without an option `sync`.",
        "never, always or a duration, such as 30s",
    )


class StoreFiles(Section):
    """Directories of this host as stores."""

    allow: Directories = _setting(
        (),
        "Directories below which `file://` URIs may be mounted; none: none may.",
        "a list of absolute paths",
    )


class Stores(Section):
    """What may be mounted."""

    file: StoreFiles = Field(default_factory=StoreFiles)


class State(Section):
    """The durable memory: mounts, keys, secrets."""

    url: Text = _setting(
        None,
        "`sqlite:///<path>` or `postgresql://user:password@host/name`; "
        "default: SQLite in `data`, `state/state.db`.",
        "the URL of a database",
        in_repr=False,
    )
    master_key: KeySource = _setting(
        None,
        "The file with the key that seals stored secrets, or env:NAME; "
        "default: `master.key` in `data`, made at the first start.",
        "an absolute path, or env:NAME",
    )


class Logs(Section):
    """The logs, the access log and the audit log."""

    directory: Directory = _setting(None, "Where they lie; default: `logs` in `data`.", _A_PATH)
    max_bytes: Size = _setting(
        64 << 20, "The size at which a log file is put aside and a new one begun.", _A_SIZE
    )
    files: Count = _setting(
        8, "How many files of each log that were put aside are kept.", "a whole number"
    )


class Root(Section):
    """The root of the lake."""

    uri: Uri | None = _setting(
        None,
        "The store at `/`; without one the root is read-only and holds mounts.",
        "the URI of a store, such as file:///data/lake",
    )


class Sections(Section):
    """All settings."""

    data: Directory = _setting(
        Path("~/.local/share/forebay"), "The directory of all that a node keeps.", _A_PATH
    )
    credentials: Directory = _setting(
        Path("~/.config/forebay/credentials"),
        "The file, in the form of AWS profiles, that new access keys are written to.",
        _A_PATH,
    )
    doors: Doors = Field(default_factory=Doors)
    cache: Cache
    metadata: Metadata = Field(default_factory=Metadata)
    stores: Stores = Field(default_factory=Stores)
    state: State
    logs: Logs
    root: Root = Field(default_factory=Root)


@dataclass(frozen=True, slots=True)
class SettingKind:
    """A setting that there is.

    Attributes:
        name: its dotted name.
        meaning: for people.
        expected: what its value must be, for people.
        default: its value when it is not given.
        is_size: whether it is a number of bytes.
    """

    name: str
    meaning: str
    expected: str
    default: object
    is_size: bool

    def shown(self, value: object) -> str:
        """A value of it, as it may be shown to anybody."""
        return size_shown(value) if self.is_size else shown(value)


def every_setting() -> tuple[SettingKind, ...]:
    """All settings there are, in the order of the sections."""
    return tuple(_walk(Sections, ""))


def section_names() -> frozenset[str]:
    """The dotted names of the sections."""
    names = {s.name.rpartition(".")[0] for s in every_setting()}
    return frozenset(names | {name.partition(".")[0] for name in names}) - {""}


def _walk(section: type[Section], above: str) -> Iterator[SettingKind]:
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _walk(kind, f"{above}{name}.")
            continue
        extra = info.json_schema_extra
        said = extra if isinstance(extra, dict) else {}
        yield SettingKind(
            f"{above}{name}",
            info.description or "",
            str(said["expected"]),
            info.default,
            bool(said["is_size"]),
        )
