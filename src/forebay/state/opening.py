"""The opening of a database: which of the two a URL names."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from forebay.model.errors import BadConfiguration
from forebay.state.database import Database


async def open_database(url_text: str) -> Database:
    """The database at `sqlite:///<path>` or `postgresql://user:password@host/name`, migrated.

    Raises:
        BadConfiguration: the URL is none of these.
        StateAway: it does not answer, or a newer version wrote it.
    """
    url = _parse(url_text)
    # Imported when wanted: the driver of the other one costs a start half a second.
    if url.get_backend_name() == "sqlite":
        from forebay.state.sqlite import open_sqlite  # noqa: PLC0415

        return await open_sqlite(Path(url.database or ""))
    from forebay.state.postgres import open_postgres  # noqa: PLC0415

    return await open_postgres(url)


def _parse(url_text: str) -> URL:
    try:
        url = make_url(url_text)
    except ArgumentError:
        url = URL.create("unknown")
    backend = url.get_backend_name()
    if backend in {"sqlite", "postgresql"} and url.database:
        return url
    # The text is not repeated: it may hold a password.
    raise BadConfiguration(
        "state.url", "is neither sqlite:///<path> nor postgresql://user:password@host/name"
    )
