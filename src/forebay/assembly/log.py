"""The log of the node: the standard library's logging, as lines of JSON in a rotating file.

An event has a name in the past tense, and facts: `log.info("key_made", extra={"facts": {…}})`.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forebay.metrics.rotating_file import RotatingFile, RotationOptions
from forebay.model.errors import ForebayError


class JsonLines(logging.Handler):
    """Writes each record as one line. A full disk must not stop the node."""

    def __init__(self, file: RotatingFile) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        line = line_of(record)
        try:
            self._file.write(line.encode() + b"\n")
        except ForebayError:
            sys.stderr.write(line + "\n")


def line_of(record: logging.LogRecord) -> str:
    """The record as JSON: when, how grave, who, the event, its facts, and where it was raised."""
    told: dict[str, Any] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        "room": record.name,
    }
    told.update(getattr(record, "facts", {}))
    if record.exc_info is not None and record.exc_info[1] is not None:
        told["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
    return json.dumps(told, default=str)


def configure_log(place: Path, rotation: RotationOptions) -> None:
    """Send what this process logs into `place`; what libraries say, from warnings on."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = JsonLines(RotatingFile(place / "node.jsonl", rotation))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("forebay").setLevel(logging.INFO)
    # It warns of each request that is no HTTP: strangers must not fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
