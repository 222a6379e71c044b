"""The settings: what is in force, and where each value is from."""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forebay.config.kinds import is_loopback, masked, read
from forebay.config.sections import (
    Cache,
    Door,
    Doors,
    Logs,
    Metadata,
    Root,
    Sections,
    State,
    Stores,
    built,
    every_setting,
    section_names,
)
from forebay.config.sources import PREFIX, Given, environment_values, file_values
from forebay.model.errors import BadConfiguration

DEFAULT: Final = "default"
"""The origin of what nobody gave."""


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as it may be shown to anybody."""

    name: str
    shown: str
    origin: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings in force. `file` is the configuration file, which may not be there."""

    sections: Sections
    origins: Mapping[str, str]
    file: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def data(self) -> Path:
        """The directory of all that a node keeps."""
        return self.sections.data

    @property
    def credentials(self) -> Path:
        """The file that new access keys are written to."""
        return self.sections.credentials

    @property
    def doors(self) -> Doors:
        """The doors."""
        return self.sections.doors

    @property
    def cache(self) -> Cache:
        """The cached bytes on this host."""
        return self.sections.cache

    @property
    def metadata(self) -> Metadata:
        """What is remembered of the stores."""
        return self.sections.metadata

    @property
    def stores(self) -> Stores:
        """What may be mounted."""
        return self.sections.stores

    @property
    def state(self) -> State:
        """The durable memory."""
        return self.sections.state

    @property
    def logs(self) -> Logs:
        """The logs."""
        return self.sections.logs

    @property
    def root(self) -> Root:
        """The root of the lake."""
        return self.sections.root

    def origin(self, name: str) -> str:
        """Where the value of `name` is from: `file:line`, a variable, an option, or `default`."""
        return self.origins.get(name, DEFAULT)

    def described(self) -> tuple[Described, ...]:
        """All settings with value and origin; passwords are masked."""
        return tuple(
            Described(
                setting.name,
                setting.kind.shown(self._value(setting.name)),
                self.origin(setting.name),
                setting.meaning,
            )
            for setting in every_setting()
        )

    def warnings(self) -> tuple[str, ...]:
        """What a person should know of these settings, in whole sentences."""
        return tuple(
            f"The {name} door listens on {door.host} without TLS: who can read the network can "
            "read the files."
            for name, door in _doors(self.sections)
            if not is_loopback(door.host) and not door.is_secure
        )

    def _value(self, name: str) -> object:
        value: object = self.sections
        for part in name.split("."):
            value = getattr(value, part)
        return value


def load_settings(
    file: Path | None = None,
    *,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force: defaults, under the file, under the environment, under `data`.

    Args:
        file: the YAML file; None: what FOREBAY_CONFIG names, else
            `~/.config/forebay/forebay.yaml`. One that is named must be there.
        data: the directory of all that the node keeps, as given on the command line.
        environment: None: that of the process.

    Raises:
        BadConfiguration: names file and line, or variable; the setting; and what was expected.
    """
    variables = dict(os.environ if environment is None else environment)
    home = variables.get("HOME") or str(Path("~").expanduser())
    path = _file(file, variables, home)
    plain = frozenset(setting.name for setting in every_setting() if "." not in setting.name)
    given = {**file_values(path), **environment_values(variables, plain)}
    if data is not None:
        given["data"] = Given(Path(os.path.abspath(data)), "--data")  # noqa: PTH100 - links stay
    _refuse_unknown(given)
    sections = _read(given, home)
    settings = Settings(
        sections, {name: value.origin for name, value in given.items()}, path, variables
    )
    _check_doors(settings)
    return settings


def _file(file: Path | None, variables: Mapping[str, str], home: str) -> Path:
    named = file
    if named is None and variables.get(f"{PREFIX}CONFIG"):
        named = Path(variables[f"{PREFIX}CONFIG"])
    if named is None:
        return Path(home, ".config", "forebay", "forebay.yaml")
    if not named.is_file():
        raise BadConfiguration(named, "there is no such configuration file")
    return named.absolute()


def _refuse_unknown(given: Mapping[str, Given]) -> None:
    known = [setting.name for setting in every_setting()]
    sections = section_names()
    for name, value in given.items():
        if name in known or (name in sections and value.value is None):
            continue
        subject = f"{value.origin}: {name}"
        if name in sections:
            raise BadConfiguration(subject, "is a section; its settings stand below it")
        near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadConfiguration(subject, f"is no setting{hint}")


def _read(given: Mapping[str, Given], home: str) -> Sections:
    settings = {setting.name: setting for setting in every_setting()}
    values: dict[str, object] = {}
    for name, value in given.items():
        setting = settings.get(name)
        # Where nothing is the default, nothing may be said too.
        if setting is None or (value.value is None and setting.default is None):
            continue
        values[name] = read(setting.kind, value.value, home)
        if values[name] is None:
            seen = "nothing" if value.value is None else repr(masked(value.value))
            raise BadConfiguration(
                f"{value.origin}: {name}", f"{seen} is not {setting.kind.expected}"
            )
    data = values.get("data", Path(home, ".local", "share", "forebay"))
    return built({**_hanging(Path(str(data)), home), **values})


def _hanging(data: Path, home: str) -> dict[str, object]:
    """The defaults that hang on other settings."""
    return {
        "data": data,
        "credentials": Path(home, ".config", "forebay", "credentials"),
        "cache.directory": data / "shelf",
        "logs.directory": data / "logs",
        "state.url": f"sqlite:///{data / 'state' / 'state.db'}",
        "state.master_key": str(data / "master.key"),
    }


def _doors(sections: Sections) -> Iterator[tuple[str, Door]]:
    yield "s3", sections.doors.s3
    yield "admin", sections.doors.admin


def _check_doors(settings: Settings) -> None:
    for name, door in _doors(settings.sections):
        if (door.tls_certificate is None) != (door.tls_key is None):
            missing = "tls_key" if door.tls_key is None else "tls_certificate"
            raise BadConfiguration(
                f"doors.{name}.{missing}", "is missing: certificate and key are given together"
            )
        if is_loopback(door.host) or door.is_secure or door.allow_plaintext:
            continue
        setting = f"doors.{name}.host"
        raise BadConfiguration(
            f"{settings.origin(setting)}: {setting}",
            f"{door.host!r} can be reached by other hosts: give doors.{name}.tls_certificate and "
            f"doors.{name}.tls_key, or set doors.{name}.allow_plaintext: true",
        )
