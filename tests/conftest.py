"""The servers tests may ask for: each is started once, when the first test asks."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.hdfs import Hdfs
from testbed.postgres import Postgres
from testbed.seaweed import Seaweed
from tests.fakes.running_node import RunningNode
from tests.fakes.whole_node import WholeNode, whole_node

pytest_plugins = ["testbed.no_skips"]


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """A NameNode with one DataNode, for tests that neither kill nor freeze them."""
    with Hdfs(tmp_path_factory.mktemp("hdfs")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 store, for tests that neither kill nor freeze it."""
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as store:
        yield store


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A database server, for tests that neither kill nor freeze it."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with local files at /files, for tests that only add files and keys of their own."""
    node = RunningNode(tmp_path_factory.mktemp("node"))
    node.start()
    try:
        node.must("fs", "mount", "/files", f"file://{node.lake}", "--option", "sync=always")
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="session")
def whole_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeNode]:
    """A node for tests that add mounts, files and keys of their own, and count per mount."""
    with whole_node(tmp_path_factory.mktemp("lake")) as node:
        yield node


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[RunningNode]:
    """A node of the test's own, not started yet."""
    node = RunningNode(tmp_path)
    yield node
    node.stop()


@pytest.fixture
def bucket(seaweed: Seaweed) -> Iterator[str]:
    """An empty bucket of the test's own in the S3 store."""
    name = seaweed.make_bucket()
    yield name
    seaweed.drop_bucket(name)


@pytest.fixture
def hdfs_directory(hdfs: Hdfs) -> Iterator[str]:
    """An empty directory of the test's own in HDFS."""
    path = f"/tests/{uuid.uuid4().hex}"
    with hdfs.files() as files:
        files.make_directory(path)
        yield path
        files.delete(path)


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    """The address, for SQLAlchemy with asyncpg, of an empty database of the test's own."""
    name = postgres.make_database()
    yield postgres.url_of(name)
    postgres.drop_database(name)
