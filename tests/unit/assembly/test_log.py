"""The log: one line of JSON an event, with its facts, and whatever a library warns of."""

import json
import logging
import sys
from pathlib import Path

import pytest

from forebay.assembly.log import JsonLines, line_of
from forebay.metrics.rotating_file import RotatingFile, RotationOptions


def record(**more: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "forebay.doors", "levelno": 30, "levelname": "WARNING", "msg": "answer_cut"} | more
    )


def test_an_event_is_a_line_with_its_facts() -> None:
    told = json.loads(line_of(record(facts={"path": "/a\n", "size": 3})))

    assert (told["event"], told["level"], told["room"]) == (
        "answer_cut",
        "warning",
        "forebay.doors",
    )
    assert (told["path"], told["size"]) == ("/a\n", 3)


def test_an_exception_is_told_with_where_it_was_raised() -> None:
    told = {}
    try:
        int("broken")
    except ValueError:
        told = json.loads(line_of(record(exc_info=sys.exc_info())))

    assert "ValueError: invalid literal" in told["exception"]
    assert "test_log.py" in told["exception"]


def test_a_full_disk_does_not_stop_the_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    handler = JsonLines(RotatingFile(blocked / "node.jsonl", RotationOptions()))

    handler.emit(record())

    assert "answer_cut" in capsys.readouterr().err
