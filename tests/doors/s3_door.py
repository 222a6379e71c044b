"""An S3 door in a thread of its own, and a client that speaks raw HTTP to it."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

import uvloop
from starlette.types import ASGIApp

from forebay.doors.s3.answer import Answers
from forebay.doors.s3.application import S3Parts, s3_application
from forebay.doors.s3.hot import ConnectionOptions, HotDoor
from forebay.doors.s3.keyring import AccessKey, KeyRing
from forebay.doors.s3.ledger import Ledger
from forebay.doors.s3.server import DoorServer, ServerOptions, TlsFiles, door_server, listen
from forebay.doors.s3.signature import Signatures
from forebay.doors.s3.token import Tokens
from forebay.metrics.counters import Counters
from forebay.metrics.request_ids import RequestIds
from forebay.model.grants import Caller, Grant, Right
from forebay.model.paths import ROOT
from forebay.model.sigv4 import EMPTY_SHA256, canonical_query, escape, signed_headers
from tests.fakes.s3_world import FakeAudit, FakeLake, FakeLog, FakeShelf

KEY_ID = "AKIDEXAMPLE"
SECRET = "secretkeyexample"
ADMIN = AccessKey(Caller(KEY_ID, (Grant(ROOT, Right.ADMIN),)), (SECRET,))


@dataclass
class Door:
    """A door over a fake world; `serving()` starts it.

    Attributes:
        wrap: puts something around the application.
        shift: how far the door's clock is from the host's, in seconds.
    """

    lake: FakeLake
    shelf: FakeShelf
    ring: KeyRing = field(default_factory=lambda: KeyRing([ADMIN]))
    log: FakeLog = field(default_factory=FakeLog)
    audit: FakeAudit = field(default_factory=FakeAudit)
    counters: Counters = field(default_factory=Counters)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    tls: TlsFiles | None = None
    wrap: Callable[[ASGIApp], ASGIApp] = lambda application: application
    shift: float = 0.0
    port: int = 0
    loop: asyncio.AbstractEventLoop = field(init=False)
    server: DoorServer = field(init=False)
    thread: threading.Thread = field(init=False)

    def now(self) -> float:
        """The door's time."""
        return time.time() + self.shift

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """The door, open; it is shut at the end, within its own rules."""
        ids = RequestIds("TEST0000")
        signatures = Signatures(self.ring, self.now)
        ledger = Ledger(self.counters, self.log, self.now)
        parts = S3Parts(
            self.lake, signatures, Tokens(b"token secret"), ledger, self.audit, ids, self.now
        )
        hot = HotDoor(
            Answers(self.shelf, signatures, ids, self.now), self.shelf, ledger, ids, self.connection
        )
        options = ServerOptions(port=0, drain_seconds=10, tls=self.tls, connection=self.connection)
        self.server = door_server(self.wrap(s3_application(parts)), hot, options)
        listener = listen(options)
        self.port = listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, args=(listener,))
        self.thread.start()
        try:
            yield self
        finally:
            self.shut()
            self.thread.join(30)
            assert not self.thread.is_alive(), "the door does not shut"

    def shut(self) -> None:
        """Ask the server to end."""
        self.server.should_exit = True

    def _run(self, listener: socket.socket) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.serve(sockets=[listener])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    def signed(
        self,
        path: str,
        *,
        method: str = "GET",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        key: tuple[str, str] = (KEY_ID, SECRET),
        region: str = "us-east-1",
        payload_hash: str = EMPTY_SHA256,
        body: bytes = b"",
        raw_path: str | None = None,
    ) -> bytes:
        """A signed request as bytes. `path` is the decoded one; `raw_path` is sent in its place."""
        return signed_request(
            f"127.0.0.1:{self.port}",
            path,
            method=method,
            query=query,
            headers=headers,
            key=key,
            region=region,
            payload_hash=payload_hash,
            body=body,
            raw_path=raw_path,
            now=self.now(),
        )

    def ask(self, path: str, **wishes: object) -> "Answer":
        """The answer to one signed request on a connection of its own."""
        with Client(self.port) as client:
            method = str(wishes.get("method", "GET"))
            return client.send(self.signed(path, **wishes)).answer(  # type: ignore[arg-type]
                has_body=method != "HEAD"
            )


def signed_request(
    host: str,
    path: str,
    *,
    method: str = "GET",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    key: tuple[str, str] = (KEY_ID, SECRET),
    region: str = "us-east-1",
    payload_hash: str = EMPTY_SHA256,
    body: bytes = b"",
    raw_path: str | None = None,
    now: float = 0.0,
) -> bytes:
    """A signed request as bytes."""
    escaped = escape(path) if raw_path is None else raw_path
    asked = canonical_query((query or {}).items())
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    given = {"host": host, **(headers or {})}
    signed = {
        name: value for name, value in given.items() if name == "host" or name.startswith("x-amz-")
    }
    sent = signed_headers(
        method,
        escaped,
        asked,
        signed,
        key_id=key[0],
        secret=key[1],
        region=region,
        stamp=stamp,
        payload_hash=payload_hash,
    )
    lines = [f"{method} {escaped}{'?' + asked if asked else ''} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**given, **sent}.items()]
    if body:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass(frozen=True)
class Answer:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The S3 code of an error."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()

    def texts(self, element: str) -> list[str]:
        """The texts of all elements of that name."""
        parts = self.body.decode().split(f"<{element}>")[1:]
        return [part.partition(f"</{element}>")[0] for part in parts]

    @property
    def is_hot(self) -> bool:
        """Whether the hot path gave it: uvicorn writes header names in lower case."""
        return self.headers["x-raw-case"] == "hot"


class Client:
    """One connection."""

    def __init__(
        self,
        port: int,
        *,
        receive_buffer: int | None = None,
        tls: bool = False,
        timeout: float = 10,
    ) -> None:
        plain = socket.socket()
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(timeout)
        try:
            plain.connect(("127.0.0.1", port))
        except OSError:
            plain.close()
            raise
        self.socket = plain
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(plain)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, request: bytes) -> Self:
        """Send bytes."""
        self.socket.sendall(request)
        return self

    def _more(self) -> None:
        received = self.socket.recv(1 << 18)
        if not received:
            raise EOFError(len(self.buffer))
        self.buffer += received

    def head(self) -> tuple[int, dict[str, str]]:
        """The next head."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        case = "hot" if "Date" in headers or "Content-Length" in headers else "asgi"
        return int(first.split()[1]), {
            **{name.lower(): value for name, value in headers.items()},
            "x-raw-case": case,
        }

    def answer(self, *, has_body: bool = True, pause: float = 0) -> Answer:
        """The next answer; `pause` seconds between reads."""
        status, headers = self.head()
        if not has_body or status in {304, 100, 204}:
            return Answer(status, headers, b"")
        length = int(headers["content-length"])
        received = bytearray(self.buffer[:length])
        self.buffer = self.buffer[length:]
        while len(received) < length:
            piece = self.socket.recv(min(length - len(received), 1 << 16))
            if not piece:
                raise EOFError(len(received))
            received += piece
            if pause:
                time.sleep(pause)
        return Answer(status, headers, bytes(received))

    def is_closed(self) -> bool:
        """Whether the door has ended the connection; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
