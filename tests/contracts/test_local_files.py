"""The store of local files keeps the contract."""

from pathlib import Path

import pytest

from forebay.stores.contract import Store
from forebay.stores.local_files.store import LocalFilesStore
from tests.contracts.store_contract import Outsider, StoreContract


class TestLocalFiles(StoreContract):
    """On a real directory of this host."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalFilesStore(tmp_path)

    @pytest.fixture
    def outsider(self, tmp_path: Path) -> Outsider:
        async def plant(name: str, content: bytes) -> None:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        return plant
