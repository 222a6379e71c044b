"""TPC-DS: the benchmark's 24 tables as Parquet files, made here and put into a lake."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from testbed.cache import cache_directory, made_once
from testbed.seaweed import Seaweed
from testbed.webhdfs import WebHdfs

# Tables written as several files, so that a table is a real directory.
SPLIT_TABLES = {"store_sales": 4}
HDFS_DIRECTORY = "/tmp/tpcds"
BUCKET_PREFIX = "tpcds"
ROW_GROUP_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class TableFile:
    """One Parquet file of a table: where it is here, and its name below the lake's directory."""

    table: str
    source: Path
    name: str


def ignore(_table: TableFile) -> None:
    """Tell nobody."""


def tpcds_tables(scale: float) -> Path:
    """The directory with a subdirectory for each table, made by DuckDB if it is not there yet."""
    name = f"tpcds-{scale:g}-duckdb-{duckdb.__version__}"

    def make(directory: Path) -> None:
        _generate(directory, scale)

    return made_once(cache_directory() / name, make)


def table_files(directory: Path) -> list[TableFile]:
    """All files below what `tpcds_tables` gave, in order of their names."""
    return [
        TableFile(file.parent.name, file, f"{file.parent.name}/{file.name}")
        for file in sorted(directory.glob("*/*.parquet"))
    ]


def put_into_hdfs(
    files: WebHdfs,
    tables: Sequence[TableFile],
    directory: str = HDFS_DIRECTORY,
    tell: Callable[[TableFile], None] = ignore,
) -> None:
    """Put the files below `directory`, calling `tell` with each that is there."""
    for table in tables:
        files.put(f"{directory}/{table.name}", table.source)
        tell(table)


def put_into_bucket(
    store: Seaweed,
    bucket: str,
    tables: Sequence[TableFile],
    tell: Callable[[TableFile], None] = ignore,
) -> None:
    """Put the files into a bucket below `tpcds/`, calling `tell` with each that is there."""
    client = store.client()
    try:
        for table in tables:
            client.upload_file(str(table.source), bucket, f"{BUCKET_PREFIX}/{table.name}")
            tell(table)
    finally:
        client.close()


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension from the wheel that carries it, without asking the network."""
    carried = resources.files(f"duckdb_extension_{name}")
    file = carried / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    connection.load_extension(str(file))


def _generate(directory: Path, scale: float) -> None:
    # On disk: the tables of a large scale do not fit into memory.
    database = directory / "making.duckdb"
    with duckdb.connect(str(database)) as connection:
        load_extension(connection, "tpcds")
        connection.execute(f"CALL dsdgen(sf = {scale:g})")
        tables = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        for table in tables:
            (directory / table).mkdir()
            _export(connection, table, directory / table)
    database.unlink()
    shutil.rmtree(directory / "making.duckdb.tmp", ignore_errors=True)


def _export(connection: duckdb.DuckDBPyConnection, table: str, directory: Path) -> None:
    count = SPLIT_TABLES.get(table, 1)
    (rows,) = connection.execute(f"FROM {table} SELECT count(*)").fetchone() or (0,)
    share = -(-rows // count)
    for number in range(count):
        name = table if count == 1 else f"{table}_{number}"
        low, high = number * share, (number + 1) * share
        # The names are the benchmark's own.
        chosen = f"SELECT * FROM {table} WHERE rowid >= {low} AND rowid < {high} ORDER BY rowid"
        connection.execute(
            f"COPY ({chosen}) TO '{directory / name}.parquet' "
            f"(FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
        )
