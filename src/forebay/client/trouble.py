"""The trouble that a reader of the lake meets: our errors that are Python's own as well.

Programs that know files expect FileNotFoundError and its like; those that know Forebay expect its
tree, with code and advice. What is raised here is both. A store or a node that is away is neither a
missing file nor any other OSError: nothing that passes over files must pass over it.
"""

import errno
from typing import ClassVar

from forebay.model.errors import (
    AccessDenied,
    FileMissing,
    ForebayError,
    GenerationGone,
    KeyUnknown,
    NotADirectory,
    NotAFile,
    RequestExpired,
    SignatureWrong,
    Unsupported,
)


class _AlsoOsError(ForebayError, OSError):
    """What both families have in common."""

    number: ClassVar[int] = errno.EIO
    usual: ClassVar[str] = ""

    def __init__(self, subject: object = "", reason: str = "") -> None:
        super().__init__(subject, reason or self.usual)
        self.errno = self.number

    def __reduce__(self) -> tuple[type["_AlsoOsError"], tuple[str, str]]:
        return type(self), (self.subject, self.reason)


class Missing(_AlsoOsError, FileMissing, FileNotFoundError):
    """There is no such file or directory."""

    number = errno.ENOENT
    usual = "no such file or directory"


class IsDirectory(_AlsoOsError, NotAFile, IsADirectoryError):
    """It is a directory, and has no bytes."""

    number = errno.EISDIR
    usual = "is a directory"


class IsFile(_AlsoOsError, NotADirectory, NotADirectoryError):
    """It is a file, and has nothing below it."""

    number = errno.ENOTDIR
    usual = "is a file"


class Denied(_AlsoOsError, AccessDenied, PermissionError):
    """The key has no grant for it."""

    number = errno.EACCES
    usual = "the key has no grant for it"


class NoKey(_AlsoOsError, KeyUnknown, PermissionError):
    """The door does not know the key, or none is at hand."""

    number = errno.EACCES
    usual = "the access key is unknown"


class WrongSecret(_AlsoOsError, SignatureWrong, PermissionError):
    """The door computes another signature: the secret key is another one."""

    number = errno.EACCES
    usual = "the signature is wrong"


class WrongClock(_AlsoOsError, RequestExpired, PermissionError):
    """The clocks of the door and of this host are too far apart."""

    number = errno.EACCES
    usual = "the clocks differ"


class Changed(_AlsoOsError, GenerationGone):
    """The file was changed or deleted since it was opened."""

    number = errno.ESTALE
    usual = "was changed since it was opened"


class ReadingOnly(_AlsoOsError, Unsupported):
    """This version of the client only reads."""

    number = errno.EROFS
    usual = "reading only in this version"
