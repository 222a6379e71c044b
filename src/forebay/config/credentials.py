"""The credentials file of the user: AWS's profile format, readable by its owner only."""

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from forebay.model.errors import BadConfiguration


def write_profile(place: Path, profile: str, key: Mapping[str, str], secret: str) -> Path:
    """Write `key` and its secret as `[profile]` into `place`, keeping the other profiles."""
    known = configparser.RawConfigParser()
    try:
        if place.exists():
            known.read_string(place.read_text(encoding="utf-8"))
        if not known.has_section(profile):
            known.add_section(profile)
        known.set(profile, "aws_access_key_id", key["key_id"])
        known.set(profile, "aws_secret_access_key", secret)
        if key.get("endpoint_url"):
            known.set(profile, "endpoint_url", key["endpoint_url"])
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = place.with_name(f".{place.name}.{os.getpid()}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            known.write(file)
        aside.replace(place)
    except (OSError, configparser.Error) as error:
        raise BadConfiguration(place, f"the credentials cannot be written: {error}") from error
    return place
