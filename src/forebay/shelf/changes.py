"""A change of the index: one write transaction inside its marks, with our own errors."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import lmdb

from forebay.model.errors import NoRoom, ShelfDamaged
from forebay.shelf.marks import Marks

Transaction: TypeAlias = "lmdb.Transaction[Any]"


@contextmanager
def changing(
    environment: lmdb.Environment, marks: Marks, slots: Iterable[int]
) -> Iterator[Transaction]:
    """A write transaction; it is committed at the end, or nothing of it happens.

    Raises:
        NoRoom: the disk or the map is full.
        ShelfDamaged: the database does not work.
    """
    try:
        with marks.changing(slots), environment.begin(write=True) as transaction:
            yield transaction
    except lmdb.MapFullError as error:
        raise NoRoom(environment.path(), "the index is full") from error
    except lmdb.Error as error:
        if getattr(error, "code", 0) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise NoRoom(environment.path(), "the disk of the index is full") from error
        raise ShelfDamaged(environment.path(), str(error)) from error
