"""A probe: one short HTTP question to a server that may not be up yet."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 2.0


def fetch(url: str, patience: float = PATIENCE_SECONDS) -> tuple[int, bytes] | None:
    """Status and body of the answer to a GET, or None where there is no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience)
    try:
        connection.request("GET", f"{parts.path or '/'}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    answer = fetch(url)
    return answer is not None and answer[0] < http.HTTPStatus.MULTIPLE_CHOICES


def bean(address: str, name: str) -> dict[str, Any]:
    """One of a Hadoop server's JMX beans, empty while the server does not show it."""
    answer = fetch(f"{address}/jmx?qry=Hadoop:{name}")
    if answer is None or answer[0] != http.HTTPStatus.OK:
        return {}
    shown: list[dict[str, Any]] = json.loads(answer[1]).get("beans", [])
    return shown[0] if shown else {}
