"""The doctor's findings: what is well, what is doubtful, what is wrong."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forebay.model.errors import StoreRefused
from forebay.reports.doctor import (
    examine_credentials,
    examine_host,
    examine_port,
    examine_store,
    worst,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_a_private_directory_with_room_is_well(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    assert worst(examine_host(tmp_path, tmp_path, 0)) == "good"


def test_a_directory_that_others_may_enter_is_doubtful(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    assert worst(examine_host(tmp_path, tmp_path, 0)) == "doubtful"


def test_a_disk_below_its_reserve_is_wrong(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    findings = examine_host(tmp_path, tmp_path / "not/there/yet", 1 << 60)

    assert worst(findings) == "wrong"
    assert any("cache.reserve" in finding.advice for finding in findings)


def test_a_port_that_somebody_has_is_wrong_and_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        finding = examine_port("s3", "127.0.0.1", port)

    assert finding.verdict == "wrong"
    assert str(port) in finding.seen
    assert examine_port("s3", "127.0.0.1", 0).verdict == "good"


def test_credentials_that_others_can_read_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    assert examine_credentials(file).verdict == "doubtful"
    file.write_text("[default]")
    file.chmod(0o644)
    assert examine_credentials(file).verdict == "wrong"
    file.chmod(0o600)
    assert examine_credentials(file).verdict == "good"


def test_a_store_that_refuses_us_is_wrong_with_its_advice() -> None:
    (finding,) = examine_store("/cloud", StoreRefused("s3://b", "no such key"), None, NOW)

    assert finding.verdict == "wrong"
    assert "store-refused" in finding.seen
    assert finding.advice == StoreRefused.advice


def test_a_clock_that_runs_apart_is_doubtful() -> None:
    apart = examine_store("/cloud", {"bucket": "b"}, NOW + timedelta(minutes=9), NOW)
    together = examine_store("/cloud", {"bucket": "b"}, NOW + timedelta(seconds=2), NOW)

    assert (worst(apart), worst(together)) == ("doubtful", "good")
