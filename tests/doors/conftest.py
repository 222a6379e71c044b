"""What tests of doors share: a world for an S3 door, and the door."""

from pathlib import Path

import pytest

from tests.doors.s3_door import Door
from tests.fakes.s3_world import FakeLake, FakeShelf


@pytest.fixture
def s3_lake() -> FakeLake:
    """A lake with a few files."""
    return FakeLake(
        {
            "/onprem/a.txt": b"hello",
            "/onprem/empty": b"",
            "/onprem/sales/2025/q1.parquet": b"q1" * 50_000,
            "/onprem/sales/2025/q2.parquet": b"q2" * 10,
            "/onprem/sales/2026/q1.parquet": b"new",
            "/onprem/odd name+ä%.txt": b"odd",
            "/cold/z": b"z",
        },
        directories={"/onprem/void"},
    )


@pytest.fixture
def s3_shelf(tmp_path: Path) -> FakeShelf:
    """An empty shelf."""
    return FakeShelf(tmp_path)


@pytest.fixture
def s3_door(s3_lake: FakeLake, s3_shelf: FakeShelf) -> Door:
    """A door that is still shut."""
    return Door(s3_lake, s3_shelf)
