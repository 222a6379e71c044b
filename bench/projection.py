"""The projection: 3 of 23 columns by DuckDB through a cold cache, in bytes fetched and needed."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import duckdb
import pyarrow.parquet as pq

from bench.cold_read import BUCKET, counting, mount
from bench.node import Node
from bench.outcome import Outcome
from testbed.cache import cache_directory, made_once
from testbed.seaweed import Seaweed
from testbed.tpcds import load_extension
from tests.fakes.counting_proxy import CountingProxy

ABOUT = (
    "TPC-DS store_sales (scale 1, 2.9 million rows) in an S3 store; DuckDB's httpfs reads 3 of "
    "its 23 columns through the door with an empty cache; a proxy before the store counts."
)
COLUMNS: Final = ("ss_item_sk", "ss_quantity", "ss_net_paid")
QUERY: Final = "SELECT count(DISTINCT ss_item_sk), sum(ss_quantity), sum(ss_net_paid) FROM {}"
GROUPS: Final = {"1 M-row groups": 1_000_000, "DuckDB's default": 122_880}
BOUNDS: Final = {"1 M-row groups": 1.10, "DuckDB's default": 1.35}
BLOCK: Final = 64 << 10
ROUNDS: Final = 3


def projection(work: Path, *, quick: bool) -> Outcome:
    """Run the scenario below `work`."""
    outcome = Outcome("projection", ABOUT)
    files = made_once(cache_directory() / f"store-sales-1-duckdb-{duckdb.__version__}", make)
    with ExitStack() as stack:
        store = stack.enter_context(Seaweed(work / "seaweed"))
        put(store, files)
        place = urlsplit(store.endpoint)
        proxy = stack.enter_context(counting(str(place.hostname), int(place.port or 0)))
        node = stack.enter_context(Node(work))
        mount(node, store, "/tables", proxy.endpoint)
        node.run("fs", "ls", "/tables")
        for name, rows in GROUPS.items():
            needed, footer = sizes(files / f"{rows}.parquet")
            shares: list[float] = []
            requests: list[float] = []
            for _ in range(1 if quick else ROUNDS):
                node.run("fs", "free", "/tables")
                proxy.take()
                ask(node, f"s3://tables/{rows}.parquet")
                asked = list(ranges(proxy))
                shares.append((sum(asked) - footer) / needed)
                requests.append(len(asked))
            outcome.add(f"{name}: needed", "MB", [needed / 1e6])
            outcome.add(f"{name}: requests to the store", "", requests)
            figure = outcome.add(f"{name}: fetched / needed", "", shares)
            outcome.at_most(f"3 of 23 columns, {name}: fetched / needed", BOUNDS[name], figure)
    outcome.notes.append("The blocks that hold a file's footer are left out of what was fetched.")
    return outcome


def make(directory: Path) -> None:
    """Write the table with both sizes of row groups."""
    with duckdb.connect(str(directory / "making.duckdb")) as connection:
        load_extension(connection, "tpcds")
        connection.execute("CALL dsdgen(sf = 1)")
        for rows in GROUPS.values():
            connection.execute(
                f"COPY store_sales TO '{directory / str(rows)}.parquet' "
                f"(FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {rows})"
            )
    (directory / "making.duckdb").unlink()


def put(store: Seaweed, files: Path) -> None:
    """Put both files into the store."""
    store.make_bucket(BUCKET)
    client = store.client()
    try:
        for rows in GROUPS.values():
            client.upload_file(str(files / f"{rows}.parquet"), BUCKET, f"{rows}.parquet")
    finally:
        client.close()


def sizes(file: Path) -> tuple[int, int]:
    """The bytes of the wanted column chunks, and of the blocks that hold the footer."""
    metadata = pq.ParquetFile(file).metadata
    wanted = {metadata.schema.names.index(name) for name in COLUMNS}
    needed = sum(
        metadata.row_group(group).column(column).total_compressed_size
        for group in range(metadata.num_row_groups)
        for column in wanted
    )
    size = file.stat().st_size
    footer = size - metadata.serialized_size - 8
    return needed, size - footer // BLOCK * BLOCK


def ask(node: Node, place: str) -> None:
    """Run the query by a DuckDB of its own, which remembers nothing."""
    key_id, secret = node.key
    host = node.endpoint.removeprefix("http://")
    with duckdb.connect() as connection:
        load_extension(connection, "httpfs")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{key_id}', SECRET '{secret}', "
            f"ENDPOINT '{host}', USE_SSL false, URL_STYLE 'path', REGION 'us-east-1')"
        )
        connection.execute(QUERY.format(f"'{place}'")).fetchall()


def ranges(proxy: CountingProxy) -> Iterator[int]:
    """The sizes of the ranges that the store was asked for."""
    for seen in proxy.take():
        if seen.method == "GET" and "range" in seen.headers:
            first, _, last = seen.headers["range"].removeprefix("bytes=").partition("-")
            yield int(last) - int(first) + 1
        elif seen.method == "GET" and seen.target.endswith(".parquet"):
            raise RuntimeError(json.dumps([seen.method, seen.target]))
