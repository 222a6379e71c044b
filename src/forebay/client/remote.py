"""The remote side: reading the lake through the node's S3 door, from wherever.

Signed HTTP with the standard library alone. Every read can be pinned to an ETag, so that bytes of
two contents never meet. Troubles that asking again may mend are mended by asking again, within a
deadline. Safe in threads; after a fork the child makes its own connections.
"""

import http.client
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from forebay.client.answers import Page, error_of, page_of, status_of
from forebay.client.place import Place
from forebay.client.status import Status
from forebay.client.trouble import Changed, Missing, NoKey
from forebay.model.errors import BadOption, ForebayError, NodeAway, StoreLied
from forebay.model.ranges import JOINED_BYTES
from forebay.model.sigv4 import canonical_query, escape, signed_headers
from forebay.model.status import Kind

BUCKET: Final = "lake"
"""The bucket that is the whole namespace."""

_REGION: Final = "us-east-1"
_IDLE_CONNECTIONS: Final = 16
_MOST_OF_AN_ERROR: Final = 64 << 10
_NO_RANGE: Final = 416

_BROKEN: Final = (http.client.HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on, in seconds.

    Attributes:
        away: with a node that takes no connections (it may be starting anew).
        trouble: with troubles that asking again may mend.
        connection: for a connection to be made.
        answer: for the next bytes of an answer; the node's own deadlines end sooner.
        longest_pause: between two attempts.
    """

    away: float = 5.0
    trouble: float = 60.0
    connection: float = 10.0
    answer: float = 330.0
    longest_pause: float = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time and chance, as the remote side needs them."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


class Part(NamedTuple):
    """Some bytes of a file, and the status of the file they are of."""

    status: Status
    body: bytes


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    key: str
    query: str
    headers: Mapping[str, str]


class _Refused(Exception):
    """Nobody takes connections there; nothing was sent."""


class Remote:
    """The door of the node, asked again and again until it answers or patience ends.

    Args:
        find: where the node is; asked again when it is there no longer.
        patience: how long to go on.
        surroundings: time and chance.
    """

    def __init__(
        self,
        find: Callable[[], Place],
        patience: Patience | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._find = find
        self._patience = patience or Patience()
        self._around = surroundings or Surroundings()
        self._place = find()
        self._process = os.getpid()
        self._idle: list[tuple[str, http.client.HTTPConnection]] = []

    def __del__(self) -> None:
        for _, connection in getattr(self, "_idle", ()):
            connection.close()

    def file(self, path: str) -> Status:
        """The status of a file; the node looks it up anew if it is too old.

        Raises:
            Missing: there is no file (a directory may be there).
        """
        answer = self._ask(_Request("HEAD", path, path[1:], "", {}))
        return status_of(path, Kind.FILE, answer.headers)

    def directory(self, path: str) -> Status:
        """The status of a directory.

        Raises:
            Missing: there is none.
        """
        if path == "/":
            self._ask(_Request("HEAD", path, "", "", {}))
            return Status(path, Kind.DIRECTORY)
        answer = self._ask(_Request("HEAD", path, f"{path[1:]}/", "", {}))
        return status_of(path, Kind.DIRECTORY, answer.headers)

    def part(self, path: str, start: int, end: int | None, etag: str = "") -> Part:
        """Bytes from `start` on, up to `end` or as far as one request goes.

        Args:
            path: the file.
            start: the first byte; less than 0: so many from the end.
            end: the byte behind the last, more than `start`.
            etag: of the content they must be of; '': of whichever is there.

        Raises:
            Changed: the content is another one.
            BadRange: the file has no such bytes.
        """
        if start < 0:
            asked = f"bytes={start}"
        else:
            most = start + JOINED_BYTES
            asked = f"bytes={start}-{(most if end is None else min(end, most)) - 1}"
        headers = {"range": asked, **({"if-match": etag} if etag else {})}
        answer = self._ask(_Request("GET", path, path[1:], "", headers))
        first = answer.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
        is_it = start < 0 or first == str(start)
        if answer.status != http.client.PARTIAL_CONTENT or not is_it:
            raise StoreLied(path, "the door answered a range with something else")
        if etag and answer.headers.get("etag") != etag:
            raise Changed(path)
        return Part(status_of(path, Kind.FILE, answer.headers), answer.body)

    def pages(self, path: str, *, recursive: bool) -> Iterator[Page]:
        """The pages of a listing: what is directly in a directory, or all that is below it."""
        prefix = "" if path == "/" else f"{path[1:]}/"
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        if not recursive:
            query["delimiter"] = "/"
        while True:
            request = _Request("GET", path, "", canonical_query(query.items()), {})
            page = page_of(path, prefix, self._ask(request).body)
            yield page
            if page.next_token is None:
                return
            query["continuation-token"] = page.next_token

    def _ask(self, request: _Request) -> _Answer:
        """The answer to it, if it is a success; safe to repeat, as all are reads."""
        begun = self._around.monotonic()
        attempt = 0
        while True:
            try:
                return self._try(request)
            except _Refused as refused:
                trouble: ForebayError = NodeAway(self._place.endpoint, str(refused))
                patience = self._patience.away
                self._place = self._find()
            except ForebayError as error:
                if not error.retryable or isinstance(error, Changed):
                    raise
                trouble, patience = error, self._patience.trouble
            pause = self._pause(attempt)
            if self._around.monotonic() + pause - begun > patience:
                raise trouble
            self._around.sleep(pause)
            attempt += 1

    def _pause(self, attempt: int) -> float:
        longest = min(self._patience.longest_pause, 0.05 * float(1 << min(attempt, 10)))
        return longest * (0.5 + self._around.chance() / 2)

    def _try(self, request: _Request) -> _Answer:
        answer = self._send(request)
        if answer.status < http.client.BAD_REQUEST:
            return answer
        error = error_of(request.path, answer.status, answer.body)
        if request.method == "HEAD" and not isinstance(error, Missing):
            # HEAD has no document: a GET of the least tells what it is.
            whole = _Request("GET", request.path, request.key, "", {"range": "bytes=0-0"})
            answer = self._send(whole)
            if answer.status >= http.client.BAD_REQUEST and answer.status != _NO_RANGE:
                raise error_of(request.path, answer.status, answer.body)
        raise error

    def _send(self, request: _Request) -> _Answer:
        """One answer, whatever it says."""
        endpoint, target, headers = self._signed(request)
        while True:
            connection, is_new = self._connection(endpoint)
            try:
                connection.request(request.method, target, headers=headers)
                response = connection.getresponse()
            except _BROKEN as error:
                connection.close()
                if is_new or isinstance(error, TimeoutError):
                    raise NodeAway(endpoint, f"the connection broke: {error!r}") from error
                # The door has closed it meanwhile, which it may.
                continue
            return self._received(endpoint, connection, response)

    def _received(
        self,
        endpoint: str,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> _Answer:
        is_error = response.status >= http.client.BAD_REQUEST
        try:
            body = response.read(_MOST_OF_AN_ERROR) if is_error else response.read()
        except _BROKEN as error:
            connection.close()
            raise NodeAway(endpoint, f"the answer broke off: {error!r}") from error
        if response.will_close or not response.isclosed():
            connection.close()
        elif len(self._idle) < _IDLE_CONNECTIONS:
            self._idle.append((endpoint, connection))
        else:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return _Answer(response.status, headers, body)

    def _signed(self, request: _Request) -> tuple[str, str, dict[str, str]]:
        place = self._place
        if place.endpoint is None:
            raise NodeAway(place.data, "no node runs there, and no endpoint is given")
        if place.key is None or place.secret is None:
            raise NoKey(place.endpoint, "no access key is given, and the profile has none")
        path = escape(f"/{BUCKET}/{request.key}" if request.key else f"/{BUCKET}")
        headers = signed_headers(
            request.method,
            path,
            request.query,
            {"host": urlsplit(place.endpoint).netloc, **request.headers},
            key_id=place.key,
            secret=place.secret,
            region=_REGION,
            stamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._around.now())),
        )
        return place.endpoint, f"{path}?{request.query}" if request.query else path, headers

    def _connection(self, endpoint: str) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it is new."""
        if self._process != os.getpid():
            # These sockets are the parent's as well: its answers would come to us.
            self._idle = []
            self._process = os.getpid()
        while self._idle:
            try:
                known, connection = self._idle.pop()
            except IndexError:
                break
            if known == endpoint:
                return connection, False
            connection.close()
        return self._connected(endpoint), True

    def _connected(self, endpoint: str) -> http.client.HTTPConnection:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadOption("endpoint", f"{endpoint!r} is no http:// or https:// URL")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname, parts.port, timeout=self._patience.connection)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise _Refused(f"takes no connection: {error}") from error
        connection.sock.settimeout(self._patience.answer)
        return connection


def kind_of(remote: Remote, path: str) -> Status:
    """The status of what is there, file or directory.

    Raises:
        Missing: nothing is.
    """
    if path == "/":
        return remote.directory(path)
    try:
        return remote.file(path)
    except Missing:
        return remote.directory(path)
