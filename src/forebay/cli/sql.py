"""`forebay sql`: DuckDB over the lake."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from forebay.cli.options import Invocation, invocation
from forebay.cli.screen import as_json, said, table
from forebay.config.credentials import read_key
from forebay.model.errors import BadInput, BadKey, NotADirectory, Unsupported

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from forebay.client.filesystem import ForebayFileSystem

MOST_ROWS: Final = 1000
ACCESS_COLUMNS: Final = {
    "at": "TIMESTAMP WITH TIME ZONE",
    "door": "VARCHAR",
    "key_id": "VARCHAR",
    "operation": "VARCHAR",
    "path": "VARCHAR",
    "start": "BIGINT",
    "end": "BIGINT",
    "status": "INTEGER",
    "bytes_from_cache": "BIGINT",
    "bytes_from_store": "BIGINT",
    "seconds": "DOUBLE",
    "request_id": "VARCHAR",
}


class Form(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that one statement gave."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def sql(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="One or more SQL statements.")],
    tables: Annotated[
        list[str] | None,
        typer.Option("--tables", "-t", help="A lake directory whose directories become tables."),
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", help="The profile of the credentials file to read with.")
    ] = "default",
    form: Annotated[Form, typer.Option("--format", help="How rows are written.")] = Form.TABLE,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Query the lake with DuckDB.

    Files are named `'forebay:///onprem/sales/*.parquet'`; with --tables, directories of Parquet
    files are tables by their names. System tables: forebay.access_log, forebay.mounts.
    """
    call = invocation(context)
    connection, lake = _connect(call, profile)
    for directory in tables or []:
        _add_tables(connection, lake, directory)
    _add_system_tables(connection, call)
    write_answers(_run(connection, query), Form.JSON if json else form)


def _connect(call: Invocation, profile: str) -> tuple["DuckDBPyConnection", "ForebayFileSystem"]:
    try:
        import duckdb  # noqa: PLC0415 - an extra: only who asks for SQL needs it
    except ImportError as error:
        raise Unsupported("sql", "needs DuckDB: pip install 'forebay[sql]'") from error
    from forebay.client.filesystem import ForebayFileSystem  # noqa: PLC0415

    settings = call.settings()
    key = read_key(settings.credentials, profile)
    if key is None:
        raise BadKey(profile, f"no such profile in {settings.credentials}; name one by --profile")
    lake = ForebayFileSystem(data=str(settings.data), key=key[0], secret=key[1])
    connection = duckdb.connect()
    connection.register_filesystem(lake)
    return connection, lake


def _add_tables(
    connection: "DuckDBPyConnection", lake: "ForebayFileSystem", directory: str
) -> None:
    """Make a view of every directory of Parquet files directly below `directory`."""
    files: dict[str, list[str]] = {}
    base = directory.rstrip("/") + "/"
    for entry in lake.find(directory, detail=False):
        name, slash, _ = entry.removeprefix(base).partition("/")
        if slash and entry.endswith(".parquet"):
            files.setdefault(name, []).append(lake.near(entry))
    if not files:
        raise NotADirectory(directory, "has no directory with Parquet files")
    for name, places in files.items():
        listed = ", ".join(_quoted(place) for place in places)
        connection.execute(
            f"create or replace view {_identifier(name)} as "  # noqa: S608 - quoted below
            f"select * from read_parquet([{listed}], hive_partitioning=true)"
        )


def _add_system_tables(connection: "DuckDBPyConnection", call: Invocation) -> None:
    connection.execute("create schema if not exists forebay")
    pattern = call.settings().logs.directory / "access*.jsonl*"
    columns = ", ".join(
        f"{_quoted(name)}: {_quoted(kind)}" for name, kind in ACCESS_COLUMNS.items()
    )
    logs = sorted(str(path) for path in Path(pattern.parent).glob(pattern.name))
    if logs:
        listed = ", ".join(_quoted(log) for log in logs)
        source = f"select * from read_json([{listed}], columns={{{columns}}}, format='newline_delimited')"  # noqa: S608, E501 - quoted, and one statement
    else:
        empty = ", ".join(f"null::{kind} as {_identifier(n)}" for n, kind in ACCESS_COLUMNS.items())
        source = f"select {empty} where false"
    connection.execute(f"create or replace view forebay.access_log as {source}")
    connection.execute(
        "create or replace table forebay.mounts"
        "(path varchar, uri varchar, store varchar, readonly boolean, sync varchar, state varchar)"
    )
    for row in call.node().get("/v1/mounts")["mounts"]:
        names = ("path", "uri", "store", "readonly", "sync", "state")
        connection.execute(
            "insert into forebay.mounts values (?, ?, ?, ?, ?, ?)", [row[name] for name in names]
        )


def _run(connection: "DuckDBPyConnection", query: str) -> list[Answer]:
    """The answers of all statements that have one."""
    import duckdb  # noqa: PLC0415 - an extra

    answers: list[Answer] = []
    try:
        for statement in connection.extract_statements(query):
            done = connection.execute(statement)
            if done.description:
                columns = tuple(column[0] for column in done.description)
                answers.append(Answer(columns, done.fetchall()))
    except duckdb.Error as error:
        raise BadInput("sql", " ".join(str(error).split())) from error
    return answers


def write_answers(answers: Sequence[Answer], form: Form) -> None:
    """Write the answers; as JSON one answer is a list of rows, several are a list of such lists."""
    if form is Form.JSON:
        documents = [
            [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
            for answer in answers
        ]
        as_json(documents[0] if len(documents) == 1 else documents)
        return
    for answer in answers:
        if form is Form.CSV:
            writer = csv.writer(sys.stdout)
            writer.writerow(answer.columns)
            writer.writerows(answer.rows)
            continue
        shown = [tuple("" if v is None else str(v) for v in row) for row in answer.rows]
        table(answer.columns, shown[:MOST_ROWS])
        if len(shown) > MOST_ROWS:
            said(f"… {len(shown) - MOST_ROWS} rows more; use --format csv to see all")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
