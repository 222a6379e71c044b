"""The sources of settings: a YAML file, with its lines, and the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from forebay.model.errors import BadConfiguration

PREFIX: Final = "FOREBAY_"
_BETWEEN: Final = "__"
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave, and where."""

    value: object = field(repr=False)
    origin: str


def file_values(path: Path) -> dict[str, Given]:
    """The values in a YAML file, by dotted name; a file that is not there has none.

    Raises:
        BadConfiguration: it cannot be read, is no YAML, or names something twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(path, f"cannot be read: {error}") from error
    try:
        return _File(path, text).values()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = path if mark is None else f"{path}:{mark.line + 1}"
        raise BadConfiguration(place, f"is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise BadConfiguration(path, f"is no YAML: {error}") from error


def environment_values(environment: Mapping[str, str], plain: frozenset[str]) -> dict[str, Given]:
    """The values in the environment, by dotted name: FOREBAY_DOORS__S3__PORT is `doors.s3.port`.

    Of the variables without a section, only those of the settings `plain` count: others of that
    form belong to somebody else.
    """
    found: dict[str, Given] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower().replace(_BETWEEN, ".")
        if _BETWEEN in variable.removeprefix(PREFIX) or name in plain:
            found[name] = Given(text, variable)
    return found


class _File:
    """A YAML file that is being read."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._loader = yaml.SafeLoader(text)
        self._found: dict[str, Given] = {}

    def values(self) -> dict[str, Given]:
        root = self._loader.get_single_node()
        if isinstance(root, yaml.MappingNode):
            self._collect(root, "", 0)
        elif root is not None:
            raise BadConfiguration(f"{self._path}:1", "is no mapping of sections to their settings")
        return self._found

    def _collect(self, node: yaml.MappingNode, above: str, depth: int) -> None:
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = f"{above}{key.value if isinstance(key, yaml.ScalarNode) else '?'}"
            line = key.start_mark.line + 1
            origin = f"{self._path}:{line}"
            if name in lines:
                raise BadConfiguration(
                    f"{origin}: {name}", f"is given twice, in line {lines[name]} too"
                )
            lines[name] = line
            # An alias may make a mapping contain itself.
            if isinstance(value, yaml.MappingNode) and depth < _DEEPEST:
                self._collect(value, f"{name}.", depth + 1)
            else:
                self._found[name] = Given(self._loader.construct_object(value, deep=True), origin)
