"""WebHDFS: what hdfs-native does not tell, asked over HTTP."""

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from forebay.model.errors import ForebayError, StoreAway, StoreLied, StoreRefused
from forebay.model.ranges import ByteRange
from forebay.stores.contract import Chunk
from forebay.stores.hdfs.address import HdfsOptions, escaped, is_forbidden
from forebay.stores.hdfs.trouble import trouble_of

_DATE_LETTERS: Final = len("Tue, 24 Nov 2026 08:12:14 GMT")
_DATANODE_TRIES: Final = 3
_CONNECTIONS: Final = 64
_PIECE: Final = 256 << 10


class WebHdfs:
    """The WebHDFS of one cluster: one NameNode, or several of which one is active."""

    def __init__(
        self,
        options: HdfsOptions,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._addresses = options.webhdfs
        self._active = 0
        self._user = options.user
        self._deadline = options.deadline.total_seconds()
        stall = options.stall.total_seconds()
        self._known_hosts: set[str] = set()
        self._is_open = True
        # No cookies: what the NameNode gives us must never go to a DataNode.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))

        def client() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                transport=None if transport is None else transport(),
                cookies=cookies,
                follow_redirects=False,
                trust_env=False,
                timeout=httpx.Timeout(stall, connect=min(self._deadline, stall)),
                limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=16),
            )

        # Two, so that long bodies on their way to DataNodes keep no question waiting.
        self._questions = client()
        self._bodies = client()

    async def ask(self, method: str, operation: str, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """What the NameNode answers, as JSON; None for an empty answer."""
        return _json(await self._ask(method, operation, path, query), path)

    async def now(self) -> datetime:
        """The NameNode's time, by its answers' Date."""
        answer = await self._ask("GET", "GETFILESTATUS", "/", {})
        # The header may come twice, which httpx joins with a comma.
        text = answer.headers.get("date", "")[:_DATE_LETTERS]
        try:
            return parsedate_to_datetime(text).astimezone(UTC)
        except ValueError as problem:
            raise StoreLied("Date", f"{text!r} is no time") from problem

    async def ask_datanode(self, operation: str, path: str) -> Any:  # noqa: ANN401 - JSON
        """What the DataNode that the NameNode names answers, as JSON."""
        answer = await self._ask("GET", operation, path, {})
        place = answer.headers.get("location")
        if place is None:
            return _json(answer, path)
        try:
            await self._check_place(place, path)
            answer = await self._within_deadline("GET", place, path)
        except _NotHeard as problem:
            raise StoreAway(path, str(problem)) from problem
        _raise_for(answer, path)
        return _json(answer, path)

    async def create(self, path: str, body: AsyncIterator[Chunk], size: int | None) -> None:
        """Make the new file `path` of `body`.

        What `body` raises passes on. An error leaves a part of the file, perhaps open.
        """
        sent = _Body(body)
        excluded: list[str] = []
        while True:
            query = {"overwrite": "false"}
            if excluded:
                query["excludedatanodes"] = ",".join(excluded)
            answer = await self._ask("PUT", "CREATE", path, query)
            place = answer.headers.get("location")
            if place is None:
                raise StoreLied(path, "the NameNode named no DataNode")
            try:
                await self._check_place(place, path)
                await self._send(place, path, sent, size)
            except _NotHeard as away:
                # Nothing was taken from the body: another DataNode may have it.
                excluded.append(urlsplit(place).hostname or "")
                if len(set(excluded)) < len(excluded) or len(excluded) >= _DATANODE_TRIES:
                    raise StoreAway(path, str(away)) from away
            else:
                return

    async def read(self, path: str, span: ByteRange) -> AsyncGenerator[bytes, None]:
        """The bytes of `span` of the file as it is now, as a DataNode sends them.

        A DataNode ends the body short when a block is damaged or gone.
        """
        query = {"offset": span.start, "length": len(span)}
        answer = await self._ask("GET", "OPEN", path, query)
        place = answer.headers.get("location")
        if place is None:
            raise StoreLied(path, "the NameNode named no DataNode")
        left = len(span)
        try:
            await self._check_place(place, path)
            async with self._bodies.stream("GET", place) as body:
                if not body.is_success:
                    await body.aread()
                    _raise_for(body, path)
                async for piece in body.aiter_bytes(_PIECE):
                    left -= len(piece)
                    yield piece
        except (httpx.HTTPError, _NotHeard) as problem:
            raise StoreAway(path, f"reading from a DataNode: {problem!r}") from problem
        if left:
            raise StoreLied(path, f"{len(span) - left} bytes came for {len(span)}")

    async def close(self) -> None:
        """Let go of the connections."""
        self._is_open = False
        await self._questions.aclose()
        await self._bodies.aclose()

    async def _send(self, place: str, path: str, sent: "_Body", size: int | None) -> None:
        headers = {"content-type": "application/octet-stream"}
        if size is not None:
            headers["content-length"] = str(size)
        try:
            answer = await self._bodies.put(place, content=sent, headers=headers)
        except httpx.HTTPError as problem:
            if sent.raised is not None:
                raise sent.raised from None
            if not sent.begun and isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout):
                raise _NotHeard(f"DataNode {urlsplit(place).netloc}: {problem!r}") from problem
            raise StoreAway(path, f"writing to a DataNode: {problem!r}") from problem
        _raise_for(answer, path)

    async def _ask(
        self, method: str, operation: str, path: str, query: Mapping[str, str | int]
    ) -> httpx.Response:
        """The NameNode's answer: that of the active one, where there are several."""
        parameters = {"op": operation, "user.name": self._user, **query}
        trouble: ForebayError = StoreAway(path, "WebHDFS has no address")
        for _ in self._addresses:
            address = self._addresses[self._active]
            url = f"{address}/webhdfs/v1{escaped(path)}"
            try:
                await self._check_place(address, path)
                answer = await self._within_deadline(method, url, path, parameters)
                if answer.status_code == HTTPStatus.TEMPORARY_REDIRECT:
                    return answer
                _raise_for(answer, path)
            except _NotHeard as problem:
                trouble = StoreAway(path, str(problem))
            except StoreAway as away:
                # A question that may have been heard is not asked again, unless it is harmless.
                if method != "GET":
                    raise
                trouble = away
            else:
                return answer
            self._active = (self._active + 1) % len(self._addresses)
        raise trouble

    async def _within_deadline(
        self, method: str, url: str, path: str, parameters: Mapping[str, str | int] | None = None
    ) -> httpx.Response:
        if not self._is_open:
            raise StoreAway(path, "the store was closed")
        try:
            async with asyncio.timeout(self._deadline):
                return await self._questions.request(method, url, params=parameters)
        except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
            raise _NotHeard(f"WebHDFS at {urlsplit(url).netloc}: {problem!r}") from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise StoreAway(path, f"WebHDFS at {urlsplit(url).netloc}: {problem!r}") from problem
        except TimeoutError as problem:
            reason = f"WebHDFS at {urlsplit(url).netloc}: no answer within {self._deadline:g} s"
            raise StoreAway(path, reason) from problem

    async def _check_place(self, place: str, path: str) -> None:
        """Refuse to go where a cluster cannot be: to the credentials of the machine we run on."""
        parts = urlsplit(place)
        host = parts.hostname or ""
        if host in self._known_hosts:
            return
        if parts.scheme not in ("http", "https") or not host:
            raise StoreRefused(path, f"a redirect to {place!r} is not followed")
        for address in await _addresses_of(host, self._deadline):
            if is_forbidden(address):
                raise StoreRefused(path, f"{host} is {address}, a link-local or metadata address")
        self._known_hosts.add(host)


class _NotHeard(Exception):
    """A server took no connection: it has heard nothing of the question, nor of the body."""


class _Body:
    """A body on its way: whether it was begun, and what it raised."""

    def __init__(self, pieces: AsyncIterator[Chunk]) -> None:
        self._pieces = pieces
        self.begun = False
        self.raised: BaseException | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        try:
            async for piece in self._pieces:
                if piece:  # an empty one would end the body of HTTP
                    yield bytes(piece)
        except BaseException as problem:
            self.raised = problem
            raise


async def _addresses_of(host: str, seconds: float) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            found = await loop.getaddrinfo(host, None)
    except (OSError, TimeoutError) as problem:
        raise _NotHeard(f"the address of {host} is not known: {problem}") from problem
    return [str(entry[4][0]) for entry in found]


def _json(answer: httpx.Response, path: str) -> Any:  # noqa: ANN401 - JSON
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as problem:
        raise StoreLied(path, "the answer is no JSON: is this WebHDFS?") from problem


def _raise_for(answer: httpx.Response, path: str) -> None:
    """Raise the error that an answer stands for, if it is one."""
    if answer.is_success:
        return
    try:
        told = answer.json()["RemoteException"]
        trouble = trouble_of(str(told["exception"]), str(told["message"]), path)
    except (ValueError, KeyError, TypeError) as problem:
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise StoreRefused(path, f"HTTP {answer.status_code}") from problem
        raise StoreAway(path, f"WebHDFS answered HTTP {answer.status_code}") from problem
    raise trouble
