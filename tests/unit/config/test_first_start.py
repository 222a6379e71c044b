"""The first start: a share of the free space becomes a quota that stays."""

from pathlib import Path

import pytest

from forebay.config.first_start import with_quota
from forebay.config.settings import load_settings
from forebay.model.errors import BadConfiguration

GIB = 1 << 30


def start(file: Path, free_bytes: int = 80 * GIB, **variables: str) -> int | object:
    environment = {"HOME": str(file.parent), **variables}
    named = file if file.exists() else None
    if named is None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
        named = file
    return with_quota(load_settings(named, environment=environment), free_bytes).cache.quota


def test_the_quota_is_written_once_and_stays(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    first = with_quota(load_settings(environment=home), 80 * GIB)

    again = with_quota(load_settings(environment=home), 40 * GIB)

    file = tmp_path / ".config" / "forebay" / "forebay.yaml"
    assert first.cache.quota == again.cache.quota == 20 * GIB
    assert file.read_text() == "cache:\n  quota: 20GiB\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert first.origin("cache.quota") == again.origin("cache.quota") == f"{file}:2"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "cache:\n  quota: 20GiB\n"),
        ("# mine\ndata: /d\n", "# mine\ndata: /d\ncache:\n  quota: 20GiB\n"),
        (
            "cache:   # fast\n\n    # where\n    directory: /c\ndata: /d\n",
            "cache:   # fast\n    quota: 20GiB\n\n    # where\n    directory: /c\ndata: /d\n",
        ),
        (
            "cache:\n  directory: /c\n  quota: 25%  # of the disk\ndata: /d\n",
            "cache:\n  directory: /c\n  quota: 20GiB  # of the disk\ndata: /d\n",
        ),
        ("cache:\n  quota: '25%'\n", "cache:\n  quota: 20GiB\n"),
        ("cache:\ndata: /d\n", "cache:\n  quota: 20GiB\ndata: /d\n"),
    ],
)
def test_the_rest_of_the_file_stays_as_it_is(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "forebay.yaml"
    file.write_text(before)

    assert start(file) == 20 * GIB

    assert file.read_text() == after


@pytest.mark.parametrize("text", ['"cache": {directory: /c}\n', "cache: {directory: /c}\n", "{}\n"])
def test_a_file_of_another_layout_is_left_alone_and_the_person_is_told(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "forebay.yaml"
    file.write_text(text)

    with pytest.raises(BadConfiguration, match=r"add cache\.quota: 20GiB"):
        start(file)

    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_quota_in_bytes_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "forebay.yaml"
    file.write_text("cache: {quota: 3GiB}\n")

    assert start(file) == 3 * GIB
    assert file.read_text() == "cache: {quota: 3GiB}\n"


def test_a_share_in_the_environment_is_not_written_down(tmp_path: Path) -> None:
    file = tmp_path / "forebay.yaml"

    assert start(file, FOREBAY_CACHE__QUOTA="50%") == 40 * GIB
    assert file.read_text() == ""
