"""The credentials file: one profile a key, the others untouched, for the owner alone."""

import configparser
from pathlib import Path

import pytest

from forebay.config.credentials import write_profile
from forebay.model.errors import BadConfiguration, BadOption

KEY = {"key_id": "FBKEY"}


def profiles(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    parser.read(file)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_a_key_is_written_as_a_profile_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "config" / "credentials"

    assert write_profile(file, "default", {**KEY, "endpoint": "http://h:1"}, "s3cret") == file

    assert profiles(file) == {
        "default": {
            "aws_access_key_id": "FBKEY",
            "aws_secret_access_key": "s3cret",
            "endpoint_url": "http://h:1",
        }
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_profile_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("# mine\n[a]\nx = 1\n\n[b]\ny = 2\n\n[c]\nz = 3\n")
    file.chmod(0o644)

    write_profile(file, "b", KEY, "new")

    assert file.read_text() == (
        "# mine\n[a]\nx = 1\n\n[c]\nz = 3\n\n"
        "[b]\naws_access_key_id = FBKEY\naws_secret_access_key = new\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "a]b", "a\nb", "ä", "x" * 65])
def test_what_is_no_name_of_a_profile_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadOption, match="is no name of a profile"):
        write_profile(tmp_path / "credentials", name, KEY, "secret")

    assert not (tmp_path / "credentials").exists()


def test_a_file_that_cannot_be_written_is_an_error_without_the_secret(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BadConfiguration, match="cannot be written") as caught:
        write_profile(tmp_path / "file" / "credentials", "a", KEY, "hunter2")

    assert "hunter2" not in str(caught.value)
