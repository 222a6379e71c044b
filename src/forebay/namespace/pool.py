"""The pool of opened stores: one for each distinct store and options, shared by its mounts."""

from dataclasses import dataclass, field

from forebay.model.errors import BadUri
from forebay.namespace.opening import Schemes, WantedStore
from forebay.stores.contract import Store


@dataclass(frozen=True, slots=True)
class _Which:
    """Which store, named by a URI or by its identity, and how it is opened."""

    name: str
    options: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(slots=True)
class _Shared:
    store: Store
    names: set[_Which]
    users: int = 0


class StorePool:
    """Opens stores and closes them when their last user lets go."""

    def __init__(self, schemes: Schemes) -> None:
        self._schemes = schemes
        self._opened: dict[_Which, _Shared] = {}

    async def take(self, wanted: WantedStore) -> Store:
        """The opened store; `release` it when it is used no longer.

        Raises what opening raises, and BadUri for a scheme that nobody opens.
        """
        options = wanted.options.of_store
        by_uri = _Which(wanted.uri.root, options)
        shared = self._opened.get(by_uri)
        if shared is None:
            shared = await self._open(wanted, by_uri)
        shared.users += 1
        return shared.store

    async def release(self, store: Store) -> None:
        """Let go of a store that was taken; the last one who does closes it."""
        shared = next((held for held in self._opened.values() if held.store is store), None)
        if shared is None:
            return
        shared.users -= 1
        if shared.users == 0:
            self._forget(shared)
            await store.close()

    async def close(self) -> None:
        """Close all of them."""
        for shared in list(self._opened.values()):
            if shared.users:
                shared.users = 0
                self._forget(shared)
                await shared.store.close()

    async def _open(self, wanted: WantedStore, by_uri: _Which) -> _Shared:
        opener = self._schemes.get(wanted.uri.scheme)
        if opener is None:
            raise BadUri(wanted.uri, f"{wanted.uri.scheme}:// stores are not served by this node")
        store = await opener(wanted)
        # The same store may have another URI too, or have been opened by another meanwhile.
        by_identity = _Which(store.identity.text, by_uri.options)
        shared = self._opened.get(by_identity)
        if shared is None:
            shared = _Shared(store, {by_identity})
            self._opened[by_identity] = shared
        shared.names.add(by_uri)
        self._opened[by_uri] = shared
        if shared.store is not store:
            # Held while we wait: its last user must not close it meanwhile.
            shared.users += 1
            try:
                await store.close()
            finally:
                shared.users -= 1
        return shared

    def _forget(self, shared: _Shared) -> None:
        for name in shared.names:
            self._opened.pop(name, None)
