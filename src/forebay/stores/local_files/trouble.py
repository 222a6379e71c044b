"""The errors of the operating system, in our words."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    ReadOnly,
    StoreAway,
    StoreRefused,
    Unsupported,
)

_WORDS: Final[Mapping[int, type[ForebayError]]] = {
    errno.ENOENT: FileMissing,
    errno.EEXIST: FileExists,
    errno.ENOTDIR: NotADirectory,
    errno.EISDIR: NotAFile,
    errno.ENOTEMPTY: DirectoryNotEmpty,
    errno.EACCES: StoreRefused,
    errno.EPERM: StoreRefused,
    errno.EROFS: ReadOnly,
    errno.ENOSPC: NoRoom,
    errno.EDQUOT: NoRoom,
    errno.EFBIG: NoRoom,
    errno.ENAMETOOLONG: BadPath,
    errno.ELOOP: BadPath,
    errno.EXDEV: Unsupported,
}


@contextmanager
def speaking_of(
    subject: object, otherwise: Mapping[int, type[ForebayError]] | None = None
) -> Iterator[None]:
    """Translate what the operating system raises; `otherwise` gives some numbers another word.

    A number without a word (EIO, ESTALE, too many open files) says nothing about the file.
    """
    try:
        yield
    except OSError as error:
        number = 0 if error.errno is None else error.errno
        words = {**_WORDS, **({} if otherwise is None else otherwise)}
        reason = error.strerror if error.strerror is not None else type(error).__name__
        raise words.get(number, StoreAway)(subject, reason.lower()) from error
