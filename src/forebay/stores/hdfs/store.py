"""The HDFS store: its verbs, by WebHDFS where that is there, and hdfs-native."""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import httpx

from forebay.model.conditions import WriteCondition
from forebay.model.errors import (
    BadPath,
    FileExists,
    FileMissing,
    NotADirectory,
    NotAFile,
    StoreTrouble,
)
from forebay.model.generation import StoreIdentity
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.ranges import whole
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
from forebay.stores.hdfs.address import HdfsOptions, path_of
from forebay.stores.hdfs.identity import (
    LastBlock,
    Stamp,
    hosts_of,
    last_block_of,
    status_of_native,
    status_of_web,
)
from forebay.stores.hdfs.listing import Batch, Listings, entry_of
from forebay.stores.hdfs.native import Native
from forebay.stores.hdfs.reading import open_reader, together
from forebay.stores.hdfs.uploads import Uploads
from forebay.stores.hdfs.web import WebHdfs
from forebay.stores.hdfs.writing import DIRECTORY_MODE, Aside

DIGEST: Final = "md5-of-md5-of-crc32c"

_MD5_LETTERS: Final = slice(24, 56)
"""Where the MD5 is in WebHDFS's `bytes`: after twelve bytes of header, before padding."""

_WHOLE_LENGTH: Final = (1 << 63) - 1

_WITH_NATIVE: Final = Abilities(
    real_directories=True, conditional_create=True, atomic_rename=True, directory_rename=True
)
_WITH_WEB: Final = replace(_WITH_NATIVE, clock=True, digest=DIGEST)


class HdfsStore:
    """One HDFS, from its root. See `forebay.stores.contract.Store` for what the verbs promise."""

    def __init__(
        self,
        options: HdfsOptions,
        native: Native,
        web: WebHdfs | None,
        fresh_name: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._options = options
        self._native = native
        self._web = web
        self._aside = Aside(native, web, self, options.home, fresh_name)
        self._uploads = Uploads(native, web, self._aside, options.home, fresh_name)
        self._listings = Listings(self._batch, self.stat)
        self._is_open = True

    @property
    def identity(self) -> StoreIdentity:
        """Its URI."""
        return StoreIdentity(self._options.uri)

    @property
    def abilities(self) -> Abilities:
        """Fewer without WebHDFS."""
        return _WITH_NATIVE if self._web is None else _WITH_WEB

    async def check(self) -> Mapping[str, str]:
        """What is there, and by which ways."""
        root = await self.stat(STORE_ROOT)
        await self._native.status("/")
        owner = root.ownership
        facts = {
            "store": self._options.uri,
            "user": self._options.user,
            "root": "" if owner is None else f"{owner.owner}:{owner.group} {owner.mode:o}",
            "identity of files": "file id, length, modification time and last block",
            "webhdfs": ", ".join(self._options.webhdfs),
        }
        if self._web is None:
            facts["webhdfs"] = "not used or not reachable; set the mount option webhdfs"
            facts["identity of files"] = (
                "length and modification time only: without WebHDFS a file that was replaced by "
                "one of the same length within a millisecond is taken for the old one"
            )
        return facts

    async def now(self) -> datetime | None:
        """The NameNode's time."""
        return None if self._web is None else await self._web.now()

    async def close(self) -> None:
        """Let go of connections and threads."""
        self._is_open = False
        await self._aside.close()
        self._native.close()
        if self._web is not None:
            await self._web.close()

    async def stat(self, key: StoreKey) -> FileStatus:
        """The status, as the NameNode has it now."""
        return await self._aside.status(key, path_of(key))

    async def list(
        self, directory: StoreKey, *, recursive: bool = False, after: str = "", most: int = 1000
    ) -> Page:
        """A page, in whole-key order."""
        return await self._listings.page(directory, recursive=recursive, after=after, most=most)

    async def open(self, status: FileStatus) -> PinnedReader:
        """A reader of what `status` names: one status, one block list, one native open."""
        if not status.is_file:
            raise NotAFile(status.key, "is a directory")
        return await open_reader(self._native, self._web, self._stamp, status)

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """Make the file aside, then rename it into place."""
        _no_root(key)
        await self._aside.must_hold(key, options.condition)
        path, status = await self._aside.make(key, body, options.size)
        try:
            await self._aside.place(path, key, options.condition)
        except BaseException:
            self._aside.drop(path)
            raise
        return status

    async def create_upload(self, key: StoreKey, options: WriteOptions) -> str:
        """Begin an upload; HDFS keeps neither types nor metadata."""
        del options
        _no_root(key)
        return await self._uploads.create(key)

    async def write_part(
        self, key: StoreKey, upload_id: str, number: int, body: AsyncIterator[Chunk], size: int
    ) -> PartStatus:
        """Store one part."""
        return await self._uploads.write_part(key, upload_id, number, body, size)

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """The parts held."""
        return await self._uploads.list_parts(key, upload_id)

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """The uploads below `directory`."""
        return await self._uploads.list_uploads(directory)

    async def complete_upload(
        self, key: StoreKey, upload_id: str, parts: Sequence[PartStatus], options: WriteOptions
    ) -> FileStatus:
        """Make the file of the parts."""
        return await self._uploads.complete(key, upload_id, parts, options)

    async def abort_upload(self, key: StoreKey, upload_id: str) -> None:
        """Drop the upload."""
        await self._uploads.abort(key, upload_id)

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None = None
    ) -> FileStatus:
        """Read it and write it: HDFS has no copy of its own."""
        status = await self.stat(source)
        reader = await self.open(status)

        async def body() -> AsyncIterator[Chunk]:
            async for piece in reader.stream(whole(status.size)):
                yield piece
            # Before the copy gets its name: an error here leaves nothing.
            await reader.verify()

        try:
            return await self.write(target, body(), WriteOptions(condition, status.size))
        finally:
            await reader.close()

    async def rename(self, source: StoreKey, target: StoreKey, *, replace: bool = False) -> None:
        """Rename in one step."""
        _no_root(source)
        _no_root(target)
        if replace and (await self.stat(source)).is_directory:
            # HDFS would let a directory replace an empty one.
            replace = False
        try:
            await self._native.rename(path_of(source), path_of(target), replace=replace)
        except FileExists:
            if source == target and replace:
                return
            raise

    async def delete(self, key: StoreKey, condition: WriteCondition | None = None) -> None:
        """Remove the file, or the empty directory."""
        _no_root(key)
        if condition is not None:
            await self._aside.must_hold(key, condition)
        try:
            was_there = await self._native.delete(path_of(key))
        except NotADirectory as problem:
            raise FileMissing(key, "a parent is a file") from problem
        if not was_there:
            raise FileMissing(key, "HDFS has no such file or directory")

    async def make_directory(self, key: StoreKey) -> None:
        """Make the directory and its parents."""
        try:
            await self._native.make_directory(path_of(key), DIRECTORY_MODE)
        except FileExists as problem:
            raise NotADirectory(key, "is a file") from problem

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """HDFS's own checksum; None for files that have none (being written, mixed types)."""
        if self._web is None:
            return None
        try:
            answer = await self._web.ask_datanode("GETFILECHECKSUM", path_of(key))
        except StoreTrouble as trouble:
            if _has_no_checksum(str(trouble)):
                return None
            raise
        told = answer["FileChecksum"]
        return StoreDigest(str(told["algorithm"]), str(told["bytes"])[_MD5_LETTERS].lower())

    async def hosts(self, status: FileStatus) -> Sequence[str]:
        """The DataNodes that hold blocks of it."""
        if self._web is None or not status.is_file:
            return ()
        return hosts_of(await self._located(self._web, status.key, 0, _WHOLE_LENGTH))

    async def _stamp(self, status: FileStatus) -> Stamp:
        """The identity of a file now: one status and one block list, asked for at once."""
        if self._web is None:
            return Stamp((await self.stat(status.key)).fingerprint, None)
        now, last = await together(
            self.stat(status.key), self._last_block(self._web, status.key, status.size)
        )
        return Stamp(now.fingerprint, last)

    async def _last_block(self, web: WebHdfs, key: StoreKey, size: int) -> LastBlock | None:
        # The last block comes with any range; one block more is the least to ask for.
        return last_block_of(await self._located(web, key, max(0, size - 1), 1))

    async def _located(
        self, web: WebHdfs, key: StoreKey, start: int, length: int
    ) -> Mapping[str, object]:
        path = path_of(key)
        answer = await web.ask("GET", "GET_BLOCK_LOCATIONS", path, offset=start, length=length)
        located: Mapping[str, object] = answer["LocatedBlocks"]
        return located

    async def _batch(self, directory: StoreKey, after: str) -> Batch:
        path = path_of(directory)
        if self._web is None:
            return await self._native_batch(directory)
        listed = await self._web.ask("GET", "LISTSTATUS_BATCH", path, startAfter=after)
        listing = listed["DirectoryListing"]
        found = listing["partialListing"]["FileStatuses"]["FileStatus"]
        if any(fields["pathSuffix"] == "" for fields in found):
            raise NotADirectory(directory, "is a file")
        entries = tuple(
            entry_of(
                directory,
                fields["pathSuffix"],
                lambda key, fields=fields: status_of_web(key, fields),  # type: ignore[misc]
            )
            for fields in found
        )
        return Batch(entries, more=int(listing["remainingEntries"]) > 0)

    async def _native_batch(self, directory: StoreKey) -> Batch:
        """The whole directory: hdfs-native cannot begin in the middle."""
        if not (await self.stat(directory)).is_directory:
            raise NotADirectory(directory, "is a file")
        entries = tuple(
            entry_of(
                directory,
                found.path.rpartition("/")[2],
                lambda key, found=found: status_of_native(key, found),  # type: ignore[misc]
            )
            for found in await self._native.listing(path_of(directory))
        )
        return Batch(entries, more=False)


async def open_hdfs(
    options: HdfsOptions,
    transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
) -> HdfsStore:
    """The store that `options` describe, after a look whether it is there.

    WebHDFS that was not asked for by name may be missing: then the store has fewer abilities for
    as long as it is open, because fingerprints with and without it differ.

    Raises:
        StoreAway: the NameNode does not answer.
        StoreRefused: it does not accept us.
    """
    web = WebHdfs(options, transport) if options.webhdfs else None
    if web is not None and not await _answers(web, insists=options.insists):
        await web.close()
        web = None
    store = HdfsStore(options, Native(options), web)
    try:
        await store.check()
    except BaseException:
        await store.close()
        raise
    return store


async def _answers(web: WebHdfs, *, insists: bool) -> bool:
    try:
        await web.ask("GET", "GETFILESTATUS", "/")
    except StoreTrouble:
        if insists:
            await web.close()
            raise
        return False
    return True


def _no_root(key: StoreKey) -> None:
    if key.is_root:
        raise BadPath("/", "is the root of the store")


def _has_no_checksum(reason: str) -> bool:
    return "under construction" in reason or "Fail to get block MD5" in reason
