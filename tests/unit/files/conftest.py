"""What the tests of `files` share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.files.lake import TestLake, opened_lake


@pytest.fixture
async def lake(tmp_path: Path) -> AsyncIterator[TestLake]:
    async with opened_lake(tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing may be logged by the event loop: no error without an owner."""
    yield
    assert not caplog.records
