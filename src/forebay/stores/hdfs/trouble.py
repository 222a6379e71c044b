"""Trouble: what HDFS's own exceptions mean in our words."""

import re
from typing import Final

from forebay.model.errors import (
    BadPath,
    DirectoryNotEmpty,
    FileExists,
    FileMissing,
    ForebayError,
    NoRoom,
    NotADirectory,
    NotAFile,
    StoreAway,
    StoreBusy,
    StoreRefused,
    StoreTrouble,
    Unsupported,
)

_BY_NAME: Final[dict[str, type[ForebayError]]] = {
    "FileNotFoundException": FileMissing,
    "FileAlreadyExistsException": FileExists,
    "ParentNotDirectoryException": NotADirectory,
    "PathIsNotEmptyDirectoryException": DirectoryNotEmpty,
    "PathIsNotDirectoryException": NotADirectory,
    "InvalidPathException": BadPath,
    "AccessControlException": StoreRefused,
    "SecurityException": StoreRefused,
    "AuthorizationException": StoreRefused,
    "AuthenticationException": StoreRefused,
    "InvalidToken": StoreRefused,
    "NSQuotaExceededException": NoRoom,
    "DSQuotaExceededException": NoRoom,
    "QuotaExceededException": NoRoom,
    "QuotaByStorageTypeExceededException": NoRoom,
    "StandbyException": StoreAway,
    "ObserverRetryOnActiveException": StoreAway,
    "SafeModeException": StoreAway,
    "RetriableException": StoreBusy,
    "UnsupportedOperationException": Unsupported,
}

# HDFS says some things in the text only, under the name IOException or a misleading one.
_BY_TEXT: Final[tuple[tuple[str, type[ForebayError]], ...]] = (
    ("(is not a directory)", NotADirectory),
    ("Path is not a file", NotAFile),
    ("must both be directories", FileExists),
    ("is a directory or file under source", BadPath),
    ("Failed to find datanode", StoreAway),
    ("could only be written to", StoreAway),
    ("can't be moved", Unsupported),
)

_RPC_ERROR: Final = re.compile(r'RPCError\("([^"]+)", "(.*)"\)$', re.DOTALL)


def trouble_of(java_class: str, message: str, subject: object) -> ForebayError:
    """The error that stands for the Java exception `java_class` with `message`."""
    first_line = re.split(r"\n|\\n", message, maxsplit=1)[0]
    for text, error in _BY_TEXT:
        if text in first_line:
            return error(subject, first_line)
    name = re.split(r"[.$]", java_class)[-1]
    error = _BY_NAME.get(name, StoreTrouble)
    return error(subject, first_line if error is not StoreTrouble else f"{name}: {first_line}")


def trouble_of_native(problem: BaseException, subject: object) -> ForebayError:
    """The error that stands for what hdfs-native raised.

    It has OSErrors for a few, RuntimeErrors whose text is Rust's for the rest, and panics, which
    are no Exceptions, for what its authors thought impossible (a NameNode that goes away, too).
    """
    text = str(problem)
    if isinstance(problem, FileNotFoundError):
        return trouble_of("FileNotFoundException", text, subject)
    if isinstance(problem, FileExistsError):
        return trouble_of("FileAlreadyExistsException", text, subject)
    answer = _RPC_ERROR.search(text)
    if answer is not None:
        return trouble_of(answer[1], answer[2], subject)
    return StoreAway(subject, text.splitlines()[0][:300] if text else type(problem).__name__)
