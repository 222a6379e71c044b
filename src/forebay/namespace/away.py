"""The store that is away: what stands in for a store that could not be opened yet."""
# ruff: noqa: ARG002 - the parameters are the contract's

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from forebay.model.conditions import WriteCondition
from forebay.model.errors import ForebayError, StoreAway
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


class AwayStore:
    """Keeps the contract of stores by being away: nothing is known of any file.

    Args:
        identity: which store it stands in for.
        reason: why that could not be opened.
    """

    def __init__(self, identity: StoreIdentity, reason: ForebayError) -> None:
        self._identity = identity
        self._reason = reason

    @property
    def identity(self) -> StoreIdentity:
        """Which store it stands in for."""
        return self._identity

    @property
    def abilities(self) -> Abilities:
        """None."""
        return Abilities()

    async def check(self) -> Mapping[str, str]:
        """Raise the error because of which the store could not be opened."""
        raise self._reason

    async def now(self) -> datetime | None:
        """See the contract."""
        self._be_away()

    async def close(self) -> None:
        """Nothing is held."""

    async def stat(self, key: StoreKey) -> FileStatus:
        """See the contract."""
        self._be_away(key)

    async def list(
        self,
        directory: StoreKey,
        *,
        recursive: bool = False,
        after: str = "",
        most: int = 1000,
    ) -> Page:
        """See the contract."""
        self._be_away(directory)

    async def open(self, status: FileStatus) -> PinnedReader:
        """See the contract."""
        self._be_away(status.key)

    async def write(
        self, key: StoreKey, body: AsyncIterator[Chunk], options: WriteOptions
    ) -> FileStatus:
        """See the contract."""
        self._be_away(key)

    async def create_upload(self, key: StoreKey, options: WriteOptions) -> str:
        """See the contract."""
        self._be_away(key)

    async def write_part(
        self,
        key: StoreKey,
        upload_id: str,
        number: int,
        body: AsyncIterator[Chunk],
        size: int,
    ) -> PartStatus:
        """See the contract."""
        self._be_away(key)

    async def list_parts(self, key: StoreKey, upload_id: str) -> Sequence[PartStatus]:
        """See the contract."""
        self._be_away(key)

    async def list_uploads(self, directory: StoreKey) -> Sequence[UploadStatus]:
        """See the contract."""
        self._be_away(directory)

    async def complete_upload(
        self,
        key: StoreKey,
        upload_id: str,
        parts: Sequence[PartStatus],
        options: WriteOptions,
    ) -> FileStatus:
        """See the contract."""
        self._be_away(key)

    async def abort_upload(self, key: StoreKey, upload_id: str) -> None:
        """See the contract."""
        self._be_away(key)

    async def copy(
        self, source: StoreKey, target: StoreKey, condition: WriteCondition | None = None
    ) -> FileStatus:
        """See the contract."""
        self._be_away(source)

    async def rename(
        self,
        source: StoreKey,
        target: StoreKey,
        *,
        replace: bool = False,
    ) -> None:
        """See the contract."""
        self._be_away(source)

    async def delete(self, key: StoreKey, condition: WriteCondition | None = None) -> None:
        """See the contract."""
        self._be_away(key)

    async def make_directory(self, key: StoreKey) -> None:
        """See the contract."""
        self._be_away(key)

    async def digest(self, key: StoreKey) -> StoreDigest | None:
        """See the contract."""
        self._be_away(key)

    async def hosts(self, status: FileStatus) -> Sequence[str]:
        """See the contract."""
        self._be_away(status.key)

    def _be_away(self, key: StoreKey | None = None) -> NoReturn:
        subject = self._identity.text if key is None or key.is_root else f"{self._identity}/{key}"
        raise StoreAway(subject, f"the store could not be opened: {self._reason}")
