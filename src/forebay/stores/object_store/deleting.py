"""Deletes: of files, and of directories that have nothing in them."""

from forebay.model.conditions import IfAbsent, WriteCondition
from forebay.model.errors import BadPath, ConditionFailed, DirectoryNotEmpty, FileMissing
from forebay.model.paths import StoreKey
from forebay.stores.object_store.signed import Request, SignedClient
from forebay.stores.object_store.statuses import Statuses
from forebay.stores.object_store.uploads import condition_headers


class Deleting:
    """Removes one key at a time, and never what lies below it."""

    def __init__(self, client: SignedClient, statuses: Statuses) -> None:
        self._client = client
        self._statuses = statuses

    async def delete(self, key: StoreKey, condition: WriteCondition | None) -> None:
        """Remove the file, or the empty directory."""
        if key.is_root:
            raise BadPath("/", "the root cannot be removed")
        if condition is not None:
            await self._delete_if(key, condition)
            return
        # A DELETE of what is not there succeeds: only asking first tells.
        found = await self._statuses.stat(key)
        if found.is_file:
            await self.delete_file(key, None)
        else:
            await self._delete_directory(key)

    async def delete_file(self, key: StoreKey, condition: WriteCondition | None) -> None:
        """Remove the object `key`."""
        headers = condition_headers(condition, key)
        await self._client.send(Request("DELETE", key.text, headers=headers))

    async def _delete_if(self, key: StoreKey, condition: WriteCondition) -> None:
        if isinstance(condition, IfAbsent):
            await self._statuses.stat(key)
            raise ConditionFailed(key, "it is there")
        try:
            await self.delete_file(key, condition)
        except ConditionFailed:
            # Stores word it alike whether the file is another or gone.
            await self._statuses.stat(key)
            raise

    async def _delete_directory(self, key: StoreKey) -> None:
        marker = f"{key.text}/"
        below = await self._statuses.keys_below(key, most=2)
        if any(name != marker for name in below):
            raise DirectoryNotEmpty(key, "there is something in it")
        if not below:
            raise FileMissing(key, "there is no such file or directory")
        # Only the empty object itself: what comes below it meanwhile stays.
        await self._client.send(Request("DELETE", marker))
