"""The rooms of a node: built from the settings, floor by floor, and taken down in reverse."""

import asyncio
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from forebay.assembly.ring import Ring
from forebay.assembly.stores import StoreOpener
from forebay.cache.keeper import Keeper, open_keeper
from forebay.cache.options import CacheOptions
from forebay.config.first_start import with_quota
from forebay.config.settings import Settings
from forebay.files.files import Files
from forebay.metadata.index import StatusIndex
from forebay.metadata.statuses import Statuses
from forebay.metrics.access_log import AccessLog, AccessLogOptions
from forebay.metrics.audit_log import AuditLog
from forebay.metrics.counters import Counters
from forebay.metrics.request_ids import RequestIds
from forebay.metrics.rotating_file import RotationOptions
from forebay.model.errors import BadConfiguration
from forebay.namespace.mounts import MountTable
from forebay.namespace.registry import Namespace, NamespaceOptions
from forebay.shelf.shelf import Shelf, ShelfOptions, open_shelf
from forebay.shelf.snapshot import MountPoint, MountSnapshot
from forebay.shelf.tallies import Tallies
from forebay.state.state import State, StateOptions, open_state

_log = logging.getLogger(__name__)

# A map is address space, not memory: four times what may be held leaves room for free pages.
_MAP_FACTOR: Final = 4

ROOM_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything of a node below its doors."""

    settings: Settings
    node_id: str
    state: State
    ring: Ring
    counters: Counters
    request_ids: RequestIds
    access_log: AccessLog
    audit_log: AuditLog
    shelf: Shelf
    tallies: Tallies
    keeper: Keeper
    statuses: Statuses
    openers: StoreOpener
    namespace: Namespace
    files: Files
    tokens_secret: bytes


def utc_now() -> datetime:
    """The time of this host."""
    return datetime.now(UTC)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Rooms]:
    """The rooms of the node on `settings.data`, for as long as the context lasts.

    Raises what a room raises that cannot be opened; then nothing stays open.
    """
    async with AsyncExitStack() as stack:
        yield await _build(settings, stack)


async def _build(given: Settings, stack: AsyncExitStack) -> Rooms:
    settings = await asyncio.to_thread(_first_start, given)
    rotation = RotationOptions(settings.logs.max_bytes, settings.logs.files)
    logs = settings.logs.directory
    audit_log = AuditLog(logs / "audit.jsonl", rotation)
    stack.push_async_callback(audit_log.close)
    access_log = AccessLog(logs / "access.jsonl", AccessLogOptions(rotation=rotation))
    stack.push_async_callback(access_log.close)
    await _keep(stack, access_log.run())

    state = await open_state(
        StateOptions(settings.state.url, str(settings.state.master_key)),
        clock=utc_now,
        environment=settings.environment,
    )
    stack.push_async_callback(state.close)
    ring = Ring(state.keys, state.changes, utc_now)
    await ring.renew()
    await _keep(stack, ring.follow(asyncio.sleep))

    # A thread of its own: those of the loop may all hang in a directory on a dead file server.
    shelf_thread = ThreadPoolExecutor(1, "forebay-shelf")
    stack.callback(shelf_thread.shutdown, wait=False)
    shelf, keeper, statuses = await _memory(settings, stack)
    await _keep(stack, _tend_shelf(shelf, shelf_thread))
    tallies = Tallies(shelf.layout.tallies)
    tallies.begin()
    counters = Counters()
    openers = StoreOpener(settings.environment)
    namespace = Namespace(
        state.mounts,
        state.secrets,
        openers.schemes,
        options=NamespaceOptions(
            tuple(str(path) for path in settings.stores.file.allow),
            settings.root.uri,
            sync=settings.metadata.sync,
        ),
        environment=settings.environment,
        clock=utc_now,
        publish=_Publisher(shelf, counters, shelf_thread).publish,
    )
    stack.push_async_callback(namespace.close)
    await namespace.open()
    await _keep(stack, namespace.tend())
    return Rooms(
        settings=settings,
        node_id=await state.settings.once("node.id", lambda: secrets.token_hex(8)),
        state=state,
        ring=ring,
        counters=counters,
        request_ids=RequestIds(secrets.token_hex(4).upper()),
        access_log=access_log,
        audit_log=audit_log,
        shelf=shelf,
        tallies=tallies,
        keeper=keeper,
        statuses=statuses,
        openers=openers,
        namespace=namespace,
        files=Files(namespace, statuses, keeper, utc_now),
        tokens_secret=(await state.secrets.once("tokens", lambda: secrets.token_hex(32))).encode(),
    )


async def _memory(settings: Settings, stack: AsyncExitStack) -> tuple[Shelf, Keeper, Statuses]:
    names_bytes = settings.metadata.max_bytes
    quota = settings.cache.quota
    if not isinstance(quota, int):
        raise BadConfiguration("cache.quota", "is not settled")
    options = ShelfOptions(names_bytes, _MAP_FACTOR * names_bytes)
    shelf = await asyncio.to_thread(
        open_shelf, settings.cache.directory / "0", options, write=True, now=time.time
    )
    stack.callback(shelf.close)
    keeper = await open_keeper(shelf, CacheOptions(quota, settings.cache.reserve), time.time)
    stack.push_async_callback(keeper.close)
    statuses = Statuses(StatusIndex(shelf.names, shelf.names_writer), time.time)
    stack.push_async_callback(statuses.close)
    return shelf, keeper, statuses


@dataclass(frozen=True, slots=True)
class _Publisher:
    """Tells the readers of the shelf, and the counters, which mounts there are."""

    shelf: Shelf
    counters: Counters
    thread: ThreadPoolExecutor

    async def publish(self, table: MountTable) -> None:
        """Make this the table in force."""
        points = [
            MountPoint(
                mount.path.text,
                mount.store.text,
                mount.prefix.text,
                None if mount.sync.max_age is None else mount.sync.max_age.total_seconds(),
                mount.readonly,
            )
            for mount in table.mounts
        ]
        publish = self.shelf.names_writer.publish
        await asyncio.get_running_loop().run_in_executor(
            self.thread, publish, MountSnapshot(points)
        )
        paths = {point.path for point in points}
        for known in self.counters.mounts():
            if known.mount not in paths:
                self.counters.forget_mount(known.mount)
        for path in paths:
            self.counters.mount(path)


async def _tend_shelf(shelf: Shelf, thread: ThreadPoolExecutor) -> NoReturn:
    """Drop the names checked longest ago when there are too many, and what dead readers hold."""
    while True:
        await asyncio.sleep(ROOM_SECONDS)
        for work in (shelf.names_writer.room, shelf.check_readers):
            await asyncio.get_running_loop().run_in_executor(thread, work)


def _first_start(settings: Settings) -> Settings:
    """Make the directories, and settle how much the cache may take."""
    for directory in (settings.data, settings.logs.directory, settings.cache.directory):
        _make_private(directory)
    free = shutil.disk_usage(settings.cache.directory).free
    return with_quota(settings, free)


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise BadConfiguration(directory, f"cannot be made: {reason}") from error


async def _keep(stack: AsyncExitStack, work: Coroutine[Any, Any, object]) -> None:
    """Run `work` until the rooms are taken down."""
    task = asyncio.create_task(work)
    task.add_done_callback(_tell_of_death)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)


def _tell_of_death(task: "asyncio.Task[object]") -> None:
    if not task.cancelled() and task.exception() is not None:
        facts = {"task": repr(task.get_coro())}
        _log.error("task_died", extra={"facts": facts}, exc_info=task.exception())
