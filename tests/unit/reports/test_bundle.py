"""The support bundle: everything one needs to see, and no secret."""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from forebay.model.errors import NoRoom
from forebay.reports.bundle import masked, write_bundle


@dataclass(frozen=True)
class Shown:
    """A setting."""

    name: str
    shown: str
    origin: str


def test_what_looks_like_a_secret_is_masked_in_logs_too(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "node.jsonl").write_text('{"event": "x", "secret_access_key": "hunter2"}\n')
    place = tmp_path / "bundle.tar.gz"

    write_bundle(place, [{"subject": "disk"}], [Shown("data", "/x", "default")], logs)

    with tarfile.open(place) as archive:
        names = archive.getnames()
        log = archive.extractfile("forebay-bundle/logs/node.jsonl")
        assert log is not None
        text = log.read().decode()
    assert "hunter2" not in text
    assert {"forebay-bundle/findings.json", "forebay-bundle/settings.json"} <= set(names)


@pytest.mark.parametrize(
    "text", ["password=abc", 'Signature="abc"', "X-Amz-Signature=abc", "token: abc"]
)
def test_masking_knows_the_usual_words(text: str) -> None:
    assert "abc" not in masked(text)


def test_a_bundle_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoRoom):
        write_bundle(tmp_path / "none" / "b.tar.gz", [], [], tmp_path)
