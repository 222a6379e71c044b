"""The access log: what was noted can be found again, within bounds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from forebay.metrics.access_log import (
    AccessLog,
    AccessLogOptions,
    AccessRow,
    find,
    since,
    tail,
)
from forebay.metrics.request_ids import RequestIds
from forebay.metrics.rotating_file import RotationOptions, files_of

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def a_row(number: int, path: str = "/onprem/a") -> AccessRow:
    at = (NOON + timedelta(seconds=number)).timestamp()
    return (at, "s3", "KEY", "get", path, 0, 10, 200, 10, 0, 0.0001, f"R{number:04d}")


async def test_a_record_is_found_by_its_request_id(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    log.note(a_row(1))
    log.note(a_row(2, path='/onprem/"request_id":"R0001"'))
    await log.close()

    found = find(log.path, "R0002")

    assert found is not None
    assert found.at == NOON + timedelta(seconds=2)
    assert (found.operation, found.bytes_from_cache, found.status) == ("get", 10, 200)
    assert found.path == '/onprem/"request_id":"R0001"'
    assert find(log.path, "R0003") is None


async def test_the_tail_is_in_order_and_spans_rotated_files(tmp_path: Path) -> None:
    options = AccessLogOptions(rotation=RotationOptions(largest_bytes=1, kept=5))
    log = AccessLog(tmp_path / "access.jsonl", options)
    for number in range(4):
        log.note(a_row(number))
        await log.flush()
    await log.close()

    assert [record.request_id for record in tail(log.path, 3)] == ["R0001", "R0002", "R0003"]
    recent = since(log.path, NOON + timedelta(seconds=2))
    assert [record.request_id for record in recent] == ["R0002", "R0003"]


async def test_rotation_keeps_only_so_many_files(tmp_path: Path) -> None:
    options = AccessLogOptions(rotation=RotationOptions(largest_bytes=1, kept=2))
    log = AccessLog(tmp_path / "access.jsonl", options)
    for number in range(9):
        log.note(a_row(number))
        await log.flush()
    await log.close()

    assert len([*files_of(log.path)]) == 3
    assert [record.request_id for record in tail(log.path, 99)] == ["R0006", "R0007", "R0008"]


async def test_a_backlog_that_is_full_drops_and_counts(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl", AccessLogOptions(backlog=2))
    for number in range(5):
        log.note(a_row(number))
    await log.close()

    assert log.dropped == 3
    assert len(tail(log.path, 99)) == 2
    assert {sample.labels: sample.value for sample in log.samples()} == {
        ("written",): 2,
        ("dropped",): 3,
    }


async def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    log = AccessLog(tmp_path / "file" / "access.jsonl")
    log.note(a_row(1))
    await log.flush()
    await log.close()

    assert log.dropped == 1


async def test_a_line_torn_by_a_crash_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    path.write_bytes(b'{"at":"2025-03-01T12:00:00Z","door":"s3","ke')
    log = AccessLog(path)
    log.note(a_row(7))
    await log.close()

    assert [record.request_id for record in tail(path, 99)] == ["R0007"]


async def test_the_log_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    log.note(a_row(1))
    await log.close()

    assert log.path.stat().st_mode & 0o777 == 0o600


async def test_the_flusher_writes_without_being_asked(tmp_path: Path) -> None:
    waits: list[float] = []

    class Stopped(Exception):
        pass

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise Stopped

    log = AccessLog(tmp_path / "access.jsonl", wait=wait)
    log.note(a_row(1))
    try:
        await log.run()
    except Stopped:
        assert len(tail(log.path, 9)) == 1
    await log.close()

    assert waits == [0.25, 0.25]


def test_request_ids_differ_within_and_between_runs() -> None:
    first, second = RequestIds("A1B2C3D4"), RequestIds("99999999")
    given = {first.next() for _ in range(1000)} | {second.next() for _ in range(1000)}

    assert len(given) == 2000
    assert {len(request_id) for request_id in given} == {16}


async def test_long_logs_are_read_backwards_in_pieces(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    for number in range(9000):
        log.note(a_row(number, path="/onprem/" + "x" * (number % 300)))
    await log.close()

    assert [record.request_id for record in tail(log.path, 9000)] == [
        f"R{number:04d}" for number in range(9000)
    ]
