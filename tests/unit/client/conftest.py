"""What tests of the client share: a shelf, and filesystems that read it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from forebay.client.filesystem import ForebayFileSystem
from tests.fakes.filled_shelf import FilledShelf, filled_shelf

OpenLake = Callable[..., ForebayFileSystem]

AWAY = "http://127.0.0.1:9"
"""Nobody listens there: what is read in spite of it came from the shelf."""


def a_lake(**options: object) -> ForebayFileSystem:
    """A filesystem of the test's own, found by its protocol as any program finds it."""
    usual = {"key": "K", "secret": "S", "skip_instance_cache": True}
    found: ForebayFileSystem = fsspec.filesystem("forebay", **{**usual, **options})
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory."""
    return tmp_path / "data"


@pytest.fixture
def shelf(data: Path) -> Iterator[FilledShelf]:
    """A shelf that is open for writing in this process."""
    filled = filled_shelf(data)
    yield filled
    filled.shelf.close()


@pytest.fixture
def lake(data: Path, shelf: FilledShelf) -> OpenLake:
    """Opens a filesystem on that shelf and on the door it is given."""

    def opened(endpoint: str = AWAY) -> ForebayFileSystem:
        return a_lake(data=str(data), endpoint=endpoint, shelf=shelf.shelf)

    return opened
