"""Lookups: what is at a lake path, and what is in a directory, as far as a caller may know."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

from forebay.files.status import LakePage, LakeStatus, lake_status, leading_status
from forebay.metadata.known import Known, KnownPage
from forebay.metadata.statuses import Statuses
from forebay.model.errors import BadPath, FileMissing, FileTrouble, NotADirectory, NotAFile
from forebay.model.grants import Caller, Right
from forebay.model.paths import LakePath
from forebay.namespace.mounts import MountTable
from forebay.namespace.options import Sync
from forebay.namespace.registry import Resolved


class Map(Protocol):
    """The map from lake paths to stores."""

    @property
    def table(self) -> MountTable:
        """The mounts as they are now."""
        ...

    def resolve(self, path: LakePath) -> Resolved:
        """Where `path` leads. Raises FileMissing."""
        ...


class Lookups:
    """Answers for the mounts, and for the directories that only lead to mounts or to grants.

    Grants come first: whoever may not read a path learns nothing of it, and nobody is asked.
    """

    def __init__(self, lake: Map, statuses: Statuses, clock: Callable[[], datetime]) -> None:
        self._map = lake
        self._statuses = statuses
        self._clock = clock
        self._table: MountTable | None = None
        self._leads: dict[str, tuple[str, ...]] = {}

    async def status(
        self, caller: Caller, path: LakePath, *, sync: Sync | None = None, detailed: bool = False
    ) -> LakeStatus:
        """What is known of `path`; `sync` in place of the mount's."""
        if self._only_leads_on(caller, path):
            return leading_status(path, None, self._clock())
        resolved = self._resolved(path)
        if resolved is None or (path != resolved.mount.path and path.text in self._leading()):
            return leading_status(path, None, self._clock())
        try:
            known = await self._known(path, resolved, sync=sync, detailed=detailed)
        except FileMissing:
            if not _is_sure(path, resolved):
                raise
            return leading_status(path, resolved.mount, self._clock())
        return lake_status(path, resolved.mount, known, self._clock())

    async def page(
        self,
        caller: Caller,
        directory: LakePath,
        *,
        after: str = "",
        most: int = 1000,
        sync: Sync | None = None,
    ) -> LakePage:
        """A page of what is directly in `directory`."""
        if self._only_leads_on(caller, directory):
            leading = await self._leading_to_grants(caller, directory)
            return self._cut(directory, leading, after, most)
        names = self._leading().get(directory.text, ())
        resolved = self._resolved(directory)
        if resolved is None:
            return self._cut(directory, self._mounts_at(directory, names), after, most)
        begin = after_in(directory, after)
        if begin is None:
            return LakePage(())
        page = await self._store_page(directory, resolved, begin, most, sync, names)
        return self._merged(directory, resolved, page, begin, most)

    async def file(
        self, caller: Caller, path: LakePath, *, sync: Sync | None = None, detailed: bool = False
    ) -> tuple[Resolved, Known]:
        """Where a file lies, and what is known of it. Raises NotAFile for a directory."""
        caller.must(Right.READ, path)
        resolved = self._resolved(path)
        if resolved is None or path == resolved.mount.path or path.text in self._leading():
            raise NotAFile(path, "is a directory")
        known = await self._known(path, resolved, sync=sync, detailed=detailed)
        if known.status.is_directory:
            raise NotAFile(path, "is a directory")
        return resolved, known

    async def _known(
        self,
        path: LakePath,
        resolved: Resolved,
        *,
        sync: Sync | None = None,
        detailed: bool = False,
    ) -> Known:
        """What is known of the key that `path` was resolved to."""
        max_age = resolved.mount.sync.max_age if sync is None else sync.max_age
        with speaking_of(path):
            return await self._statuses.status(
                resolved.store, resolved.key, max_age, detailed=detailed
            )

    def _only_leads_on(self, caller: Caller, path: LakePath) -> bool:
        """Whether the caller may pass here, but not look around. Raises AccessDenied."""
        if caller.may(Right.READ, path):
            return False
        if not caller.may_pass(path):
            caller.must(Right.READ, path)
        return True

    def _resolved(self, path: LakePath) -> Resolved | None:
        """Where `path` leads; None for a directory above all mounts. Raises FileMissing."""
        if self._map.table.find(path) is not None:
            return self._map.resolve(path)
        if path.is_root or path.text in self._leading():
            return None
        raise FileMissing(path, "is under no mount")

    def _leading(self) -> dict[str, tuple[str, ...]]:
        """The names that are, or lead to, mounts, by the directory they are in."""
        if self._map.table is not self._table:
            self._table = self._map.table
            places = {
                parent.text for mount in self._table.mounts for parent in mount.path.parents()
            }
            self._leads = {text: self._table.names_in(LakePath(text)) for text in places}
        return self._leads

    def _mounts_at(self, directory: LakePath, names: Iterable[str]) -> list[LakeStatus]:
        now = self._clock()
        paths = [directory / name for name in names]
        found = [(path, self._map.table.find(path)) for path in paths]
        return [
            leading_status(path, None if located is None else located.mount, now)
            for path, located in found
        ]

    async def _leading_to_grants(self, caller: Caller, directory: LakePath) -> list[LakeStatus]:
        """What of `directory` leads to a grant, or is one; nothing else is looked at."""
        depth = len(directory.parts)
        names = {
            grant.path.parts[depth]
            for grant in caller.grants
            if grant.path != directory and grant.path.is_under(directory)
        }
        found = await asyncio.gather(*(self._if_there(caller, directory / name) for name in names))
        return [status for status in found if status is not None]

    async def _if_there(self, caller: Caller, path: LakePath) -> LakeStatus | None:
        try:
            return await self.status(caller, path)
        except (FileMissing, NotADirectory):
            return None

    async def _store_page(
        self,
        directory: LakePath,
        resolved: Resolved,
        begin: str,
        most: int,
        sync: Sync | None,
        names: Sequence[str],
    ) -> KnownPage:
        prefix = "" if resolved.key.is_root else f"{resolved.key.text}/"
        max_age = resolved.mount.sync.max_age if sync is None else sync.max_age
        try:
            with speaking_of(directory):
                return await self._statuses.page(
                    resolved.store,
                    resolved.key,
                    max_age,
                    after=f"{prefix}{begin}" if begin else "",
                    most=most,
                )
        except FileMissing:
            if not names and not _is_sure(directory, resolved):
                raise
        except NotADirectory:
            # A mount below hides the file.
            if not names:
                raise
        return KnownPage((), None, self._clock())

    def _merged(
        self, directory: LakePath, resolved: Resolved, page: KnownPage, begin: str, most: int
    ) -> LakePage:
        """The store's page with the mounts in the directory, which hide names of the store."""
        now = self._clock()
        names = self._leading().get(directory.text, ())
        high = None if page.next_after is None else _name_of(page.next_after, resolved)
        entries = [
            lake_status(directory / known.status.key.name, resolved.mount, known, now)
            for known in page.entries
            if known.status.key.name not in names
        ]
        mounts = [
            name
            for name in names
            if f"{name}/" > begin and (high is None or f"{name}/".encode() <= high.encode())
        ]
        if mounts:
            entries += self._mounts_at(directory, mounts)
            entries.sort(key=lambda status: status.order)
        next_after = None if high is None else _inside(directory) + high
        if len(entries) > most:
            entries = entries[:most]
            next_after = entries[-1].order.decode()
        return LakePage(
            tuple(entries),
            next_after,
            age=max(timedelta(0), now - page.checked_at),
            unaddressable=page.unaddressable,
        )

    def _cut(
        self, directory: LakePath, entries: Iterable[LakeStatus], after: str, most: int
    ) -> LakePage:
        begin = after_in(directory, after)
        if begin is None:
            return LakePage(())
        low = f"{_inside(directory)}{begin}".encode()
        shown = sorted(
            (entry for entry in entries if not begin or entry.order > low),
            key=lambda entry: entry.order,
        )
        next_after = shown[most - 1].order.decode() if len(shown) > most else None
        age = max((entry.age for entry in shown[:most]), default=timedelta(0))
        return LakePage(tuple(shown[:most]), next_after, age=age)


@contextmanager
def speaking_of(path: LakePath) -> Iterator[None]:
    """Let errors speak of the lake path: a caller knows no store keys."""
    try:
        yield
    except FileTrouble as error:
        raise type(error)(path, error.reason) from error


def after_in(directory: LakePath, after: str) -> str | None:
    """What of `after` counts in `directory`: '' for all of it; None for nothing of it.

    Raises:
        BadPath: it is no text.
    """
    prefix = _inside(directory)
    if after.startswith(prefix):
        return after[len(prefix) :]
    try:
        return "" if after.encode() < prefix.encode() else None
    except UnicodeEncodeError as error:
        raise BadPath(ascii(after), "is no UTF-8") from error


def _inside(directory: LakePath) -> str:
    return "" if directory.is_root else f"{directory.text[1:]}/"


def _name_of(whole_key: str, resolved: Resolved) -> str:
    """The last name of a whole key in the directory, with the '/' of a directory."""
    return whole_key if resolved.key.is_root else whole_key[len(resolved.key.text) + 1 :]


def _is_sure(path: LakePath, resolved: Resolved) -> bool:
    """Whether it is a directory whatever the store says: an empty prefix of an object store."""
    return path == resolved.mount.path and not resolved.store.abilities.real_directories
