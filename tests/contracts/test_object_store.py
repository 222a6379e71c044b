"""The object store keeps the contract, on a real S3 server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from forebay.stores.contract import Store
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.store import open_object_store
from testbed.seaweed import Seaweed
from tests.contracts.store_contract import Outsider, StoreContract

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
