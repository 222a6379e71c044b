"""The AWS profile: what the shared configuration files of the host say."""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forebay.model.errors import StoreRefused

_ELSEWHERE: Final = ("credential_process", "sso_session", "sso_start_url", "source_profile")


@dataclass(frozen=True, slots=True)
class Profile:
    """The settings of one profile; None where the files say nothing.

    `unsupported` is the first setting that names a source of keys which Forebay has not.
    """

    name: str = "default"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    endpoint: str | None = None
    role: str | None = None
    role_session_name: str | None = None
    token_file: str | None = None
    unsupported: str | None = None


def read_profile(environment: Mapping[str, str]) -> Profile:
    """The profile that `environment` names (AWS_PROFILE, or `default`).

    Raises:
        StoreRefused: a file cannot be read, or has no profile of that name.
    """
    named = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
    name = named or "default"
    config = _sections(_place(environment, "AWS_CONFIG_FILE", "config"))
    keys = _sections(_place(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials"))
    in_config = f"profile {name}" if name != "default" or "default" not in config else name
    if named is not None and in_config not in config and name not in keys:
        raise StoreRefused(f"profile {name}", "is in neither of the AWS configuration files")
    return _profile(name, {**config.get(in_config, {}), **keys.get(name, {})}, config)


def _profile(
    name: str, settings: Mapping[str, str], config: Mapping[str, Mapping[str, str]]
) -> Profile:
    services = config.get(f"services {settings.get('services', '')}", {})
    return Profile(
        name=name,
        access_key_id=settings.get("aws_access_key_id"),
        secret_access_key=settings.get("aws_secret_access_key"),
        session_token=settings.get("aws_session_token"),
        region=settings.get("region"),
        endpoint=_nested(services.get("s3", "")).get("endpoint_url", settings.get("endpoint_url")),
        role=settings.get("role_arn"),
        role_session_name=settings.get("role_session_name"),
        token_file=settings.get("web_identity_token_file"),
        unsupported=next((word for word in _ELSEWHERE if word in settings), None),
    )


def _nested(text: str) -> dict[str, str]:
    """The settings of an indented section, as `s3 =` has them below `[services …]`."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _place(environment: Mapping[str, str], variable: str, name: str) -> Path | None:
    given = environment.get(variable)
    home = environment.get("HOME")
    if given:
        return Path(home, given[2:]) if home and given.startswith("~/") else Path(given)
    return Path(home, ".aws", name) if home else None


def _sections(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None:
        return {}
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError, configparser.Error):
        # Without the cause: a parser quotes the line it stumbled on, which may hold a secret.
        raise StoreRefused(path, "cannot be read as an AWS configuration file") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}
