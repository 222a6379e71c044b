"""The peer of a UNIX socket: which user of this host asks."""

import asyncio
import socket
import struct
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

UNIX_PEER: Final = "unix-user"
"""Stands as the client's host in the ASGI scope of a UNIX socket; the port is the user id."""

_CREDENTIALS: Final = struct.Struct("3i")


class UnixPeerProtocol(HttpToolsProtocol):
    """HTTP on a UNIX socket; the scope's client tells the user id that the kernel vouches for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the kernel who has connected (SO_PEERCRED, unix(7))."""
        super().connection_made(transport)  # type: ignore[arg-type]
        connected: socket.socket = transport.get_extra_info("socket")
        raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, user_id, _ = _CREDENTIALS.unpack(raw)
        self.client = (UNIX_PEER, user_id)
