"""The connection to a node: its admin API over the UNIX socket.

Over the standard library's HTTP client: a command of the command line starts in a quarter of the
time that importing a larger one takes.
"""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from forebay.model.errors import ForebayError, NodeAway, every_error

PATIENCE: Final = 330.0
"""Seconds of silence: the node's own deadlines end every call long before."""

BY_CODE: Final[Mapping[str, type[ForebayError]]] = {error.code: error for error in every_error()}


def error_of(facts: Mapping[str, Any]) -> ForebayError:
    """The error that the node reported, as it was raised there."""
    kind = BY_CODE.get(str(facts.get("code")), ForebayError)
    return kind(facts.get("subject", ""), str(facts.get("reason", "")))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("forebay", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Node:
    """A running node, asked over its socket in `<data>/admin.sock`."""

    def __init__(self, data: Path) -> None:
        self.socket = data / "admin.sock"

    def get(self, path: str, /, **query: object) -> Any:  # noqa: ANN401 - whatever the JSON holds
        """The JSON answer to a GET."""
        return self._ask("GET", path, query)

    def post(self, path: str, body: object = None, /, **query: object) -> Any:  # noqa: ANN401
        """The JSON answer to a POST of a JSON body."""
        return self._ask("POST", path, query, body)

    def delete(self, path: str, /, **query: object) -> Any:  # noqa: ANN401
        """The JSON answer to a DELETE."""
        return self._ask("DELETE", path, query)

    @contextmanager
    def stream(
        self, method: str, path: str, /, **query: object
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer to be read piece by piece."""
        with self._answer(method, path, query) as answer:
            yield answer

    def lines(self, path: str, body: object) -> Iterator[dict[str, Any]]:
        """The JSON lines of an answer to a POST, as they come; an error line is raised."""
        with self._answer("POST", path, {}, body) as answer:
            for line in answer:
                step = json.loads(line)
                if "error" in step:
                    raise error_of(step["error"])
                yield step

    def _ask(self, method: str, path: str, query: Mapping[str, object], body: object = None) -> Any:  # noqa: ANN401
        with self._answer(method, path, query, body) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    @contextmanager
    def _answer(
        self, method: str, path: str, query: Mapping[str, object], body: object = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _UnixConnection(self.socket)
        given = _given(query)
        target = f"{path}?{urlencode(given)}" if given else path
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
            if answer.status >= http.client.BAD_REQUEST:
                raise error_of(_facts(answer))
            yield answer
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NodeAway(self.socket, "no node answers there") from error
        except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
            raise NodeAway(self.socket, f"the connection broke: {error}") from error
        finally:
            connection.close()


def _given(query: Mapping[str, object]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, value in query.items():
        if value is None:
            continue
        texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def _facts(answer: http.client.HTTPResponse) -> Mapping[str, Any]:
    try:
        facts = json.loads(answer.read())["error"]
    except (ValueError, KeyError, TypeError):
        return {"code": "internal", "reason": f"HTTP {answer.status}"}
    return facts if isinstance(facts, dict) else {"code": "internal"}
