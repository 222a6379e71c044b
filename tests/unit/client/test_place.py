"""Where the client finds its node."""

import json
from pathlib import Path

import pytest

from forebay.client.place import Place, Wanted, place_of
from forebay.model.errors import BadOption


@pytest.fixture
def home(tmp_path: Path) -> Path:
    credentials = tmp_path / ".config/forebay/credentials"
    credentials.parent.mkdir(parents=True)
    credentials.write_text(
        "[default]\naws_access_key_id = K\naws_secret_access_key = S\n"
        "endpoint_url = http://profile:1/\n\n"
        "[other]\naws_access_key_id = K2\naws_secret_access_key = S2\n"
    )
    return tmp_path


def a_node(data: Path, **told: object) -> Path:
    data.mkdir(parents=True)
    (data / "node.json").write_text(json.dumps({"pid": 1, "s3": "http://node:1", **told}))
    return data


def found(home: Path, *, environment: dict[str, str] | None = None, **wanted: str) -> Place:
    return place_of(Wanted(**wanted), environment or {}, home)


def test_a_node_in_the_usual_place_is_found_with_its_door_its_shelf_and_a_key(home: Path) -> None:
    data = a_node(home / ".local/share/forebay")

    assert found(home) == Place(data, data / "shelf/0", "http://node:1", "K", "S")


def test_the_environment_names_another_data_directory_and_the_caller_yet_another(
    home: Path,
) -> None:
    a_node(home / "one")
    a_node(home / "two", s3="http://two:2/")
    environment = {"FOREBAY_DATA": str(home / "one")}

    assert found(home, environment=environment).data == home / "one"
    place = found(home, environment=environment, data=str(home / "two"))
    assert (place.data, place.endpoint) == (home / "two", "http://two:2")


def test_the_shelf_of_one_node_is_not_read_with_the_door_of_another(home: Path) -> None:
    a_node(home / ".local/share/forebay")

    assert found(home, endpoint="http://elsewhere:1").shelf is None
    assert found(home, endpoint="http://node:1/").shelf is not None


def test_without_a_node_on_this_host_the_profile_names_the_door(home: Path) -> None:
    place = found(home)

    assert (place.endpoint, place.shelf) == ("http://profile:1", None)


def test_a_node_with_its_shelf_or_its_keys_elsewhere_says_so(home: Path) -> None:
    keys = home / "keys"
    keys.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B\n")
    a_node(home / "node", shelf="/fast/disk/0", credentials=str(keys))

    place = found(home, data=str(home / "node"))

    assert (place.shelf, place.key, place.secret) == (Path("/fast/disk/0"), "A", "B")
    environment = {"FOREBAY_CREDENTIALS": str(home / ".config/forebay/credentials")}
    assert found(home, environment=environment, data=str(home / "node")).key == "K"


def test_a_profile_or_a_key_that_the_caller_names_is_used(home: Path) -> None:
    assert found(home, profile="other").key == "K2"
    assert found(home, key="mine", secret="hidden").key == "mine"


def test_a_profile_that_does_not_exist_and_half_a_key_are_refused(home: Path) -> None:
    with pytest.raises(BadOption, match="no profile 'nobody'"):
        found(home, profile="nobody")
    with pytest.raises(BadOption, match="both key and secret"):
        found(home, key="mine")


def test_a_broken_node_file_is_as_good_as_none(home: Path) -> None:
    data = home / "node"
    data.mkdir()
    (data / "node.json").write_text('{"s3": ')

    assert found(home, data=str(data)).endpoint == "http://profile:1"


def test_secrets_are_not_shown(home: Path) -> None:
    assert "hidden" not in repr(found(home, key="mine", secret="hidden"))
    assert "hidden" not in repr(Wanted(key="mine", secret="hidden"))
