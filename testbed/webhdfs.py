"""WebHDFS: files put into HDFS and taken out of it, by an ordinary HTTP client.

Closing a file costs 20 ms here, where the native client waits half a second for it, and small
blocks do not disturb it.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

PATIENCE_SECONDS = 60.0


class WebHdfs:
    """A client of one NameNode; `routes` names other addresses for hosts in redirects."""

    def __init__(self, address: str, user: str, routes: Mapping[str, str] | None = None) -> None:
        self._user = user
        self._routes = {} if routes is None else dict(routes)
        # What the environment says about proxies is not about loopback.
        self._client = httpx.Client(base_url=address, timeout=PATIENCE_SECONDS, trust_env=False)

    def put(self, path: str, body: bytes | Path, **parameters: str) -> None:
        """Store a file, replacing what was there; parents are made."""
        wish = {"overwrite": "true", **parameters}
        target = self._redirected("PUT", path, "CREATE", wish)
        if isinstance(body, bytes):
            _succeeded(self._client.put(target, content=body))
            return
        with body.open("rb") as file:
            size = str(body.stat().st_size)
            answer = self._client.put(target, content=file, headers={"Content-Length": size})
            _succeeded(answer)

    def append(self, path: str, body: bytes) -> None:
        """Add to the end of a file."""
        target = self._redirected("POST", path, "APPEND", {})
        _succeeded(self._client.post(target, content=body))

    def get(self, path: str) -> bytes:
        """The whole content of a file."""
        target = self._redirected("GET", path, "OPEN", {})
        answer = self._client.get(target)
        return _succeeded(answer).content

    def ask(self, method: str, path: str, operation: str, **parameters: str) -> dict[str, Any]:
        """Any operation that the NameNode answers itself; the JSON of its answer."""
        answer = self._client.request(
            method, _address(path), params=self._question(operation, parameters)
        )
        return dict(answer.json()) if _succeeded(answer).content else {}

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents."""
        self.ask("PUT", path, "MKDIRS")

    def delete(self, path: str) -> None:
        """Remove a file or a whole tree, if it is there."""
        self.ask("DELETE", path, "DELETE", recursive="true")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _question(self, operation: str, parameters: Mapping[str, str]) -> dict[str, str]:
        return {"op": operation, "user.name": self._user, **parameters}

    def _redirected(
        self, method: str, path: str, operation: str, parameters: Mapping[str, str]
    ) -> httpx.URL:
        answer = self._client.request(
            method, _address(path), params=self._question(operation, parameters)
        )
        if answer.status_code != httpx.codes.TEMPORARY_REDIRECT:
            _succeeded(answer)
        target = httpx.URL(answer.headers["Location"])
        return target.copy_with(host=self._routes.get(target.host, target.host))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _succeeded(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        # What Hadoop says about it is in the body alone.
        message = (
            f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        )
        raise httpx.HTTPStatusError(message, request=answer.request, response=answer)
    return answer


def _address(path: str) -> str:
    # Quoted here, percent signs too: httpx leaves alone what looks quoted already.
    return f"/webhdfs/v1{quote(path)}"
