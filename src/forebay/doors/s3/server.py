"""The server of this door: uvicorn, with the hot protocol on its connections."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp
from uvicorn import Config, Server

from forebay.doors.s3.hot import ConnectionOptions, HotDoor, HotProtocol
from forebay.model.errors import PortBusy


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificate and its key are."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the door listens, and how.

    Attributes:
        host: the address.
        port: 0 takes any that is free.
        backlog: connections that may wait to be accepted.
        drain_seconds: how long answers may take at shutdown.
        tls: the certificate; None: no TLS.
        connection: what a connection may take.
    """

    host: str = "127.0.0.1"
    port: int = 7480
    backlog: int = 2048
    drain_seconds: int = 30
    tls: TlsFiles | None = None
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


def listen(options: ServerOptions) -> socket.socket:
    """A listening socket.

    Raises:
        PortBusy: another process has the port, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(options.backlog)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise PortBusy(f"{options.host}:{options.port}", reason) from error
    listener.setblocking(False)  # noqa: FBT003 - the standard library's own way
    return listener


class DoorServer(Server):
    """uvicorn's server without its signal handlers: a process has one owner, which is another."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def door_server(application: ASGIApp, door: HotDoor, options: ServerOptions) -> DoorServer:
    """A server that answers hits by `door` and everything else by `application`.

    Run it with `serve(sockets=[listen(options)])`; `should_exit = True` ends it.
    """
    protocol = type("S3Protocol", (HotProtocol,), {"door": door})
    tls = options.tls
    config = Config(
        application,
        http=protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        # What the door has to say, it says itself.
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=options.backlog,
        timeout_keep_alive=max(1, int(options.connection.idle_seconds)),
        timeout_graceful_shutdown=options.drain_seconds,
        ssl_certfile=None if tls is None else str(tls.certificate),
        ssl_keyfile=None if tls is None else str(tls.key),
    )
    return DoorServer(config)
