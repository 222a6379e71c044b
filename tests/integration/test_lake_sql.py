"""SQL over a lake in a real HDFS: the answers are those of DuckDB on the same files at home."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from testbed.hdfs import Hdfs
from tests.fakes.whole_node import WholeNode

pytestmark = [pytest.mark.slow, pytest.mark.service]

ROWS = 200_000
QUERIES = """
select count(*), sum(amount), min(name), max(day) from sales;
select shop, count(*) as n, sum(amount) as total from sales group by shop order by shop;
select s.shop, t.town, sum(s.amount) as total from sales s join shops t using (shop)
    where s.day >= date '2026-02-01' group by all order by total desc, s.shop limit 10;
select name from sales where id = 123456
"""
SALES = """
copy (
    select i as id, i % 50 as shop, 'name ' || i as name,
        cast(i * 7919 % 10007 as decimal(12, 2)) as amount,
        date '2026-01-01' + cast(i % 90 as integer) as day
    from range($first, $last) t(i)
) to $place (row_group_size 20000)
"""
SHOPS = "copy (select i as shop, 'town ' || i % 7 as town from range(50) t(i)) to $place"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Two tables as Parquet files; the larger one in two of them."""
    place = tmp_path / "tables"
    for name in ("sales", "shops"):
        (place / name).mkdir(parents=True)
    with duckdb.connect() as connection:
        for half in range(2):
            part = {"first": half * ROWS // 2, "last": (half + 1) * ROWS // 2}
            connection.execute(SALES, {**part, "place": f"{place}/sales/{half}.parquet"})
        connection.execute(SHOPS, {"place": f"{place}/shops/all.parquet"})
    return place


@pytest.fixture
def onprem(
    whole_lake: WholeNode, hdfs: Hdfs, hdfs_directory: str, tables: Path
) -> Iterator[WholeNode]:
    with hdfs.files() as files:
        for place in sorted(tables.rglob("*.parquet")):
            files.put(f"{hdfs_directory}/tpc/{place.relative_to(tables)}", place)
    options = {"user": hdfs.superuser, "webhdfs": hdfs.webhdfs}
    whole_lake.mount("/warehouse", f"{hdfs.uri}{hdfs_directory}", **options)
    yield whole_lake
    whole_lake.node.delete("/v1/mounts", path="/warehouse")


def answers_at_home(tables: Path) -> list[list[dict[str, str]]]:
    with duckdb.connect() as connection:
        for name in ("sales", "shops"):
            connection.read_parquet(f"{tables}/{name}/*.parquet").create_view(name)
        found = []
        for query in QUERIES.split(";"):
            done = connection.execute(query)
            names = [column[0] for column in done.description or ()]
            found.append([dict(zip(names, map(str, row), strict=True)) for row in done.fetchall()])
    return found


def test_sql_over_hdfs_gives_the_answers_of_the_same_files_at_home(
    onprem: WholeNode, tables: Path
) -> None:
    words = ("sql", "--json", "--tables", "/warehouse/tpc", QUERIES)

    first = onprem.must(*words).json
    fetched = onprem.ufs("/warehouse")["fetched"]
    reads = onprem.ufs("/warehouse")["reads"]
    second = onprem.must(*words).json

    expected = answers_at_home(tables)
    assert as_texts(first) == expected
    assert as_texts(second) == expected
    assert 0 < fetched <= sum(place.stat().st_size for place in tables.rglob("*.parquet"))
    # The second run came out of the cache.
    assert onprem.ufs("/warehouse")["fetched"] == fetched
    assert onprem.ufs("/warehouse")["reads"] == reads


def as_texts(answers: list[list[dict[str, object]]]) -> list[list[dict[str, str]]]:
    return [[{name: str(value) for name, value in row.items()} for row in rows] for rows in answers]


def test_a_file_is_queried_by_its_lake_path(onprem: WholeNode, tables: Path) -> None:
    query = "select count(*) as n from 'forebay:///warehouse/tpc/sales/*.parquet'"

    assert onprem.must("sql", "--json", query).json == [{"n": ROWS}]
    assert tables.exists()
