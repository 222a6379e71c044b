"""Trouble with the database: the drivers' errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from forebay.model.errors import StateAway


@contextmanager
def speaking_of(subject: str, *foreign: type[Exception]) -> Iterator[None]:
    """Turn errors of the database, those of the driver's own classes too, into StateAway."""
    others: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, TimeoutError, *foreign)
    try:
        yield
    except DBAPIError as error:
        raise StateAway(subject, _first_line(error.orig)) from error
    except others as error:
        raise StateAway(subject, _first_line(error)) from error


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
