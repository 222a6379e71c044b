"""The migration environment: runs the versions on the connection that `schema` hands in."""

from alembic import context


def _run() -> None:
    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()


# Alembic loads this file under this name; importing it otherwise does nothing.
if __name__ == "env_py":
    _run()
