"""The HDFS store keeps the contract against a real HDFS, with WebHDFS and without."""

from collections.abc import AsyncIterator, Iterator

import pytest

from forebay.stores.contract import Store
from forebay.stores.hdfs.address import HdfsOptions
from forebay.stores.hdfs.store import open_hdfs
from testbed.hdfs import Hdfs
from testbed.hdfs import HdfsOptions as ClusterOptions
from tests.contracts.store_contract import Outsider, StoreContract


@pytest.fixture(scope="module")
def whole_hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """A cluster of this module's own, because its root is emptied for each test.

    Its pages are small, so that nearly every listing takes several.
    """
    settings = {
        "dfs.ls.limit": "3",
        # A DataNode waits this long before it asks again whether a file is closed.
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20",
    }
    directory = tmp_path_factory.mktemp("whole-hdfs")
    with Hdfs(directory, ClusterOptions(settings=settings)) as cluster:
        yield cluster


@pytest.mark.service
class TestHdfs(StoreContract):
    """With WebHDFS."""

    @pytest.fixture
    def options(self, whole_hdfs: Hdfs) -> HdfsOptions:
        authority = whole_hdfs.uri.removeprefix("hdfs://")
        return HdfsOptions(authority, whole_hdfs.superuser, (whole_hdfs.webhdfs,), insists=True)

    @pytest.fixture
    async def store(self, whole_hdfs: Hdfs, options: HdfsOptions) -> AsyncIterator[Store]:
        opened = await open_hdfs(options)
        yield opened
        await opened.close()
        with whole_hdfs.files() as files:
            found = files.ask("GET", "/", "LISTSTATUS")["FileStatuses"]["FileStatus"]
            for entry in found:
                files.delete(f"/{entry['pathSuffix']}")

    @pytest.fixture
    def outsider(self, whole_hdfs: Hdfs, store: Store) -> Outsider:
        del store  # it is there first, and empty

        async def plant(name: str, content: bytes) -> None:
            with whole_hdfs.files() as files:
                files.put(f"/{name}", content)

        return plant


@pytest.mark.service
class TestHdfsWithoutWebHdfs(TestHdfs):
    """By hdfs-native alone."""

    @pytest.fixture
    def options(self, whole_hdfs: Hdfs) -> HdfsOptions:
        return HdfsOptions(whole_hdfs.uri.removeprefix("hdfs://"), whole_hdfs.superuser)
