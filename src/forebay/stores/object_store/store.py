"""The object store: a bucket behind any S3 endpoint, as a whole store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime

import httpx

from forebay.model.conditions import WriteCondition
from forebay.model.errors import FileMissing, NotADirectory, NotAFile, StoreLied, StoreMissing
from forebay.model.generation import StoreIdentity
from forebay.model.paths import StoreKey
from forebay.model.status import FileStatus, Page
from forebay.stores.contract import (
    Abilities,
    Chunk,
    PartStatus,
    PinnedReader,
    StoreDigest,
    UploadStatus,
    WriteOptions,
)
from forebay.stores.object_store.address import address_of, refuse_forbidden, resolved
from forebay.stores.object_store.copying import Copying
from forebay.stores.object_store.credentials import credential_source
from forebay.stores.object_store.deleting import Deleting
from forebay.stores.object_store.listing import Listing
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.profile import read_profile
from forebay.stores.object_store.reading import EtagReader, byte_store
from forebay.stores.object_store.signed import CONNECTIONS, Request, SignedClient
from forebay.stores.object_store.statuses import DIGEST, Statuses
from forebay.stores.object_store.uploads import MultipartUploads
from forebay.stores.object_store.writing import Writing

ABILITIES = Abilities(
    pinned_ranges=True,
    conditional_create=True,
    conditional_write=True,
    conditional_delete=True,
    server_copy=True,
    native_multipart=True,
    clock=True,
    digest=DIGEST,
)


def utc_now() -> datetime:
    """The time of this host."""
    return datetime.now(UTC)


def open_object_store(
    options: S3Options,
    environment: Mapping[str, str],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> "ObjectStore":
    """The store of the bucket that `options` name; asks the network nothing.

    Args:
        options: which bucket, and how it is reached.
        environment: the variables of the AWS settings chain, as the process has them.
        clock: what requests are dated by.

    Raises:
        BadOption: an option is no bucket, endpoint or region, or half a pair of keys.
        StoreRefused: the AWS configuration files cannot be used.
    """
    profile = read_profile(environment)
    address = address_of(options, environment, profile)
    client = httpx.AsyncClient(
        # Only the options say where requests go: no proxies and no .netrc of the environment.
        trust_env=False,
        follow_redirects=False,
        headers={"accept": "*/*", "accept-encoding": "identity", "user-agent": "forebay"},
        timeout=httpx.Timeout(
            options.read_timeout.total_seconds(), connect=options.connect_timeout.total_seconds()
        ),
        limits=httpx.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=4
        ),
    )
    credentials = credential_source(options, environment, profile, client, clock)
    return ObjectStore(options, SignedClient(address, credentials, client, clock))


class ObjectStore:
    """A bucket. Directories are prefixes; an empty object `k/` makes an empty one."""

    def __init__(self, options: S3Options, client: SignedClient) -> None:
        self._client = client
        self._bytes = byte_store(options, client.address, client.credentials)
        self._statuses = Statuses(client)
        self._listing = Listing(client, self._statuses, by_tree=options.lists_by_tree)
        self._uploads = MultipartUploads(client)
        self._writing = Writing(client, self._statuses, self._uploads)
        self._deleting = Deleting(client, self._statuses)
        self._copying = Copying(
            client, self._statuses, self._writing, self._uploads, self._deleting
        )

    @property
    def identity(self) -> StoreIdentity:
        """Host and bucket."""
        return self._client.address.identity

    @property
    def abilities(self) -> Abilities:
        """What S3 can do."""
        return ABILITIES

    async def stat(self, key: StoreKey) -> FileStatus:
        """One HEAD; where there is no such file, one listing of at most one key."""
        return await self._statuses.stat(key)

    async def list(
        self, directory: StoreKey, *, recursive: bool = False, after: str = "", most: int = 1000
    ) -> Page:
        """One listing request a page, on stores that list in whole-key order."""
        return await self._listing.page(directory, recursive=recursive, after=after, most=most)

    async def open(self, status: FileStatus) -> PinnedReader:
        """A reader; asks the store nothing."""
        return EtagReader(status, self._bytes, self._client.credentials, self._client)

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """One PUT, or an upload in parts, and one HEAD."""
        _must_be_file_key(key)
        return await self._writing.write(key, body, options)

    async def create_upload(self, key: StoreKey, options: WriteOptions) -> str:
        """Begin an upload at the store."""
        _must_be_file_key(key)
        return await self._uploads.create(key, options)

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """Send a part."""
        return await self._uploads.write_part(key, upload_id, number, body, size)

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """The parts that the store holds."""
        return await self._uploads.parts(key, upload_id)

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """The uploads that the store knows of."""
        return await self._uploads.begun(directory)

    async def complete_upload(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> FileStatus:
        """Complete an upload, with the condition, and one HEAD."""
        size = sum(part.size for part in parts)
        if options.size is not None and options.size != size:
            raise StoreLied(key, f"the parts have {size} of the announced {options.size} bytes")
        etag = await self._uploads.complete(key, upload_id, parts, options.condition)
        return await self._writing.written(key, etag, size, options)

    async def abort_upload(self, key: StoreKey, upload_id: str) -> None:
        """Drop an upload."""
        await self._uploads.abort(key, upload_id)

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None = None
    ) -> FileStatus:
        """Copy inside the store."""
        _must_be_file_key(source)
        _must_be_file_key(target)
        return await self._copying.copy(source, target, condition)

    async def rename(self, source: StoreKey, target: StoreKey, *, replace: bool = False) -> None:
        """Copy, then remove."""
        await self._copying.rename(source, target, replace=replace)

    async def delete(self, key: StoreKey, condition: WriteCondition | None = None) -> None:
        """Remove a file or an empty directory."""
        await self._deleting.delete(key, condition)

    async def make_directory(self, key: StoreKey) -> None:
        """Put the empty object `key/`, unless it or a parent is a file."""
        if key.is_root:
            return
        above = key
        while not above.is_root:
            if await self._statuses.is_file(above):
                raise NotADirectory(above, "is a file")
            above = above.parent
        if not await self._statuses.count_below(key, most=1):
            await self._client.send(Request("PUT", f"{key.text}/"))

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """The CRC64NVME, where the store has one."""
        return await self._statuses.digest(key)

    async def hosts(self, status: FileStatus) -> Sequence[str]:  # noqa: ARG002 - the contract's
        """None: an object store does not say."""
        return ()

    async def check(self) -> Mapping[str, str]:
        """Resolve the endpoint, refuse forbidden addresses, and list one key."""
        address = self._client.address
        addresses = await resolved(address.wire_host, address.port)
        refuse_forbidden(address.wire_host, addresses)
        try:
            await self._statuses.count_below(StoreKey(""), most=1)
        except FileMissing as error:
            raise StoreMissing(address.identity, "the endpoint knows no such bucket") from error
        return {
            "endpoint": f"{address.scheme}://{address.service}",
            "addresses": ", ".join(addresses),
            "bucket": address.bucket,
            "region": address.region,
            "keys": f"from {self._client.credentials.origin}",
            "listing": "allowed",
        }

    async def now(self) -> datetime | None:
        """The Date of an answer."""
        return (await self._client.send(Request("HEAD"))).moment("date")

    async def close(self) -> None:
        """Let go of connections."""
        await asyncio.shield(self._client.close())


def _must_be_file_key(key: StoreKey) -> None:
    """Raises NotAFile for the root, which is a directory."""
    if key.is_root:
        raise NotAFile("/", "is the root")
