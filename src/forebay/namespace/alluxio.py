"""Alluxio's mount options: which mean something here, which do not, which are refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from forebay.model.errors import BadOption
from forebay.namespace.options import (
    HDFS_CONFIGURATION,
    S3_ACCESS_KEY_ID,
    S3_ENDPOINT,
    S3_PATH_STYLE,
    S3_READ_TIMEOUT,
    S3_REGION,
    S3_SECRET_ACCESS_KEY,
    SYNC,
)

MEANINGS: Final[Mapping[str, str]] = {
    "aws.accessKeyId": S3_ACCESS_KEY_ID.name,
    "aws.secretKey": S3_SECRET_ACCESS_KEY.name,
    "s3a.accessKeyId": S3_ACCESS_KEY_ID.name,
    "s3a.secretKey": S3_SECRET_ACCESS_KEY.name,
    "alluxio.underfs.s3.endpoint": S3_ENDPOINT.name,
    "alluxio.underfs.s3.endpoint.region": S3_REGION.name,
    "alluxio.underfs.s3.region": S3_REGION.name,
    "alluxio.underfs.s3.disable.dns.buckets": S3_PATH_STYLE.name,
    "alluxio.underfs.s3.socket.timeout": S3_READ_TIMEOUT.name,
    "alluxio.underfs.hdfs.configuration": HDFS_CONFIGURATION.name,
    "alluxio.user.file.metadata.sync.interval": SYNC.name,
}
"""Alluxio's name → ours."""

SECURE: Final = "alluxio.underfs.s3.secure.http.enabled"
"""Decides between http and https where the endpoint does not say."""

NOT_NEEDED: Final = frozenset(
    {
        "alluxio.underfs.version",
        "alluxio.underfs.hdfs.impl",
        "alluxio.underfs.hdfs.prefixes",
        "alluxio.underfs.hdfs.remote",
        "alluxio.underfs.s3.admin.threads.max",
        "alluxio.underfs.s3.directory.suffix",
        "alluxio.underfs.s3.list.objects.v1",
        "alluxio.underfs.s3.signer.algorithm",
        "alluxio.underfs.s3.streaming.upload.enabled",
        "alluxio.underfs.s3.threads.max",
        "alluxio.underfs.s3.upload.threads.max",
    }
)
"""Options without a meaning here: accepted, with a notice."""

_DURATION: Final = re.compile(r"(\d+) *([a-z]*)", re.IGNORECASE | re.ASCII)
_UNITS: Final[Mapping[str, str]] = {
    "": "ms",
    "ms": "ms",
    "msec": "ms",
    "millisecond": "ms",
    "s": "s",
    "sec": "s",
    "second": "s",
    "m": "m",
    "min": "m",
    "minute": "m",
    "h": "h",
    "hr": "h",
    "hour": "h",
    "d": "d",
    "day": "d",
}


@dataclass(frozen=True, slots=True)
class Translated:
    """Options in our words, and what to tell the person about those that were not."""

    options: Mapping[str, str]
    notices: tuple[str, ...]


def translated(given: Mapping[str, str]) -> Translated:
    """The options in our words; what is not Alluxio's stays as it is.

    Raises:
        BadOption: one of Alluxio's has no counterpart, or is given twice under two names.
    """
    options: dict[str, str] = {}
    notices = []
    for name, text in given.items():
        if name in NOT_NEEDED:
            notices.append(f"{name}: not needed")
            continue
        if name == SECURE:
            continue
        ours = MEANINGS.get(name, name)
        if ours == name and name.startswith("alluxio."):
            raise BadOption(name, "is an option of Alluxio that has no counterpart here")
        if ours in options:
            raise BadOption(name, f"is given twice: it is another name of {ours!r}")
        options[ours] = text if ours == name else _value(name, ours, text, given)
    if SECURE in given and S3_ENDPOINT.name not in options:
        notices.append(f"{SECURE}: not needed without an endpoint")
    return Translated(options, tuple(notices))


def _value(name: str, ours: str, text: str, given: Mapping[str, str]) -> str:
    if ours == S3_ENDPOINT.name and "://" not in text:
        scheme = "https" if given.get(SECURE) == "true" else "http"
        return f"{scheme}://{text}"
    if ours == HDFS_CONFIGURATION.name:
        return _directory(name, text)
    if ours == SYNC.name:
        return _sync(name, text)
    return _duration(name, text) if ours == S3_READ_TIMEOUT.name else text


def _directory(name: str, text: str) -> str:
    directories = {str(PurePosixPath(file).parent) for file in text.split(":")}
    if len(directories) != 1:
        raise BadOption(name, "its files lie in several directories; put them into one")
    return directories.pop()


def _sync(name: str, text: str) -> str:
    if text.startswith("-"):
        return "never"
    duration = _duration(name, text)
    return "always" if duration.startswith("0") else duration


def _duration(name: str, text: str) -> str:
    match = _DURATION.fullmatch(text)
    unit = None if match is None else _UNITS.get(match[2].lower().removesuffix("s") or match[2])
    if match is None or unit is None:
        raise BadOption(name, f"{text!r} is no duration")
    return f"{int(match[1])}{unit}"
