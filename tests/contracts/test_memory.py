"""The memory store keeps the contract, as an object store and with real directories."""

import pytest

from forebay.stores.contract import Store
from forebay.stores.memory import MemoryStore
from tests.contracts.store_contract import Outsider, StoreContract


def planter(store: MemoryStore) -> Outsider:
    async def plant(name: str, content: bytes) -> None:
        store.plant(name, content)

    return plant


class TestMemoryAsObjectStore(StoreContract):
    """Without real directories."""

    @pytest.fixture
    def memory(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return memory

    @pytest.fixture
    def outsider(self, memory: MemoryStore) -> Outsider:
        return planter(memory)


class TestMemoryWithDirectories(TestMemoryAsObjectStore):
    """With real directories."""

    @pytest.fixture
    def memory(self) -> MemoryStore:
        return MemoryStore(real_directories=True)
