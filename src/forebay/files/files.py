"""Files: every verb on lake paths, with grants checked first."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from forebay.cache.cached_file import CachedFile
from forebay.cache.keeper import Keeps
from forebay.files.errors_seen import ErrorsSeen
from forebay.files.loading import Loading
from forebay.files.lookups import Lookups, Map, speaking_of
from forebay.files.opened import OpenFile
from forebay.files.status import Existence, LakePage, LakeStatus, lake_status
from forebay.files.usage import Step, Sum, Usage
from forebay.files.walk import Visit, Walk
from forebay.files.why import Checksum, Location, Why
from forebay.metadata.known import Known
from forebay.metadata.statuses import Statuses
from forebay.model.errors import (
    AccessDenied,
    FileMissing,
    ForebayError,
    GenerationGone,
    NotADirectory,
    NotAFile,
    StoreTrouble,
)
from forebay.model.generation import Generation
from forebay.model.grants import Caller, Right
from forebay.model.paths import LakePath
from forebay.model.ranges import block_count
from forebay.namespace.options import Sync

_ASKED_NOW = Sync(timedelta(0))
_AS_REMEMBERED = Sync(None)
_PAGE: Final = 1000


class Files:
    """The one way to data for doors.

    Every verb takes the caller first. Who may not read a path gets AccessDenied, whether or not
    anything is there, and no store is asked. A directory that leads to something the caller may
    read can be passed: it shows only what leads on.

    Args:
        lake: the map from lake paths to stores.
        statuses: what is remembered of the stores.
        keeper: keeps bytes near.
        clock: the time now, in UTC.
    """

    def __init__(
        self, lake: Map, statuses: Statuses, keeper: Keeps, clock: Callable[[], datetime]
    ) -> None:
        self._map = lake
        self._statuses = statuses
        self._keeper = keeper
        self._clock = clock
        self._lookups = Lookups(lake, statuses, clock)
        self._errors = ErrorsSeen(clock)

    async def stat(
        self,
        caller: Caller,
        path: LakePath,
        *,
        detailed: bool = True,
        must_be_directory: bool = False,
    ) -> LakeStatus:
        """What is known of `path`, no older than its mount's sync allows.

        `detailed`: with its content type, which a listing may not have told.
        `must_be_directory`: the caller wrote a '/' at the end.
        Raises AccessDenied, FileMissing, NotADirectory, StoreAway.
        """
        with self._noted(path):
            status = await self._lookups.status(caller, path, detailed=detailed)
        if must_be_directory and status.is_file:
            raise NotADirectory(path, "is a file")
        return status

    async def exists(self, caller: Caller, path: LakePath) -> Existence:
        """Whether `path` is there: three-valued. Raises AccessDenied."""
        try:
            await self.stat(caller, path, detailed=False)
        except (FileMissing, NotADirectory):
            return Existence.ABSENT
        except StoreTrouble:
            return Existence.UNKNOWN
        return Existence.PRESENT

    async def list(
        self,
        caller: Caller,
        path: LakePath,
        *,
        recursive: bool = False,
        after: str = "",
        most: int = 1000,
    ) -> LakePage:
        """A page of what is in a directory, at most `most` entries after `after`.

        In whole-path order; `after` is a path without its first '/' (a directory's with one at the
        end), or any text. Recursive: all files below it, and the empty directories.
        Raises AccessDenied, FileMissing, NotADirectory, StoreAway.
        """
        with self._noted(path):
            if recursive:
                return await self._list_recursively(caller, path, after, most)
            return await self._lookups.page(caller, path, after=after, most=most)

    async def walk(
        self, caller: Caller, path: LakePath, *, after: str = ""
    ) -> AsyncGenerator[LakeStatus, None]:
        """All files below a directory, and the empty directories, in whole-path order."""
        with self._noted(path):
            async with aclosing(self._visits(caller, path, after)) as visits:
                async for visit in visits:
                    if visit.status.is_file or visit.is_empty:
                        yield visit.status

    async def open(
        self,
        caller: Caller,
        path: LakePath,
        *,
        generation: Generation | None = None,
        detailed: bool = True,
    ) -> OpenFile:
        """Open a file for reading; close what is returned.

        `generation`: this one or none. Nothing is fetched before it is asked for.
        Raises AccessDenied, FileMissing, NotAFile, GenerationGone, StoreAway.
        """
        with self._noted(path):
            status, kept = await self._open(caller, path, None, detailed=detailed)
        if generation is not None and status.generation != generation:
            kept.close()
            raise GenerationGone(path, "is another by now")

        async def reopen(before: LakeStatus) -> tuple[LakeStatus, CachedFile]:
            status, kept = await self._open(caller, path, _ASKED_NOW, detailed=detailed)
            if status.generation == before.generation:
                kept.close()
                raise GenerationGone(path, "its content can be had no longer")
            return status, kept

        return OpenFile(
            status,
            kept,
            reopen if generation is None else None,
            lambda error: self.note_error(path, error),
        )

    async def location(self, caller: Caller, path: LakePath) -> Location:
        """Where the bytes of a file are: on this host, and on the hosts of its store."""
        with self._noted(path):
            resolved, known = await self._lookups.file(caller, path)
            with speaking_of(path):
                hosts = await resolved.store.hosts(known.status)
        status = lake_status(path, resolved.mount, known, self._clock())
        held = self._keeper.held(_generation_of(known), status.size)
        return Location(status, held, block_count(status.size), tuple(hosts))

    async def checksum(self, caller: Caller, path: LakePath) -> Checksum:
        """The digest that the store keeps of a file."""
        with self._noted(path):
            resolved, known = await self._lookups.file(caller, path)
            with speaking_of(path):
                digest = await resolved.store.digest(resolved.key)
        return Checksum(lake_status(path, resolved.mount, known, self._clock()), digest)

    async def usage(self, caller: Caller, path: LakePath) -> Usage:
        """How much is at and below `path`, and how much of it is cached."""
        status = await self.stat(caller, path, detailed=False)
        whole = Sum(path)
        if status.is_file:
            whole.add_file(status.size, self._cached(status))
            return whole.usage()
        whole.directories = 1
        sums: dict[str, Sum] = {}
        with self._noted(path):
            async for visit in self._visits(caller, path, ""):
                name = visit.status.path.parts[len(path.parts)]
                child = sums.setdefault(name, Sum(path / name))
                for total in (whole, child):
                    if visit.status.is_directory:
                        total.directories += 1
                    else:
                        total.add_file(visit.status.size, self._cached(visit.status))
        return whole.usage(tuple(child.usage() for child in sums.values()))

    async def load(
        self, caller: Caller, path: LakePath, *, recursive: bool = False
    ) -> AsyncGenerator[Step, None]:
        """Bring a file, or all files below a directory, into the cache; tells how far it is.

        Raises NotAFile for a directory unless `recursive`, NoRoom, StoreAway.
        """
        with self._noted(path):
            loading = Loading(
                self._wanted(caller, path, recursive=recursive), partial(self._load_one, caller)
            )
            async with aclosing(loading.steps()) as steps:
                async for step in steps:
                    yield step

    async def free(
        self, caller: Caller, path: LakePath, *, recursive: bool = False
    ) -> AsyncGenerator[Step, None]:
        """Let go of what is cached of a file, or of all files below a directory.

        The store keeps everything. It needs the right to write: others read from the cache too.
        """
        caller.must(Right.WRITE, path)
        files = freed = 0
        with self._noted(path):
            wanted = self._wanted(caller, path, recursive=recursive, sync=_AS_REMEMBERED)
            async with aclosing(wanted):
                async for status in wanted:
                    if status.generation is not None:
                        freed += await self._keeper.free(status.generation)
                    files += 1
                    yield Step(status.path, files, freed, files, freed)

    async def why(self, caller: Caller, path: LakePath) -> Why:
        """All that explains how `path` is answered; also when its store is away."""
        if not caller.may_pass(path):
            caller.must(Right.READ, path)
        found = self._map.table.find(path)
        if found is None or not caller.may(Right.READ, path):
            return await self._why_above(caller, path)
        resolved = self._map.resolve(path)
        existence, status = await self._remembered(caller, path)
        age = None if status is None else status.age
        max_age = resolved.mount.sync.max_age
        cached = 0 if status is None else self._cached(status)
        return Why(
            path,
            existence,
            f"the mount at {resolved.mount.path} leads to {resolved.mount.uri}",
            mount=resolved.mount.path,
            store=resolved.store.identity.text,
            store_key=resolved.key,
            sync=str(resolved.mount.sync),
            status=status,
            age=age,
            is_fresh=age is not None and (max_age is None or (age <= max_age and bool(max_age))),
            cached_bytes=cached,
            cached_share=_share(status, cached),
            last_error=self._errors.last(path),
        )

    def note_error(self, path: LakePath, error: ForebayError) -> None:
        """Reading `path` ended with `error`: `why` will tell."""
        if not isinstance(error, AccessDenied):
            self._errors.note(path, error)

    async def _open(
        self, caller: Caller, path: LakePath, sync: Sync | None, *, detailed: bool
    ) -> tuple[LakeStatus, CachedFile]:
        resolved, known = await self._lookups.file(caller, path, sync=sync, detailed=detailed)
        status = lake_status(path, resolved.mount, known, self._clock())
        return status, self._keeper.open(resolved.store, known.status, _generation_of(known))

    async def _load_one(
        self, caller: Caller, status: LakeStatus, progress: Callable[[int], None]
    ) -> None:
        for sync in (None, _ASKED_NOW):
            resolved, known = await self._lookups.file(caller, status.path, sync=sync)
            try:
                with speaking_of(status.path):
                    await self._keeper.load(
                        resolved.store, known.status, _generation_of(known), progress
                    )
            except GenerationGone:
                if sync is not None:
                    raise
            else:
                return

    def _visits(
        self,
        caller: Caller,
        path: LakePath,
        after: str,
        *,
        sync: Sync | None = None,
        most: int | None = None,
    ) -> AsyncGenerator[Visit, None]:
        async def page_of(directory: LakePath, after: str) -> LakePage:
            return await self._lookups.page(
                caller, directory, after=after, most=page_size, sync=sync
            )

        page_size = _PAGE if most is None else min(_PAGE, most)
        return Walk(page_of, path, after, most).visits()

    async def _list_recursively(
        self, caller: Caller, path: LakePath, after: str, most: int
    ) -> LakePage:
        entries: list[LakeStatus] = []
        async with aclosing(self._visits(caller, path, after, most=most + 1)) as visits:
            async for visit in visits:
                if visit.status.is_file or visit.is_empty:
                    entries.append(visit.status)
                if len(entries) > most:
                    break
        shown = tuple(entries[:most])
        next_after = shown[-1].order.decode() if len(entries) > most and shown else None
        age = max((entry.age for entry in shown), default=timedelta(0))
        return LakePage(shown, next_after, age=age)

    async def _wanted(
        self, caller: Caller, path: LakePath, *, recursive: bool, sync: Sync | None = None
    ) -> AsyncGenerator[LakeStatus, None]:
        """The file at `path`, or, recursively, the files below it."""
        status = await self._lookups.status(caller, path, sync=sync)
        if status.is_file:
            yield status
            return
        if not recursive:
            raise NotAFile(path, "is a directory; say that all below it is meant")
        async with aclosing(self._visits(caller, path, "", sync=sync)) as visits:
            async for visit in visits:
                if visit.status.is_file:
                    yield visit.status

    async def _remembered(
        self, caller: Caller, path: LakePath
    ) -> tuple[Existence, LakeStatus | None]:
        try:
            status = await self._lookups.status(caller, path, sync=_AS_REMEMBERED)
        except (FileMissing, NotADirectory):
            return Existence.ABSENT, None
        except StoreTrouble as error:
            self.note_error(path, error)
            return Existence.UNKNOWN, None
        return Existence.PRESENT, status

    async def _why_above(self, caller: Caller, path: LakePath) -> Why:
        try:
            status = await self._lookups.status(caller, path)
        except FileMissing:
            return Why(path, Existence.ABSENT, "is under no mount")
        return Why(path, Existence.PRESENT, "leads to what is below it", status=status)

    def _cached(self, status: LakeStatus) -> int:
        if status.generation is None:
            return 0
        return self._keeper.held(status.generation, status.size).bytes

    @contextmanager
    def _noted(self, path: LakePath) -> Iterator[None]:
        try:
            yield
        except (StoreTrouble, GenerationGone) as error:
            self.note_error(path, error)
            raise


def _generation_of(known: Known) -> Generation:
    if known.generation is None:
        raise NotAFile(known.status.key, "is a directory")
    return known.generation


def _share(status: LakeStatus | None, cached: int) -> float:
    if status is None or status.is_directory:
        return 0.0
    return cached / status.size if status.size else 1.0
