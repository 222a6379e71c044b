"""The first start: the quota of the cache becomes a number, in the configuration file."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from forebay.config.kinds import Share
from forebay.config.settings import DEFAULT, Settings
from forebay.config.sources import file_values
from forebay.model.errors import BadConfiguration
from forebay.model.quantities import size_text

_MIB: Final = 1 << 20
_SECTION: Final = re.compile(r"cache:\s*(?:#.*)?")
_QUOTA: Final = re.compile(r"(\s+quota:\s*)(?:\"[^\"]*\"|'[^']*'|[^\s#]+)(.*)")


def with_quota(settings: Settings, free_bytes: int) -> Settings:
    """The settings with a quota in bytes; a share becomes what it is of `free_bytes`.

    What it comes to is written into the configuration file, so that the quota stays the same while
    the cache fills the disk; a share that stands in the environment is not.
    `free_bytes` counts what the cache holds already as free.

    Raises:
        BadConfiguration: the file cannot be written.
    """
    share = settings.cache.quota
    if not isinstance(share, Share):
        return settings
    # Whole MiB: a person will read it.
    quota = share.of(free_bytes) // _MIB * _MIB
    origin = settings.origin("cache.quota")
    is_in_file = origin.startswith(f"{settings.file}:")
    if origin == DEFAULT or is_in_file:
        origin = _write(settings.file, size_text(quota))
    cache = replace(settings.cache, quota=quota)
    return replace(
        settings,
        sections=replace(settings.sections, cache=cache),
        origins={**settings.origins, "cache.quota": origin},
    )


def _write(file: Path, quota: str) -> str:
    """Write the quota into the file, whole or not at all; the origin it then has."""
    aside = file.with_name(f".{file.name}.new")
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        number = _place(lines, quota)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as writing:
            aside.chmod(file.stat().st_mode & 0o777 if file.exists() else 0o600)
            writing.write("\n".join(lines) + "\n")
            writing.flush()
            os.fsync(writing.fileno())
        _check_nothing_else_changed(file, aside, quota)
        aside.rename(file)
    except OSError as error:
        raise BadConfiguration(
            file, f"cache.quota: {quota} cannot be written into it: {error.strerror}"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return f"{file}:{number}"


def _check_nothing_else_changed(file: Path, aside: Path, quota: str) -> None:
    before = {name: given.value for name, given in file_values(file).items()}
    try:
        after = {name: given.value for name, given in file_values(aside).items()}
    except BadConfiguration:
        after = {}
    # YAML has more forms than a line-wise change knows: `"cache": {}`, anchors, documents.
    before.pop("cache", None)
    if after != {**before, "cache.quota": quota}:
        raise BadConfiguration(
            file, f"is not laid out so that the quota can be added; add cache.quota: {quota}"
        )


def _place(lines: list[str], quota: str) -> int:
    """Put the quota where it belongs in the lines of a YAML file; the number of its line."""
    section = next((n for n, line in enumerate(lines) if _SECTION.fullmatch(line)), None)
    if section is None:
        lines += ["cache:", f"  quota: {quota}"]
        return len(lines)
    number = section + 1
    while number < len(lines) and (not lines[number].strip() or lines[number][0] in " \t#"):
        match = _QUOTA.fullmatch(lines[number])
        if match is not None:
            lines[number] = f"{match[1]}{quota}{match[2]}"
            return number + 1
        number += 1
    first = next((line for line in lines[section + 1 : number] if line.strip(" \t#")), "  quota")
    indentation = first[: len(first) - len(first.lstrip())] or "  "
    lines.insert(section + 1, f"{indentation}quota: {quota}")
    return section + 2
