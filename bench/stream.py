"""One GET read as fast as it comes: when its first bytes were there, and when its last."""

import socket
import time
from dataclasses import dataclass

from bench.load import Asks

_MOST_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Streamed:
    """How one answer came in."""

    first_byte_ms: float
    seconds: float
    bytes: int

    @property
    def mib_per_second(self) -> float:
        """Its rate from the request to the last byte."""
        return self.bytes / self.seconds / (1 << 20)


def stream(address: tuple[str, int], asks: Asks, path: str) -> Streamed:
    """Send one GET on a connection of its own, and read the answer; the kernel discards it."""
    (request,) = asks.gets([path])
    with socket.create_connection(address, timeout=120) as connection:
        begin = time.perf_counter()
        connection.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65_536)
            if not piece:
                raise RuntimeError(f"{path}: the connection ended in the head of the answer")
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        length = _length(head)
        if not body:
            body = connection.recv(65_536)
        first = time.perf_counter() - begin
        got = len(body)
        sink = bytearray(_MOST_AT_ONCE)
        while got < length:
            count = connection.recv_into(sink, min(length - got, _MOST_AT_ONCE), socket.MSG_TRUNC)
            if not count:
                raise RuntimeError(f"{path}: {got:,} of {length:,} bytes came")
            got += count
        return Streamed(first * 1e3, time.perf_counter() - begin, got)


def _length(head: bytes) -> int:
    status, *lines = head.split(b"\r\n")
    if status.split()[1] != b"200":
        raise RuntimeError(status.decode())
    lengths = [line for line in lines if line.lower().startswith(b"content-length:")]
    return int(lengths[0].partition(b":")[2])
