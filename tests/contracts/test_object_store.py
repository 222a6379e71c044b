"""The object store keeps the contract, on a real S3 server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from forebay.model.errors import FileExists
from forebay.stores.contract import Store
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.store import open_object_store
from testbed.seaweed import Seaweed
from tests.contracts.store_contract import Outsider, StoreContract, key, names_in, put

pytestmark = pytest.mark.service


class TestObjectStore(StoreContract):
    """A bucket of SeaweedFS."""

    part_bytes = 5 << 20

    @pytest.fixture
    async def store(self, seaweed: Seaweed, bucket: str) -> AsyncIterator[Store]:
        options = S3Options(
            bucket=bucket,
            endpoint=seaweed.endpoint,
            access_key_id=seaweed.access_key,
            secret_access_key=seaweed.secret_key,
        )
        store = open_object_store(options, {})
        yield store
        await store.close()

    @pytest.fixture
    def outsider(self, seaweed: Seaweed, bucket: str) -> Outsider:
        def plant(name: str, content: bytes) -> None:
            client = seaweed.client()
            try:
                client.put_object(Bucket=bucket, Key=name, Body=content)
            finally:
                client.close()

        async def plant_aside(name: str, content: bytes) -> None:
            await asyncio.to_thread(plant, name, content)

        return plant_aside

    async def test_a_name_that_is_a_prefix_is_taken_on_this_server_unless_replaced(
        self, store: Store
    ) -> None:
        await put(store, "a", b"a")
        await put(store, "d/x", b"x")
        with pytest.raises(FileExists):
            await store.rename(key("a"), key("d"))
        assert await names_in(store, recursive=True) == ["a", "d/x"]

    @pytest.mark.parametrize("replace", [True])
    async def test_a_file_never_moves_into_a_directory_of_that_name(
        self, store: Store, replace: bool
    ) -> None:
        # On AWS a create-only rename does the same; SeaweedFS answers as the test above says.
        await super().test_a_file_never_moves_into_a_directory_of_that_name(store, replace)
