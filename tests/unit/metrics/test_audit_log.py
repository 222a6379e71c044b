"""The audit log: durable, without secrets."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forebay.metrics.audit_log import HIDDEN, AuditLog, AuditRecord, audited_backwards
from forebay.model.errors import NoRoom

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def a_record(
    target: str = "/onprem", result: str = "ok", facts: dict[str, str] | None = None
) -> AuditRecord:
    return AuditRecord(
        NOON,
        "KEY",
        "mount",
        target,
        "admin 127.0.0.1",
        result,
        "R1",
        {} if facts is None else facts,
    )


async def test_a_record_is_on_disk_when_note_returns(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    await log.note(a_record(result="access-denied"))

    (found,) = audited_backwards(log.path)

    assert found == a_record(result="access-denied")
    await log.close()


async def test_no_secret_is_written(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    facts = {
        "s3.secret-key": "hush",
        "aws.secretAccessKey": "hush",
        "password": "hush",
        "session_token": "hush",
        "uri": "s3://me:hush@bucket/x",
        "readonly": "true",
    }
    await log.note(a_record(target="hdfs://me:hush@host/", facts=facts))
    await log.close()

    assert b"hush" not in log.path.read_bytes()
    (found,) = audited_backwards(log.path)
    assert found.facts["readonly"] == "true"
    assert found.facts["uri"] == f"s3://{HIDDEN}@bucket/x"


async def test_records_that_come_together_are_all_kept_in_order(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    await asyncio.gather(*(log.note(a_record(target=f"/{number}")) for number in range(50)))
    await log.close()

    targets = [record.target for record in audited_backwards(log.path)]
    assert targets[::-1] == [f"/{number}" for number in range(50)]


async def test_a_record_that_could_not_be_written_is_an_error_and_is_tried_again(
    tmp_path: Path,
) -> None:
    obstacle = tmp_path / "logs"
    obstacle.write_bytes(b"")
    log = AuditLog(obstacle / "audit.jsonl")
    with pytest.raises(NoRoom):
        await log.note(a_record(target="/first"))

    obstacle.unlink()
    await log.note(a_record(target="/second"))
    await log.close()

    assert [record.target for record in audited_backwards(log.path)] == ["/second", "/first"]
