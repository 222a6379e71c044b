"""The place of the node: its data directory on this host, its door, and the key that opens it.

What the caller says comes first, then FOREBAY_DATA and FOREBAY_CREDENTIALS, then what the node
wrote into its data directory, then the usual places. The shelf counts only
where it is sure to be that node's: the same lake path means something else in another lake.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forebay.model.errors import BadOption

DATA_VARIABLE: Final = "FOREBAY_DATA"
CREDENTIALS_VARIABLE: Final = "FOREBAY_CREDENTIALS"
DEFAULT_PROFILE: Final = "default"
SHELF: Final = Path("shelf") / "0"
NODE_FILE: Final = "node.json"
"""Written by the node into its data directory: where its doors, its shelf and its keys are."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller says; None: nothing.

    Attributes:
        data: the data directory of the node.
        endpoint: URL of its S3 door.
        key: access key.
        secret: its secret.
        profile: which one of the credentials file.
    """

    data: str | None = None
    endpoint: str | None = None
    key: str | None = None
    secret: str | None = field(default=None, repr=False)
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the node is.

    Attributes:
        data: its data directory, whether it exists or not.
        shelf: the directory of its shelf, if that is known to be this node's.
        endpoint: URL of its S3 door, if one is known.
        key: access key, if one is known.
        secret: its secret.
    """

    data: Path
    shelf: Path | None
    endpoint: str | None
    key: str | None
    secret: str | None = field(default=None, repr=False)


def place_of(
    wanted: Wanted, environment: Mapping[str, str] | None = None, home: Path | None = None
) -> Place:
    """Where the node is, as far as this host knows it now.

    Raises:
        BadOption: the caller named a profile that does not exist, or half a key.
    """
    environment = os.environ if environment is None else environment
    home = Path.home() if home is None else home
    named = wanted.data or environment.get(DATA_VARIABLE)
    data = Path(named).expanduser() if named else home / ".local/share/forebay"
    told = _told_by_node(data)
    credentials = environment.get(CREDENTIALS_VARIABLE) or told.get("credentials")
    profile = _profile(Path(credentials or home / ".config/forebay/credentials"), wanted)
    key, secret = _key(wanted, profile)
    door = told.get("s3")
    endpoint = wanted.endpoint or door or profile.get("endpoint_url")
    is_its_shelf = wanted.data is not None or _bare(endpoint) in {None, _bare(door)}
    shelf = Path(told.get("shelf") or data / SHELF) if is_its_shelf else None
    return Place(data, shelf, _bare(endpoint), key, secret)


def _bare(endpoint: str | None) -> str | None:
    return None if endpoint is None else endpoint.rstrip("/")


def _told_by_node(data: Path) -> Mapping[str, str]:
    """What the node of this data directory says of itself, as far as it is text."""
    try:
        told = json.loads((data / NODE_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {name: value for name, value in told.items() if isinstance(value, str)}


def _profile(place: Path, wanted: Wanted) -> Mapping[str, str]:
    """The profile in force; nothing if the caller named none and there is none."""
    import configparser  # noqa: PLC0415 - programs that say everything themselves need none

    known = configparser.RawConfigParser()
    try:
        known.read_string(place.read_text(encoding="utf-8"))
        return dict(known[wanted.profile or DEFAULT_PROFILE])
    except (OSError, ValueError, configparser.Error, KeyError) as error:
        if wanted.profile is not None:
            raise BadOption("profile", f"{place} has no profile {wanted.profile!r}") from error
        return {}


def _key(wanted: Wanted, profile: Mapping[str, str]) -> tuple[str | None, str | None]:
    if (wanted.key is None) != (wanted.secret is None):
        raise BadOption("key", "needs both key and secret, or neither")
    if wanted.key is not None:
        return wanted.key, wanted.secret
    return profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
