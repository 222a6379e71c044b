"""The pinned reader: streams ranges of one generation, each bound to its ETag by the store."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from obstore import get_async
from obstore.exceptions import BaseError
from obstore.store import S3Store

from forebay.model.errors import GenerationGone, NotAFile, StoreAway, StoreLied
from forebay.model.ranges import ByteRange
from forebay.model.status import FileStatus
from forebay.stores.contract import Chunk
from forebay.stores.object_store.address import Address
from forebay.stores.object_store.credentials import CredentialSource
from forebay.stores.object_store.faults import fault_of_read
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.statuses import etag_of

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import S3Credential

# Small pieces bring the first byte early, large ones the last.
CHUNK_BYTES: Final = 256 << 10
LONG_SPAN_CHUNK_BYTES: Final = 768 << 10
LONG_SPAN: Final = 4 << 20
LARGEST_CHUNK: Final = 1 << 20

# No stream may last for ever, however steadily it trickles.
_LONGEST_REQUEST: Final = timedelta(hours=1)


def byte_store(options: S3Options, address: Address, credentials: CredentialSource) -> S3Store:
    """The client that streams bytes.

    What it would take from the environment by itself is set here, each by name.
    """

    async def keys() -> "S3Credential":
        held = await credentials.current()
        return {
            "access_key_id": held.access_key_id,
            "secret_access_key": held.secret_access_key,
            "token": held.session_token,
            "expires_at": held.expires_at,
        }

    return S3Store(
        address.bucket,
        endpoint=address.endpoint,
        aws_endpoint_url_s3=address.endpoint,
        region=address.region,
        virtual_hosted_style_request=not address.path_style,
        skip_signature=False,
        s3_express=False,
        request_payer=False,
        credential_provider=keys,
        client_options={
            "allow_http": address.scheme == "http",
            "connect_timeout": options.connect_timeout,
            "read_timeout": options.read_timeout,
            "timeout": _LONGEST_REQUEST,
            # A proxy that nothing goes through, or HTTP_PROXY would be obeyed.
            "proxy_url": "http://127.0.0.1:9",
            "proxy_excludes": "*,0.0.0.0/0,::/0",
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(0)},
    )


class KnowsOpen(Protocol):
    """Tells whether the store was closed."""

    def must_be_open(self) -> None:
        """Return if it was not. Raises StoreAway."""
        ...


class EtagReader:
    """Reads one generation of one object; every range carries `If-Match`."""

    def __init__(
        self,
        status: FileStatus,
        store: S3Store,
        credentials: CredentialSource,
        client: KnowsOpen,
    ) -> None:
        etag = etag_of(status.fingerprint)
        if not status.is_file:
            raise NotAFile(status.key, "is a directory")
        if etag is None:
            raise GenerationGone(status.key, "its fingerprint is of another kind of store")
        self._key = status.key
        self._size = status.size
        self._etag = etag
        self._store = store
        self._credentials = credentials
        self._client = client
        self._closed = False

    async def stream(self, span: ByteRange) -> AsyncGenerator[Chunk, None]:
        """The bytes of `span`, as they arrive."""
        if self._closed:
            raise StoreAway(self._key, "the reader was closed")
        self._client.must_be_open()
        if not span:
            return
        # Asked for here, because their errors would not survive the way through the other client.
        await self._credentials.current()
        missing = len(span)
        async with aclosing(self._arriving(span)) as arriving:
            async for chunk in arriving:
                missing -= len(chunk)
                if missing < 0:
                    raise StoreLied(self._key, "the store sent more than was asked for")
                for start in range(0, len(chunk), LARGEST_CHUNK):
                    yield memoryview(chunk)[start : start + LARGEST_CHUNK]
        if missing:
            raise StoreLied(self._key, f"the store sent {missing} bytes less than it announced")

    async def verify(self) -> None:
        """Return: the store has compared the ETag with each range."""

    async def close(self) -> None:
        """Take no more ranges."""
        self._closed = True

    async def _arriving(self, span: ByteRange) -> AsyncGenerator[bytes, None]:
        try:
            result = await get_async(
                self._store,
                self._key.text,
                options={"range": (span.start, span.end), "if_match": self._etag},
            )
            self._must_be_pinned(result)
            least = CHUNK_BYTES if len(span) < LONG_SPAN else LONG_SPAN_CHUNK_BYTES
            async for chunk in result.stream(min_chunk_size=least):
                yield chunk
        except (BaseError, OSError, ValueError) as error:
            raise fault_of_read(error, self._key) from error

    def _must_be_pinned(self, result: "GetResult") -> None:
        """Trust no store that knows no If-Match."""
        if result.meta["e_tag"] != self._etag or result.meta["size"] != self._size:
            raise GenerationGone(self._key, "the file was changed")
