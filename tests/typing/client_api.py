"""The types of the client's API, as a type checker sees them. Checked, never run."""

from datetime import datetime
from typing import assert_type

from forebay.client.filesystem import ForebayFileSystem
from forebay.client.status import Info


def what_is_there(lake: ForebayFileSystem) -> None:
    assert_type(lake.info("/a"), Info)
    assert_type(lake.info("/a")["size"], int)
    assert_type(lake.info("/a")["modified"], datetime | None)
    assert_type(lake.ls("/a"), list[Info])
    assert_type(lake.ls("/a", detail=False), list[str])
    assert_type(lake.find("/a"), list[str])
    assert_type(lake.find("/a", detail=True), dict[str, Info])
    assert_type(lake.du("/a"), int)
    assert_type(lake.du("/a", total=False), dict[str, int])
    assert_type(lake.exists("/a"), bool)
    assert_type(lake.isfile("/a"), bool)
    assert_type(lake.modified("/a"), datetime)
    assert_type(lake.created("/a"), datetime)
    assert_type(lake.ukey("/a"), str)
    assert_type(lake.checksum("/a"), str)


def bytes_of_it(lake: ForebayFileSystem) -> None:
    assert_type(lake.cat_file("/a", 0, 10), bytes)
    assert_type(lake.cat_ranges(["/a"], [0], [10]), list[bytes | Exception])
    assert_type(lake.near("/a"), str)
    assert_type(lake.local_descriptor("/a"), int | None)
    assert_type(lake.mapped("/a"), memoryview | None)


def options() -> None:
    assert_type(ForebayFileSystem(data="/d"), ForebayFileSystem)
    ForebayFileSystem(endpoint="http://h:1", key="k", secret="s", short_circuit=False)
    ForebayFileSystem(endpont="http://h:1")  # type: ignore[call-arg]
