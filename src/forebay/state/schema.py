"""The schema: brings a database to the form that this version of the code knows."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from forebay.model.errors import StateAway

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x466F7265626179
"""The advisory lock under which one node at a time migrates a shared database."""


def migrate(connection: Connection, subject: str) -> None:
    """Run the migrations that the database lacks, in the connection's transaction.

    Raises:
        StateAway: a newer version of the code has migrated it further than we know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    current = set(MigrationContext.configure(connection).get_current_heads())
    if not current <= known:
        raise StateAway(
            subject,
            f"was written by a newer Forebay (revision {', '.join(sorted(current - known))}); "
            "start that version, or restore a backup made by this one",
        )
    if current != set(scripts.get_heads()):
        command.upgrade(config, "head")
