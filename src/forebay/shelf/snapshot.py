"""The mount snapshot: which lake path leads to which store, as readers of this host need it."""

from collections.abc import Iterable

import msgspec


class MountPoint(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One mount.

    Attributes:
        path: its lake path.
        store: the identity of the store, as text.
        prefix: the store key that the mount begins at; '' for the whole store.
        sync: seconds for which a status stays fresh; None: for ever; 0: never.
        readonly: whether it takes no writes.
    """

    path: str
    store: str
    prefix: str
    sync: float | None
    readonly: bool = False


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a lake path leads."""

    store: str
    key: str
    sync: float | None
    mount: MountPoint


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[MountPoint]).decode


class MountSnapshot:
    """A mount table that cannot change; the longest mount wins."""

    __slots__ = ("_by_path", "mounts")

    def __init__(self, mounts: Iterable[MountPoint] = ()) -> None:
        self.mounts = tuple(mounts)
        self._by_path = {mount.path.rstrip("/"): mount for mount in self.mounts}

    def resolve(self, path: str) -> Place | None:
        """The store and key of a lake path, or None where nothing is mounted.

        `path` is taken as it is: a text that is no lake path leads to a key that nobody remembers.
        """
        by_path = self._by_path
        here = path if path != "/" else ""
        while True:
            mount = by_path.get(here)
            if mount is not None:
                rest = path[len(here) + 1 :]
                prefix = mount.prefix
                key = f"{prefix}/{rest}" if prefix and rest else prefix or rest
                return Place(mount.store, key, mount.sync, mount)
            if not here:
                return None
            here = here.rpartition("/")[0]

    def encode(self) -> bytes:
        """It as bytes."""
        return _encode(self.mounts)


def decode_snapshot(raw: bytes | memoryview) -> MountSnapshot:
    """The snapshot that `encode` gave."""
    return MountSnapshot(_decode(raw))
