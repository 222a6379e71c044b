"""The schema: brings a database to the form that this version of the code knows."""

from typing import Final

from sqlalchemy import Connection, inspect, text

HEAD: Final = "0001"
"""The newest migration."""

_LOCK: Final = 0x466F7265626179
"""The advisory lock under which one node at a time migrates a shared database."""


def migrate(connection: Connection, subject: str) -> None:
    """Run the migrations that the database lacks, in the connection's transaction.

    Raises:
        StateAway: a newer version of the code has migrated it further than we know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if _revision(connection) == HEAD:
        return
    # Imported when wanted: most starts find nothing to migrate, and it takes its time.
    from forebay.state.upgrade import upgrade  # noqa: PLC0415

    upgrade(connection, subject)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()
    return found
