"""The doors of a node: built, bound, served and drained together."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp
from uvicorn import Config, Server

from forebay.assembly.rooms import Rooms, utc_now
from forebay.config.sections import Door
from forebay.doors.admin.access import AdminAccess
from forebay.doors.admin.late import LateApplication
from forebay.doors.admin.peer import UnixPeerProtocol
from forebay.doors.admin.services import AdminServices
from forebay.doors.s3.address import lake_text
from forebay.doors.s3.answer import Answers
from forebay.doors.s3.application import S3Parts, s3_application
from forebay.doors.s3.hot import ConnectionOptions, HotDoor
from forebay.doors.s3.ledger import Ledger
from forebay.doors.s3.server import DoorServer, ServerOptions, TlsFiles, door_server, listen
from forebay.doors.s3.signature import Signatures
from forebay.doors.s3.token import Tokens
from forebay.metrics.exposition import Exposition
from forebay.model.errors import PortBusy
from forebay.namespace.away import AwayStore
from forebay.namespace.mounts import Mount
from forebay.reports.jobs import Jobs
from forebay.reports.node_reports import NodeReports
from forebay.shelf.reader import ShelfReader

_log = logging.getLogger(__name__)

AHEAD_BYTES: Final = 16 << 20
KEPT_ENTRIES: Final = 131_072
SWEEP_SECONDS: Final = 1.0
ADMIN_IDLE_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Bound:
    """A server and the socket that it is to serve."""

    name: str
    url: str
    server: Server
    listener: socket.socket


class Doors:
    """All doors of one node.

    Args:
        rooms: what they lead to.
        started_at: when the node started.
    """

    def __init__(self, rooms: Rooms, started_at: datetime) -> None:
        self._rooms = rooms
        self._started_at = started_at
        self._reader = ShelfReader(rooms.shelf, lake_text, time.time, entries=KEPT_ENTRIES)
        self._bound: list[Bound] = []
        self._ready = False
        self._admin = LateApplication(self._load_admin)

    def bind(self) -> None:
        """Take the ports. Raises PortBusy; then none is held."""
        try:
            self._bind_s3()
            self._bind_admin()
        except BaseException:
            for bound in self._bound:
                bound.listener.close()
            raise

    @property
    def urls(self) -> Mapping[str, str]:
        """Where the doors are, by name."""
        return {bound.name: bound.url for bound in self._bound}

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then let the answers under way end."""
        async with asyncio.TaskGroup() as group:
            serving = [
                group.create_task(bound.server.serve(sockets=[bound.listener]))
                for bound in self._bound
            ]
            sweeping = group.create_task(self._sweep())
            self._ready = True
            warming = group.create_task(self._admin.loaded())
            await stop.wait()
            self._ready = False
            for bound in self._bound:
                bound.server.should_exit = True
            await asyncio.gather(*serving, warming)
            sweeping.cancel()
        self._reader.close()

    def facts(self) -> dict[str, Any]:
        """What `forebay status` shows."""
        settings = self._rooms.settings
        return {
            "node_id": self._rooms.node_id,
            "version": version("forebay"),
            "pid": os.getpid(),
            "data": str(settings.data),
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "uptime_seconds": (utc_now() - self._started_at).total_seconds(),
            "ready": self._ready,
            "doors": [{"name": bound.name, "url": bound.url} for bound in self._bound],
            "credentials": str(settings.credentials),
            "warnings": list(settings.warnings()),
        }

    def _bind_s3(self) -> None:
        rooms = self._rooms
        door = rooms.settings.doors.s3
        signatures = Signatures(rooms.ring.s3, time.time)
        ledger = Ledger(rooms.counters, rooms.access_log, time.time)
        parts = S3Parts(
            lake=rooms.files,
            signatures=signatures,
            tokens=Tokens(rooms.tokens_secret),
            ledger=ledger,
            audit=rooms.audit_log,
            request_ids=rooms.request_ids,
            now=time.time,
            ahead_bytes=AHEAD_BYTES,
        )
        hot = HotDoor(
            answers=Answers(self._reader, signatures, rooms.request_ids, time.time),
            shelf=self._reader,
            ledger=ledger,
            request_ids=rooms.request_ids,
            options=ConnectionOptions(),
        )
        options = ServerOptions(door.host, door.port, tls=_tls(door))
        listener = listen(options)
        server: DoorServer = door_server(s3_application(parts), hot, options)
        self._bound.append(Bound("s3", _url(door, listener), server, listener))

    def _bind_admin(self) -> None:
        rooms = self._rooms
        door = rooms.settings.doors.admin
        listener = listen(ServerOptions(door.host, door.port))
        url = _url(door, listener)
        app = self._admin
        self._bound.append(Bound("admin", url, _admin_server(app, door), listener))
        place = rooms.settings.data / "admin.sock"
        config = _admin_config(app, http=UnixPeerProtocol)
        self._bound.append(Bound("admin socket", str(place), DoorServer(config), _unix(place)))

    def _load_admin(self) -> ASGIApp:
        # The library behind it takes as long to load as all the rest of the node.
        from forebay.doors.admin.application import admin_application  # noqa: PLC0415

        return admin_application(self._services())

    def _services(self) -> AdminServices:
        rooms = self._rooms
        settings = rooms.settings
        jobs = Jobs(utc_now)
        reports = NodeReports(
            files=rooms.files,
            namespace=rooms.namespace,
            keeper=rooms.keeper,
            counters=rooms.counters,
            figures_of=lambda store: rooms.openers.counters_of(store).snapshot(),
            tallies=rooms.tallies,
            access_log=rooms.access_log,
            jobs=jobs,
            node=self.facts,
            clock=utc_now,
        )
        hosts = {"localhost", "127.0.0.1", "::1", settings.doors.admin.host}
        return AdminServices(
            access=AdminAccess(os.getuid(), frozenset(hosts), rooms.ring.secrets_of, utc_now),
            files=rooms.files,
            namespace=rooms.namespace,
            state_of=self._state_of,
            keys=rooms.state.keys,
            keys_changed=rooms.ring.renew,
            reports=reports,
            jobs=jobs,
            node=self.facts,
            settings=self._described,
            audit=rooms.audit_log,
            access_log=rooms.access_log,
            counters=rooms.counters,
            exposition=Exposition(rooms.counters, [rooms.access_log.samples, reports.samples]),
            is_ready=lambda: self._ready,
            endpoint=next(bound.url for bound in self._bound if bound.name == "s3"),
            request_id=rooms.request_ids.next,
        )

    def _state_of(self, mount: Mount) -> str:
        store = self._rooms.namespace.resolve(mount.path).store
        return "away" if isinstance(store, AwayStore) else "ok"

    def _described(self) -> list[dict[str, str]]:
        return [
            {"name": setting.name, "value": setting.shown, "origin": setting.origin}
            for setting in self._rooms.settings.described()
        ]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self._reader.sweep()
            except Exception:  # noqa: BLE001 - the border of a task
                # Descriptors stay open for longer; reads go on.
                _log.exception("sweep_failed")


def _admin_server(app: ASGIApp, door: Door) -> DoorServer:
    config = _admin_config(app)
    tls = _tls(door)
    if tls is not None:
        config.ssl_certfile, config.ssl_keyfile = str(tls.certificate), str(tls.key)
    return DoorServer(config)


def _admin_config(app: ASGIApp, **more: Any) -> Config:  # noqa: ANN401 - uvicorn's own options
    return Config(
        app,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=ADMIN_IDLE_SECONDS,
        timeout_graceful_shutdown=30,
        **more,
    )


def _tls(door: Door) -> TlsFiles | None:
    if door.tls_certificate is None or door.tls_key is None:
        return None
    return TlsFiles(door.tls_certificate, door.tls_key)


def _url(door: Door, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    host = f"[{door.host}]" if ":" in door.host else door.host
    return f"{'https' if door.is_secure else 'http'}://{host}:{port}"


def _unix(place: Path) -> socket.socket:
    """A listening socket for this user alone; the lock says that an old one is dead."""
    place.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(place))
    except OSError as error:
        listener.close()
        raise PortBusy(place, error.strerror or str(error)) from error
    finally:
        os.umask(before)
    listener.listen(128)
    listener.setblocking(False)  # noqa: FBT003 - the standard library's own way
    return listener
