"""The upgrade of a database: runs the migrations that it lacks."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from forebay.model.errors import StateAway

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, subject: str) -> None:
    """Run the missing migrations, in the connection's transaction.

    Raises:
        StateAway: a newer version of the code has migrated it further than we know.
    """
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
    command.upgrade(config, "head")
