"""The credentials file: access keys as AWS profiles, for their owner alone."""

import configparser
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from forebay.model.errors import BadConfiguration, BadOption

_NAME: Final = re.compile(r"[A-Za-z0-9._@+-]{1,64}", re.ASCII)


def has_profile(file: Path, profile: str) -> bool:
    """Whether `[profile]` stands in the file already.

    Raises:
        BadConfiguration: the file cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(file, f"cannot be read: {error}") from error
    return any(line.strip() == f"[{profile}]" for line in lines)


def write_profile(file: Path, profile: str, key: Mapping[str, object], secret: str) -> Path:
    """Write a key into `file`, whole or not at all; a profile of that name is replaced.

    Args:
        file: the credentials file; the other profiles in it stay as they are.
        profile: its name.
        key: `key_id`, and `endpoint` if clients should know it.
        secret: the secret of the key.

    Raises:
        BadOption: the profile's name is none.
        BadConfiguration: the file cannot be read or written.
    """
    if _NAME.fullmatch(profile) is None:
        raise BadOption(profile, "is no name of a profile: letters, digits and ._@+- are")
    lines = [
        f"[{profile}]",
        f"aws_access_key_id = {key['key_id']}",
        f"aws_secret_access_key = {secret}",
    ]
    if key.get("endpoint"):
        lines.append(f"endpoint_url = {key['endpoint']}")
    try:
        kept = _others(file, profile)
        _replace(file, "\n".join([*kept, *([""] if kept else []), *lines]) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(file, f"cannot be written: {error}") from error
    return file


def _others(file: Path, profile: str) -> list[str]:
    """The lines of all other profiles."""
    if not file.exists():
        return []
    kept: list[str] = []
    is_other = True
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("["):
            is_other = line.strip() != f"[{profile}]"
        if is_other:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
        writing.write(text)
        writing.flush()
        os.fsync(writing.fileno())
    aside.rename(file)


def profile_of(file: Path, key_id: str) -> str | None:
    """The profile that holds the key, or None.

    Raises:
        BadConfiguration: the file cannot be read.
    """
    known = _parsed(file)
    for profile in known.sections():
        if known.get(profile, "aws_access_key_id", fallback=None) == key_id:
            return profile
    return None


def read_key(file: Path, profile: str) -> tuple[str, str] | None:
    """Key id and secret of `[profile]`, or None if there is no such profile.

    Raises:
        BadConfiguration: the file cannot be read.
    """
    try:
        found = _parsed(file)[profile]
        return found["aws_access_key_id"], found["aws_secret_access_key"]
    except KeyError:
        return None


def _parsed(file: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8") if file.exists() else "")
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise BadConfiguration(file, f"cannot be read: {error}") from error
    return parser
