"""The sections of the settings: names, kinds, meanings and defaults, in one table of classes."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from forebay.config.kinds import (
    COUNT,
    DATABASE_URL,
    FLAG,
    HOST,
    KEY_SOURCE,
    PATH,
    PATHS,
    PORT,
    QUOTA,
    SIZE,
    STORE_URI,
    SYNC,
    Kind,
    Share,
)
from forebay.namespace.options import Sync

_DEFAULT_QUOTA: Final = Share(25)
_DEFAULT_SYNC: Final = Sync(timedelta(seconds=30))


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a setting: the kind of its value, and its meaning, for people."""

    kind: Kind
    meaning: str


@dataclass(frozen=True, slots=True)
class Door:
    """Where a door listens, and how it is secured."""

    host: Annotated[str, Said(HOST, "The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Said(PORT, "The port to listen on; 0: a free one.")] = 0
    tls_certificate: Annotated[
        Path | None, Said(PATH, "The file with the certificate chain, in PEM.")
    ] = None
    tls_key: Annotated[
        Path | None, Said(PATH, "The file with the certificate's private key, in PEM.")
    ] = None
    allow_plaintext: Annotated[
        bool, Said(FLAG, "Whether hosts other than this one may be served without TLS.")
    ] = False

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.tls_certificate is not None


@dataclass(frozen=True, slots=True)
class S3Door(Door):
    """The S3 door."""

    port: Annotated[int, Said(PORT, "The port to listen on; 0: a free one.")] = 7480


@dataclass(frozen=True, slots=True)
class AdminDoor(Door):
    """The admin API over HTTP; on its UNIX socket it is always there."""

    port: Annotated[int, Said(PORT, "The port to listen on; 0: a free one.")] = 7470


@dataclass(frozen=True, slots=True)
class Doors:
    """The doors."""

    s3: S3Door
    admin: AdminDoor


@dataclass(frozen=True, slots=True)
class Cache:
    """The cached bytes on this host."""

    directory: Annotated[Path, Said(PATH, "Where they lie; default: `shelf` in `data`.")]
    quota: Annotated[
        int | Share,
        Said(
            QUOTA,
            "The most bytes they take. A share is of the free space; at the first start it is "
            "replaced, in the file, by what it comes to.",
        ),
    ] = _DEFAULT_QUOTA
    reserve: Annotated[
        int, Said(SIZE, "Free space on the disk that is left alone, whatever the quota says.")
    ] = 1 << 30

    @property
    def reserve_bytes(self) -> int:
        """Free space on the disk that is left alone."""
        return self.reserve


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is remembered of the stores."""

    max_bytes: Annotated[int, Said(SIZE, "The most bytes that remembered statuses take.")] = 2 << 30
    sync: Annotated[
        Sync, Said(SYNC, "How old a remembered status may be, for mounts without an option `sync`.")
    ] = _DEFAULT_SYNC


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """Directories of this host as stores."""

    allow: Annotated[
        tuple[Path, ...],
        Said(PATHS, "Directories below which `file://` URIs may be mounted; none: none may."),
    ] = ()


@dataclass(frozen=True, slots=True)
class Stores:
    """What may be mounted."""

    file: StoreFiles


@dataclass(frozen=True, slots=True)
class State:
    """The durable memory: mounts, keys, secrets."""

    url: Annotated[
        str,
        Said(
            DATABASE_URL,
            "`sqlite:///<path>` or `postgresql://user:password@host/name`; "
            "default: SQLite in `data`, `state/state.db`.",
        ),
    ] = field(repr=False)
    master_key: Annotated[
        str,
        Said(
            KEY_SOURCE,
            "The file with the key that seals stored secrets, or env:NAME; "
            "default: `master.key` in `data`, made at the first start.",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs, the access log and the audit log."""

    directory: Annotated[Path, Said(PATH, "Where they lie; default: `logs` in `data`.")]
    max_bytes: Annotated[
        int, Said(SIZE, "The size at which a log file is put aside and a new one begun.")
    ] = 64 << 20
    files: Annotated[
        int, Said(COUNT, "How many files of each log that were put aside are kept.")
    ] = 8


@dataclass(frozen=True, slots=True)
class Root:
    """The root of the lake."""

    uri: Annotated[
        str | None,
        Said(STORE_URI, "The store at `/`; without one the root is read-only and holds mounts."),
    ] = None


@dataclass(frozen=True, slots=True)
class Sections:
    """All settings."""

    data: Annotated[
        Path,
        Said(PATH, "The directory of all that a node keeps; default: `~/.local/share/forebay`."),
    ]
    credentials: Annotated[
        Path,
        Said(
            PATH,
            "The file, in the form of AWS profiles, that new access keys are written to; "
            "default: `~/.config/forebay/credentials`.",
        ),
    ]
    doors: Doors
    cache: Cache
    metadata: Metadata
    stores: Stores
    state: State
    logs: Logs
    root: Root


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that there is.

    Attributes:
        name: its dotted name.
        kind: the kind of its value.
        meaning: for people.
        default: its value when it is not given; MISSING if that hangs on other settings.
    """

    name: str
    kind: Kind
    meaning: str
    default: object

    @property
    def default_text(self) -> str:
        """The default as a person would write it; '' where there is none of its own."""
        return "" if self.default is MISSING else self.kind.shown(self.default)


def every_setting() -> tuple[Setting, ...]:
    """All settings there are, in the order of the sections."""
    return tuple(_walk(Sections, ""))


def section_names() -> frozenset[str]:
    """The dotted names of the sections."""
    names = {setting.name.rpartition(".")[0] for setting in every_setting()}
    return frozenset(names | {name.partition(".")[0] for name in names}) - {""}


def built(values: Mapping[str, object]) -> Sections:
    """The sections with these values, by dotted name; the others have their defaults."""
    sections: Sections = _built(Sections, "", values)
    return sections


def _walk(section: type[Any], above: str) -> Iterator[Setting]:
    for part in fields(section):
        name = f"{above}{part.name}"
        said = _said(part)
        if said is None:
            yield from _walk(_section(part), f"{name}.")
        else:
            yield Setting(name, said.kind, said.meaning, part.default)


def _built(section: type[Any], above: str, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - a section
    parts: dict[str, object] = {}
    for part in fields(section):
        name = f"{above}{part.name}"
        if _said(part) is None:
            parts[part.name] = _built(_section(part), f"{name}.", values)
        elif name in values:
            parts[part.name] = values[name]
    return section(**parts)


def _said(part: Field[Any]) -> Said | None:
    """What is said of a setting; None for a section."""
    return next((said for said in get_args(part.type) if isinstance(said, Said)), None)


def _section(part: Field[Any]) -> type[Any]:
    if not isinstance(part.type, type):
        raise TypeError(f"{part.name} is neither a setting nor a section")
    return part.type
