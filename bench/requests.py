"""Signed requests: as a client sends them, each with a signature of its own."""

import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from forebay.model.sigv4 import ALGORITHM, EMPTY_SHA256, signature, signing_key

REGION = "us-east-1"
SIGNED = "amz-sdk-invocation-id;host;x-amz-content-sha256;x-amz-date"
AGENT = "aws-sdk-java/2.31.0 md/io#sync ua/2.1 os/Linux lang/java#17.0.14 md/OpenJDK m/E,N,e"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs GETs for one server with one key; the invocation id makes every signature another."""

    host: str
    key_id: str
    secret: str

    def gets(self, paths: Iterable[str], method: str = "GET") -> Iterable[bytes]:
        """A whole request for each path, signed now; the queries are canonical."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        date = stamp[:8]
        scope = f"{date}/{REGION}/s3/aws4_request"
        key = signing_key(self.secret.encode(), date.encode(), REGION.encode())
        claim = f"{ALGORITHM} Credential={self.key_id}/{scope}, SignedHeaders={SIGNED}, Signature="
        prefix = uuid.uuid4().hex[:20]
        for number, path in enumerate(paths):
            name = f"{prefix[:8]}-{prefix[8:12]}-{prefix[12:16]}-{prefix[16:]}-{number:012x}"
            place, _, query = path.partition("?")
            canonical = (
                f"{method}\n{place}\n{query}\namz-sdk-invocation-id:{name}\nhost:{self.host}\n"
                f"x-amz-content-sha256:{EMPTY_SHA256}\nx-amz-date:{stamp}\n\n{SIGNED}\n"
                f"{EMPTY_SHA256}"
            )
            proof = signature(key, stamp.encode(), scope.encode(), canonical.encode()).decode()
            yield (
                f"{_lines(method, path, self.host, name)}X-Amz-Date: {stamp}\r\n"
                f"X-Amz-Content-SHA256: {EMPTY_SHA256}\r\nAuthorization: {claim}{proof}\r\n\r\n"
            ).encode()


@dataclass(frozen=True, slots=True)
class Plain:
    """Asks the same without a signature."""

    host: str

    def gets(self, paths: Iterable[str]) -> Iterable[bytes]:
        """A whole request for each path."""
        for path in paths:
            yield f"{_lines('GET', path, self.host, str(uuid.UUID(int=0)))}\r\n".encode()


def _lines(method: str, path: str, host: str, name: str) -> str:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\n"
        f"Accept-Encoding: identity\r\namz-sdk-invocation-id: {name}\r\n"
        "amz-sdk-request: attempt=1\r\n"
    )


def write_records(place: Path, requests: Iterable[bytes]) -> None:
    """Write requests as the load generator reads them."""
    with place.open("wb") as file:
        for request in requests:
            file.write(struct.pack("<i", len(request)) + request)
