"""Engines read through the client, from a whole node: the same Parquet file, the same rows."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from forebay.client.filesystem import ForebayFileSystem
from forebay.shelf.tallies import Tallies
from tests.fakes.running_node import RunningNode

ROWS = 60_000
URL = "forebay:///files/t/part.parquet"
Options = dict[str, object]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with a Parquet file at /files/t, as fresh as statuses are by default."""
    running = RunningNode(tmp_path_factory.mktemp("engines"))
    (running.lake / "t").mkdir()
    columns = {
        "number": list(range(ROWS)),
        "name": [f"name {number % 977}" for number in range(ROWS)],
        "share": [number / 7 for number in range(ROWS)],
    }
    pq.write_table(pa.table(columns), running.lake / "t" / "part.parquet", row_group_size=10_000)
    running.start()
    try:
        running.must("fs", "mount", "/files", f"file://{running.lake}")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def local(node: RunningNode) -> pa.Table:
    """The rows as they are read without any of us."""
    return pq.read_table(node.lake / "t" / "part.parquet")


@pytest.fixture(params=["short circuit", "http"])
def options(node: RunningNode, request: pytest.FixtureRequest) -> Options:
    """Storage options: with the shelf of this host, and as from another host."""
    key, secret = node.key()
    usual: Options = {"key": key, "secret": secret}
    if request.param == "http":
        return {**usual, "endpoint": node.place["s3"], "short_circuit": False}
    return {**usual, "data": str(node.data)}


@pytest.fixture
def lake(options: Options) -> ForebayFileSystem:
    found: ForebayFileSystem = fsspec.filesystem("forebay", **options)
    return found


def test_pandas(options: Options, local: pa.Table) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(URL, storage_options=options), local.to_pandas())


def test_polars(lake: ForebayFileSystem, options: Options, local: pa.Table) -> None:
    with lake.open(URL) as file:
        assert pl.read_parquet(file).equals(pl.DataFrame(local))
    frame = pl.read_parquet(URL, use_pyarrow=True, storage_options=options)
    assert frame.equals(pl.DataFrame(local))


def test_pyarrow(lake: ForebayFileSystem, local: pa.Table) -> None:
    assert pq.read_table("/files/t/part.parquet", filesystem=lake).equals(local)
    dataset = pyarrow.dataset.dataset("/files/t", filesystem=lake, format="parquet")
    assert dataset.to_table(columns=["share"]).equals(local.select(["share"]))


def test_duckdb(lake: ForebayFileSystem, local: pa.Table) -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(lake)
        found = connection.execute("select * from 'forebay:///files/t/*.parquet'").to_arrow_table()
        assert found.equals(local)
        counted = connection.execute(
            "select count(distinct name), max(share) from read_parquet('forebay:///files/**/*.parquet')"
        ).fetchone()
    assert counted == (977, (ROWS - 1) / 7)


def test_what_is_near_is_read_as_a_local_file(node: RunningNode, local: pa.Table) -> None:
    key, secret = node.key()
    lake: ForebayFileSystem = fsspec.filesystem(
        "forebay", data=str(node.data), key=key, secret=secret
    )
    near = until(lambda: nearby(lake), lambda near: near.startswith("/proc/self/fd/"))

    assert pq.read_table(near).equals(local)
    assert duckdb.read_parquet(near).to_arrow_table().equals(local)
    assert pl.scan_parquet(near).collect().equals(pl.DataFrame(local))
    mapped = lake.mapped(URL)
    assert mapped is not None
    assert pq.read_table(pa.BufferReader(pa.py_buffer(mapped))).equals(local)


def test_a_node_that_is_started_anew_is_found_and_read(own_node: RunningNode) -> None:
    content = b"some bytes" * 100_000
    own_node.put("a", content)
    own_node.start()
    own_node.must("fs", "mount", "/files", f"file://{own_node.lake}")
    key, secret = own_node.key()
    lake: ForebayFileSystem = fsspec.filesystem(
        "forebay", data=str(own_node.data), key=key, secret=secret
    )
    file = lake.open("/files/a")
    assert file.read(100) == content[:100]
    before = own_node.place["s3"]
    own_node.stop()
    own_node.start()
    assert own_node.place["s3"] != before

    assert file.read() == content[100:]
    assert lake.cat_file("/files/a") == content
    assert lake.ls("/files", detail=False) == ["/files/a"]


def test_reads_past_the_node_are_counted_for_its_report(node: RunningNode) -> None:
    key, secret = node.key()
    lake: ForebayFileSystem = fsspec.filesystem(
        "forebay", data=str(node.data), key=key, secret=secret
    )
    until(lambda: nearby(lake), lambda near: near.startswith("/proc/self/fd/"))
    tallies = Tallies(Path(node.place["shelf"]) / "tallies")
    before = tallies.totals()["/files"]

    lake.cat_file(URL, 0, 1000)

    after = tallies.totals()["/files"]
    assert (after.reads, after.size) == (before.reads + 1, before.size + 1000)


def nearby(lake: ForebayFileSystem) -> str:
    """Read the file, so that it is cached, and ask where it is near."""
    lake.cat_file(URL)
    return lake.near(URL)


def until(look: Callable[[], str], is_it: Callable[[str], bool]) -> str:
    """What is seen once it is as wanted: the node enters blocks a moment after they were read."""
    end = time.monotonic() + 10
    while not is_it(seen := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return seen
