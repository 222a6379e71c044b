"""The support bundle: what somebody else needs to see, without secrets."""

import io
import json
import platform
import re
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Protocol

from forebay.model.errors import NoRoom

TAIL_BYTES: Final = 256 << 10
LIBRARIES: Final = (
    "forebay",
    "obstore",
    "hdfs-native",
    "lmdb",
    "uvicorn",
    "uvloop",
    "httptools",
    "sqlalchemy",
)
# Logs hold no secrets by design; what looks like one is masked all the same.
_SECRET: Final = re.compile(
    r"(?i)((?:secret|password|token|signature|authorization)[a-z_\-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"',&]+"
)


class Setting(Protocol):
    """A setting as it may be shown."""

    @property
    def name(self) -> str:
        """Its dotted name."""
        ...

    @property
    def shown(self) -> str:
        """Its value, masked if it is a secret."""
        ...

    @property
    def origin(self) -> str:
        """Where it comes from."""
        ...


def write_bundle(
    place: Path, findings: Sequence[Mapping[str, Any]], settings: Iterable[Setting], logs: Path
) -> None:
    """Write findings, settings, versions and the ends of the logs as a .tar.gz at `place`."""
    parts = {
        "findings.json": json.dumps(list(findings), indent=2, default=str),
        "settings.json": json.dumps([[s.name, s.shown, s.origin] for s in settings], indent=2),
        "versions.json": json.dumps(_versions(), indent=2),
    }
    for log in sorted(logs.glob("*.jsonl")) if logs.is_dir() else []:
        parts[f"logs/{log.name}"] = _tail(log)
    try:
        with tarfile.open(place, "w:gz") as archive:
            for name, text in parts.items():
                _add(archive, name, masked(text))
    except OSError as error:
        raise NoRoom(place, f"the bundle cannot be written: {error.strerror}") from error


def masked(text: str) -> str:
    """`text` with everything that looks like a secret replaced."""
    return _SECRET.sub(r"\1***", text)


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(f"forebay-bundle/{name}")
    entry.size = len(content)
    entry.mode = 0o600
    archive.addfile(entry, io.BytesIO(content))


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def _versions() -> dict[str, str]:
    found = {"python": sys.version, "kernel": platform.release()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found
