"""Identity: what tells one content of an HDFS file from another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forebay.model.generation import Fingerprint
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Kind, Ownership, from_milliseconds


@dataclass(frozen=True, slots=True)
class LastBlock:
    """The last HDFS block of a file, and whether somebody is writing the file.

    It is all that a status does not tell. A block before the last cannot change without the last
    becoming another: files are only appended to and truncated, a truncation inside a block gives
    it a new generation stamp, and what is appended after it are new blocks. So a file that was
    truncated and grown back to its old length and time has another last block or another stamp.
    """

    block: int
    stamp: int
    size: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class Stamp:
    """The identity of one content; `last` is None for an empty file, and without WebHDFS."""

    fingerprint: Fingerprint
    last: LastBlock | None


def fingerprint_of(file_id: int | None, length: int, modified_ms: int) -> Fingerprint:
    """The fingerprint of a file; without WebHDFS its id is not known."""
    return Fingerprint(f"hdfs:{'-' if file_id is None else file_id}:{length}:{modified_ms}")


def status_of_web(key: StoreKey, fields: Mapping[str, Any]) -> FileStatus:
    """The status in WebHDFS's `FileStatus`."""
    is_directory = fields["type"] == "DIRECTORY"
    size, modified_ms = int(fields["length"]), int(fields["modificationTime"])
    return FileStatus(
        key,
        Kind.DIRECTORY if is_directory else Kind.FILE,
        size=0 if is_directory else size,
        modified_at=from_milliseconds(modified_ms),
        fingerprint=Fingerprint("")
        if is_directory
        else fingerprint_of(int(fields["fileId"]), size, modified_ms),
        ownership=Ownership(fields["owner"], fields["group"], int(fields["permission"], 8)),
    )


def status_of_native(key: StoreKey, found: Any) -> FileStatus:  # noqa: ANN401 - hdfs-native's
    """The status in hdfs-native's `FileStatus`, which has no file id."""
    return FileStatus(
        key,
        Kind.DIRECTORY if found.isdir else Kind.FILE,
        size=0 if found.isdir else found.length,
        modified_at=from_milliseconds(found.modification_time),
        fingerprint=Fingerprint("")
        if found.isdir
        else fingerprint_of(None, found.length, found.modification_time),
        ownership=Ownership(found.owner, found.group, found.permission),
    )


def file_id_of(fingerprint: Fingerprint) -> int | None:
    """The file id in a fingerprint, or None where it has none."""
    name, *rest = fingerprint.text.split(":")
    return int(rest[0]) if name == "hdfs" and rest and rest[0].isdecimal() else None


def last_block_of(located: Mapping[str, Any]) -> LastBlock | None:
    """The last block in WebHDFS's `LocatedBlocks`; None for an empty file that is closed."""
    is_open = bool(located["isUnderConstruction"])
    last = located.get("lastLocatedBlock")
    if last is None:
        return LastBlock(0, 0, 0, is_open) if is_open else None
    block = last["block"]
    return LastBlock(
        int(block["blockId"]), int(block["generationStamp"]), int(block["numBytes"]), is_open
    )


def hosts_of(located: Mapping[str, Any]) -> tuple[str, ...]:
    """The hosts that hold blocks, each once, in the order in which they come."""
    return tuple(
        dict.fromkeys(
            place["hostName"]
            for block in located.get("locatedBlocks", ())
            for place in block["locations"]
        )
    )
