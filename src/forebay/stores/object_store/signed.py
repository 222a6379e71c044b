"""The signed client: sends one request to the bucket, signed, and gives the whole answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Final

import httpx

from forebay.model.errors import StoreAway, StoreLied
from forebay.model.sigv4 import EMPTY_SHA256, UNSIGNED, canonical_query, signed_headers
from forebay.stores.object_store.address import Address
from forebay.stores.object_store.credentials import CredentialSource
from forebay.stores.object_store.documents import Element, parsed
from forebay.stores.object_store.faults import fault_of_answer, fault_of_connection

CONNECTIONS: Final = 64

# Hashing this much holds the loop up for less than handing it to a thread would.
_HASHED_HERE: Final = 128 << 10


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """A body that is sent as it comes; `size` and `payload_hash` as the headers announce it."""

    pieces: AsyncIterator[bytes]
    size: int
    payload_hash: str


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `key` '' is the bucket, header names are in lower case."""

    method: str
    key: str = ""
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | StreamedBody = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of success."""

    subject: str
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Element:
        """The XML in its body.

        Raises:
            StoreLied: there is none, and what an Error in a body of success stands for.
        """
        root = parsed(self.body, self.subject)
        if root.tag == "Error":
            # Copies and completions take long: the store says 200 before it knows.
            raise fault_of_answer(500, self.body.decode(errors="replace"), self.subject)
        return root

    def moment(self, name: str) -> datetime | None:
        """The time in the header `name`, in UTC.

        Raises:
            StoreLied: what stands there is no time.
        """
        text = self.headers.get(name)
        if text is None:
            return None
        try:
            return parsedate_to_datetime(text).astimezone(UTC)
        except ValueError as error:
            raise StoreLied(self.subject, f"its {name} header is no time") from error


class SignedClient:
    """Sends signed requests to one bucket. Asks once, and follows no redirects."""

    def __init__(
        self,
        address: Address,
        credentials: CredentialSource,
        client: httpx.AsyncClient,
        clock: Callable[[], datetime],
    ) -> None:
        self.address = address
        self.credentials = credentials
        self._client = client
        self._clock = clock

    async def send(self, request: Request) -> Answer:
        """Send `request` and return the store's answer, which is one of success.

        Raises:
            FileMissing, ConditionFailed, …: what the store's answer stands for.
            StoreAway, StoreLied: there was no whole answer.
        """
        subject = request.key or self.address.identity.text
        self.must_be_open()
        prepared = await self._prepared(request)
        try:
            answer = await self._client.send(prepared)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise fault_of_connection(error, subject) from error
        if not answer.is_success:
            raise fault_of_answer(answer.status_code, answer.text, subject)
        return Answer(subject, answer.headers, answer.content)

    def must_be_open(self) -> None:
        """Return if the client was not closed. Raises StoreAway."""
        if self._client.is_closed:
            raise StoreAway(self.address.identity, "it was closed here")

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _prepared(self, request: Request) -> httpx.Request:
        credentials = await self.credentials.current()
        path, query = self.address.path_of(request.key), canonical_query(request.query)
        headers = {**request.headers, "host": self.address.authority}
        if credentials.session_token:
            headers["x-amz-security-token"] = credentials.session_token
        headers = signed_headers(
            request.method,
            path,
            query,
            headers,
            key_id=credentials.access_key_id,
            secret=credentials.secret_access_key,
            region=self.address.region,
            stamp=self._clock().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"),
            payload_hash=await self._payload_hash(request.body),
        )
        body = request.body
        if isinstance(body, StreamedBody):
            headers["content-length"] = str(body.size)
        return self._client.build_request(
            request.method,
            httpx.URL(
                scheme=self.address.scheme,
                host=self.address.wire_host,
                port=self.address.port,
                raw_path=(f"{path}?{query}" if query else path).encode(),
            ),
            headers=headers,
            content=body.pieces if isinstance(body, StreamedBody) else body,
        )

    async def _payload_hash(self, body: bytes | StreamedBody) -> str:
        if isinstance(body, StreamedBody):
            return body.payload_hash
        if not body:
            return EMPTY_SHA256
        if self.address.scheme == "https":
            # TLS guards the bytes on their way, and the CRC, which is signed, those at rest.
            return UNSIGNED
        if len(body) <= _HASHED_HERE:
            return sha256(body).hexdigest()
        return (await asyncio.to_thread(sha256, body)).hexdigest()
