"""Free ports: numbers no server on this machine listens on right now."""

import random
import socket

# Below the range from which Linux takes ports for outgoing connections: a port chosen there
# could be taken by a passing connection before its server binds it.
LOWEST = 12_000
HIGHEST = 21_999

# SeaweedFS listens for gRPC this far above each of its HTTP ports.
GRPC_DISTANCE = 10_000


def free_port() -> int:
    """A port free on every local address, and with it the port that gRPC would take."""
    chance = random.SystemRandom()
    for _ in range(1000):
        port = chance.randint(LOWEST, HIGHEST)
        if is_free(port) and is_free(port + GRPC_DISTANCE):
            return port
    message = f"no free port between {LOWEST} and {HIGHEST}"
    raise OSError(message)


def free_ports(count: int) -> list[int]:
    """`count` different free ports."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def is_free(port: int) -> bool:
    """Whether nothing is bound to `port` on any address of this machine."""
    with socket.socket() as attempt:
        try:
            # The wildcard address collides with a server on any single address.
            # Nothing listens here: the socket is closed before anybody could connect.
            attempt.bind(("", port))
        except OSError:
            return False
    return True
