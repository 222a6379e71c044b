"""The mount table: which store stands at which lake path."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from forebay.model.errors import FileMissing, MountExists, MountMissing, ReadOnly, RootReadOnly
from forebay.model.generation import StoreIdentity
from forebay.model.paths import LakePath, StoreKey
from forebay.namespace.options import Sync

WHOLE_LAKE: Final = "lake"
"""The bucket that is the whole namespace; no directory of the root has this name."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A store, or a directory of one, at a lake path.

    `options` are for people: secrets are not among them.
    """

    path: LakePath
    uri: str
    store: StoreIdentity
    prefix: StoreKey
    readonly: bool
    sync: Sync
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Located:
    """Where a lake path leads: into which mount, and to which key of its store."""

    mount: Mount
    key: StoreKey


@dataclass(frozen=True, slots=True)
class MountTable:
    """A set of mounts. Of those that a path lies under, the longest wins."""

    _mounts: Mapping[str, Mount] = field(default_factory=dict)

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """All mounts, by path."""
        return tuple(self._mounts[text] for text in sorted(self._mounts))

    def at(self, path: LakePath) -> Mount:
        """The mount at exactly `path`. Raises MountMissing."""
        mount = self._mounts.get(path.text)
        if mount is None:
            raise MountMissing(path)
        return mount

    def with_mount(self, mount: Mount) -> "MountTable":
        """The table with one more. Raises MountExists."""
        if mount.path.text in self._mounts:
            raise MountExists(mount.path)
        return MountTable({**self._mounts, mount.path.text: mount})

    def without(self, path: LakePath) -> "MountTable":
        """The table with one less. Raises MountMissing."""
        self.at(path)
        return MountTable({text: m for text, m in self._mounts.items() if text != path.text})

    def find(self, path: LakePath) -> Located | None:
        """Where `path` leads, or None if it is under no mount."""
        text = path.text
        while True:
            mount = self._mounts.get(text)
            if mount is not None:
                return Located(mount, mount.prefix / path.below(mount.path))
            if text == "/":
                return None
            text = text.rpartition("/")[0] or "/"

    def resolve(self, path: LakePath) -> Located:
        """Where `path` leads.

        Raises:
            FileMissing: it is under no mount.
        """
        located = self.find(path)
        if located is None:
            raise FileMissing(path, "is under no mount")
        return located

    def resolve_for_write(self, path: LakePath) -> Located:
        """Where `path` leads, for whoever wants to change what is there.

        Raises:
            RootReadOnly: it is under no mount.
            ReadOnly: the mount takes no writes.
        """
        located = self.find(path)
        if located is None:
            raise RootReadOnly(path, "is under no mount")
        if located.mount.readonly:
            raise ReadOnly(path, f"the mount at {located.mount.path} is read-only")
        return located

    def unresolve(self, store: StoreIdentity, key: StoreKey) -> list[LakePath]:
        """The lake paths that lead to `key` of `store`, the preferred one first.

        The longest prefix in the store is preferred; of equal ones, the first path.
        """
        leading = sorted(
            (mount for mount in self._mounts.values() if mount.store == store),
            key=lambda mount: (-len(mount.prefix.text), mount.path.text),
        )
        paths = []
        for mount in leading:
            if not key.is_under(mount.prefix):
                continue
            path = mount.path / key.below(mount.prefix)
            # A mount below may hide this name.
            located = self.find(path)
            if located is not None and located.mount is mount:
                paths.append(path)
        return paths

    def preferred(self, store: StoreIdentity, key: StoreKey) -> LakePath | None:
        """The one lake path by which `key` of `store` is called, or None if none leads there."""
        return next(iter(self.unresolve(store, key)), None)

    def below(self, path: LakePath) -> tuple[Mount, ...]:
        """The mounts below `path`, without one at it, by path."""
        return tuple(m for m in self.mounts if m.path != path and m.path.is_under(path))

    def names_in(self, directory: LakePath) -> tuple[str, ...]:
        """The names in `directory` that are mounts, or lead to mounts, in order."""
        depth = len(directory.parts)
        return tuple(sorted({mount.path.parts[depth] for mount in self.below(directory)}))


def table_of(mounts: Iterable[Mount]) -> MountTable:
    """The table of these mounts. Raises MountExists."""
    table = MountTable()
    for mount in mounts:
        table = table.with_mount(mount)
    return table


def check_place(path: LakePath, mounts: Sequence[Mount]) -> None:
    """Refuse a place where nothing may be mounted.

    Raises:
        RootReadOnly: it is the root.
        MountExists: something is mounted there, or the name is taken.
    """
    if path.is_root:
        raise RootReadOnly(path, "is the root, which only the setting root.uri gives a store")
    if path.parts[0] == WHOLE_LAKE:
        raise MountExists(path, f"the bucket {WHOLE_LAKE!r} is the whole lake")
    if any(mount.path == path for mount in mounts):
        raise MountExists(path)
