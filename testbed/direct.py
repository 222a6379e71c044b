"""The direct reader: the demo's queries by DuckDB straight from the far store, for comparison.

`python -m testbed.direct` reads a JSON description from standard input and writes the answers.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb

from testbed.tpcds import load_extension


def tables_of(files: Iterable[str], base: str) -> Iterator[tuple[str, list[str]]]:
    """The files by the directory they are in, directly below `base`."""
    found: dict[str, list[str]] = {}
    for file in sorted(files):
        table = file.split(base.rstrip("/") + "/", 1)[1].split("/")[0]
        found.setdefault(table, []).append(file)
    yield from found.items()


def connect_hdfs(plan: dict[str, Any]) -> tuple[duckdb.DuckDBPyConnection, list[str]]:
    """DuckDB on hdfs-native's own fsspec filesystem."""
    from hdfs_native.fsspec import HdfsFileSystem  # noqa: PLC0415 - only this kind needs it

    authority = plan["uri"].removeprefix("hdfs://")
    host, _, port = authority.partition(":")
    lake = HdfsFileSystem(host=host, port=int(port), **plan["settings"])
    connection = duckdb.connect()
    connection.register_filesystem(lake)
    names = [name for name in lake.find(plan["directory"]) if name.endswith(".parquet")]
    paths = ["/" + name.split("://", 1)[-1].split("/", 1)[1] for name in names]
    return connection, [f"hdfs://{path}" for path in paths]


def connect_s3(plan: dict[str, Any]) -> tuple[duckdb.DuckDBPyConnection, list[str]]:
    """DuckDB on its httpfs extension."""
    connection = duckdb.connect()
    load_extension(connection, "httpfs")
    host = plan["endpoint"].removeprefix("http://")
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{plan['access_key']}', SECRET '{plan['secret_key']}', "
        f"ENDPOINT '{host}', USE_SSL false, URL_STYLE 'path', REGION 'us-east-1')"
    )
    pattern = f"s3://{plan['bucket']}{plan['directory']}/**/*.parquet"
    rows = connection.execute("SELECT file FROM glob(?)", [pattern]).fetchall()
    return connection, [row[0] for row in rows]


def answers(plan: dict[str, Any]) -> list[list[list[str]]]:
    """The rows of each query, as texts."""
    connection, files = (connect_hdfs if plan["kind"] == "hdfs" else connect_s3)(plan)
    for table, places in tables_of(files, plan["directory"]):
        listed = ", ".join(f"'{place}'" for place in places)
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{listed}])")
    return [
        [[str(value) for value in row] for row in connection.execute(query).fetchall()]
        for query in plan["queries"]
    ]


def main() -> None:
    """Read the plan, write the answers."""
    json.dump(answers(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
