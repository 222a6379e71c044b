"""The connection to a node: its admin API over the UNIX socket."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from forebay.model.errors import ForebayError, NodeAway, every_error

PATIENCE: Final = httpx.Timeout(10.0, read=330.0)
"""Seconds: the node's own deadlines end every call long before the read time-out does."""

BY_CODE: Final[Mapping[str, type[ForebayError]]] = {error.code: error for error in every_error()}


def error_of(facts: Mapping[str, Any]) -> ForebayError:
    """The error that the node reported, as it was raised there."""
    kind = BY_CODE.get(str(facts.get("code")), ForebayError)
    return kind(facts.get("subject", ""), str(facts.get("reason", "")))


class Node:
    """A running node, asked over its socket in `<data>/admin.sock`."""

    def __init__(self, data: Path) -> None:
        self.socket = data / "admin.sock"
        self._http = httpx.Client(
            base_url="http://forebay",
            transport=httpx.HTTPTransport(uds=str(self.socket)),
            timeout=PATIENCE,
        )

    def get(self, path: str, /, **query: object) -> Any:  # noqa: ANN401 - whatever the JSON holds
        """The JSON answer to a GET."""
        return self._ask("GET", path, params=_given(query))

    def post(self, path: str, body: object = None, /, **query: object) -> Any:  # noqa: ANN401
        """The JSON answer to a POST of a JSON body."""
        return self._ask("POST", path, json=body, params=_given(query))

    def delete(self, path: str, /, **query: object) -> Any:  # noqa: ANN401
        """The JSON answer to a DELETE."""
        return self._ask("DELETE", path, params=_given(query))

    @contextmanager
    def stream(self, method: str, path: str, /, **query: object) -> Iterator[httpx.Response]:
        """An answer read piece by piece."""
        with (
            self._speaking(),
            self._http.stream(method, path, params=_given(query)) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise error_of(_facts(answer))
            yield answer

    def lines(self, path: str, body: object) -> Iterator[dict[str, Any]]:
        """The JSON lines of an answer to a POST, as they come; an error line is raised."""
        with self._speaking(), self._http.stream("POST", path, json=body) as answer:
            if answer.is_error:
                answer.read()
                raise error_of(_facts(answer))
            for line in answer.iter_lines():
                step = json.loads(line)
                if "error" in step:
                    raise error_of(step["error"])
                yield step

    def _ask(self, method: str, path: str, **request: Any) -> Any:  # noqa: ANN401
        with self._speaking():
            answer = self._http.request(method, path, **request)
        if answer.is_error:
            raise error_of(_facts(answer))
        return answer.json() if answer.content else None

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise NodeAway(self.socket, "no node answers there") from error
        except httpx.TransportError as error:
            raise NodeAway(self.socket, f"the connection broke: {error}") from error


def _given(query: Mapping[str, object]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, value in query.items():
        if value is None:
            continue
        texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def _facts(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        facts = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {"code": "internal", "reason": f"HTTP {answer.status_code}"}
    return facts if isinstance(facts, dict) else {"code": "internal"}
