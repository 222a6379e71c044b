"""The namespace: the mounts with their opened stores."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NoReturn

from forebay.model.errors import (
    FileMissing,
    ForebayError,
    NotADirectory,
    RootReadOnly,
    StoreAway,
    StoreMissing,
)
from forebay.model.paths import ROOT, LakePath, StoreKey
from forebay.namespace.allowed import allowed
from forebay.namespace.alluxio import translated
from forebay.namespace.away import AwayStore
from forebay.namespace.mounts import Located, Mount, MountTable, check_place
from forebay.namespace.opening import Schemes, WantedStore
from forebay.namespace.options import OF_SCHEME, SYNC, Sync, check_names, read_options
from forebay.namespace.pool import StorePool
from forebay.namespace.references import STORED, References, check_given, is_reference, shown
from forebay.namespace.uri import Scheme, StoreUri, store_uri
from forebay.state.contract import Mounts, Secrets
from forebay.state.rows import MountRow
from forebay.stores.contract import Store

_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 30.0

Publish = Callable[[MountTable], Awaitable[None]]
"""Told of each new table, one after the other, the newest last."""


@dataclass(frozen=True, slots=True)
class NamespaceOptions:
    """What may be mounted, and what stands at the root.

    Attributes:
        file_allow: directories below which directories of this host may be mounted.
        root_uri: the store at `/`; None: the root holds mounts only.
        sync: how old remembered statuses may be in mounts that do not say.
        patience: how long the start waits for stores to open; they go on opening afterwards.
    """

    file_allow: tuple[str, ...] = ()
    root_uri: str | None = None
    sync: Sync = SYNC.default
    patience: timedelta = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a lake path leads: the mount, the key in its store, and the store, opened."""

    mount: Mount
    key: StoreKey
    store: Store


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mount that was made, the facts its store told, and notices about its options."""

    mount: Mount
    facts: Mapping[str, str]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a mount's store told when it was asked: facts, or the error."""

    mount: Mount
    facts: Mapping[str, str] | None = None
    error: ForebayError | None = None


class Namespace:
    """Mounts, unmounts, resolves. `open` it first; keep `tend` running; `close` it last.

    Args:
        mounts: remembers the mounts.
        secrets: keeps the secrets among their options.
        schemes: who opens which kind of store.
        options: what may be mounted.
        environment: what `env:NAME` leads to.
        clock: the time now, in UTC.
        publish: is told of each new table.
    """

    def __init__(  # noqa: PLR0913 - all of its surroundings
        self,
        mounts: Mounts,
        secrets: Secrets,
        schemes: Schemes,
        *,
        options: NamespaceOptions,
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
        publish: Publish,
    ) -> None:
        self._mounts = mounts
        self._secrets = secrets
        self._references = References(environment, secrets)
        self._pool = StorePool(schemes)
        self._options = options
        self._clock = clock
        self._publish = publish
        self._publishing = asyncio.Lock()
        self._table = MountTable()
        self._stores: dict[str, Store] = {}
        self._rows: dict[str, MountRow] = {}
        self._away: set[str] = set()

    @property
    def table(self) -> MountTable:
        """The mounts as they are now."""
        return self._table

    def mounts(self) -> tuple[Mount, ...]:
        """All mounts, by path; also those whose store is away."""
        return self._table.mounts

    def resolve(self, path: LakePath) -> Resolved:
        """Where `path` leads.

        Raises:
            FileMissing: it is under no mount.
        """
        return self._resolved(self._table.resolve(path))

    def resolve_for_write(self, path: LakePath) -> Resolved:
        """Where `path` leads, for whoever wants to change what is there.

        Raises:
            RootReadOnly: it is under no mount.
            ReadOnly: the mount takes no writes.
        """
        return self._resolved(self._table.resolve_for_write(path))

    async def open(self) -> None:
        """Take up the remembered mounts.

        A store that cannot be opened stands in the table all the same, as one that is away; `tend`
        opens it later. Raises what is wrong with `root_uri`, and StateAway.
        """
        for row in await self._mounts.all():
            self._rows[row.path.text] = row
            self._table = self._table.with_mount(self._mount_of(row))
            self._be_away(row, StoreAway(row.store, "it is being opened"))
        if self._options.root_uri is not None:
            await self._mount_root(self._options.root_uri)
        try:
            async with asyncio.timeout(self._options.patience.total_seconds()):
                await self.reopen()
        except TimeoutError:
            pass  # `tend` goes on
        await self._tell()

    async def mount(
        self, path: LakePath, uri: str, options: Mapping[str, str], *, readonly: bool = False
    ) -> Mounted:
        """Mount the store at `uri`, after it has answered.

        On any error nothing is mounted, and nothing is held open. Raises RootReadOnly, MountExists
        (the place); BadUri, BadOption, PlaceForbidden (what was given); StoreAway, StoreRefused,
        StoreMissing, NotADirectory (what the store said).
        """
        check_place(path, self._table.mounts)
        ours = translated(options)
        place = await allowed(store_uri(uri), self._options.file_allow)
        check_given(ours.options)
        wanted = await self._wanted(place, ours.options)
        store = await self._pool.take(wanted)
        try:
            facts = await _ask(store, place.key)
            row = await self._remember(
                MountRow(
                    path=path,
                    uri=str(place),
                    store=store.identity,
                    prefix=place.key,
                    readonly=readonly,
                    options=ours.options,
                    created_at=self._clock(),
                ),
                place.scheme,
            )
        except BaseException:
            await self._pool.release(store)
            raise
        mount = self._mount_of(row)
        self._rows[path.text] = row
        self._stores[path.text] = store
        self._table = self._table.with_mount(mount)
        await self._tell()
        return Mounted(mount, facts, ours.notices)

    async def unmount(self, path: LakePath) -> Mount:
        """Take a mount away; nothing in its store is touched. Raises MountMissing."""
        mount = self._table.at(path)
        if path.is_root:
            raise RootReadOnly(path, "is mounted by the setting root.uri")
        await self._mounts.remove(path)
        self._table = self._table.without(path)
        store = self._stores.pop(path.text)
        row = self._rows.pop(path.text)
        self._away.discard(path.text)
        await self._tell()
        await self._pool.release(store)
        await self._secrets.remove(*_stored_names(row.options))
        return mount

    async def check_all(self) -> Sequence[Finding]:
        """Ask the store of each mount whether it is there and what we may do, all at once."""
        return await asyncio.gather(*(self._check(mount) for mount in self.mounts()))

    async def reopen(self) -> None:
        """Try once to open each store that is away."""
        rows = [self._rows[text] for text in self._away]
        await asyncio.gather(*(self._reopen(row) for row in rows))

    async def tend(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> NoReturn:
        """Go on opening what is away, ever more patiently, until cancelled."""
        wait = _FIRST_WAIT
        while True:
            await sleep(wait)
            await self.reopen()
            wait = min(2 * wait, _LONGEST_WAIT) if self._away else _FIRST_WAIT

    async def close(self) -> None:
        """Close all stores."""
        await self._pool.close()

    def _mount_of(self, row: MountRow) -> Mount:
        return Mount(
            path=row.path,
            uri=row.uri,
            store=row.store,
            prefix=row.prefix,
            readonly=row.readonly,
            sync=_sync_of(row, self._options.sync),
            options=shown(row.options),
        )

    def _resolved(self, located: Located) -> Resolved:
        return Resolved(located.mount, located.key, self._stores[located.mount.path.text])

    async def _wanted(self, uri: StoreUri, texts: Mapping[str, str]) -> WantedStore:
        check_names(uri.scheme, texts)
        names = {option.name for option in OF_SCHEME[uri.scheme]}
        followed = await self._references.followed(
            {name: text for name, text in texts.items() if name in names}
        )
        return WantedStore(uri, read_options(uri.scheme, {**texts, **followed}))

    async def _remember(self, row: MountRow, scheme: Scheme) -> MountRow:
        """Remember the mount, its secrets apart and encrypted; the row as it is remembered."""
        secret = {option.name for option in OF_SCHEME[scheme] if option.secret}
        options = dict(row.options)
        for name in secret & options.keys():
            if not is_reference(options[name]):
                # A name that no other attempt to mount here has: they do not meet.
                stored = f"mount/{uuid.uuid4()}/{name}"
                await self._secrets.put(stored, options[name])
                options[name] = f"{STORED}{stored}"
        remembered = replace(row, options=options)
        try:
            await self._mounts.add(remembered)
        except BaseException:
            await self._secrets.remove(*_stored_names(options))
            raise
        return remembered

    async def _mount_root(self, text: str) -> None:
        # Whoever writes the configuration may name any directory: `file_allow` is for the others.
        uri = store_uri(text)
        wanted = await self._wanted(await allowed(uri, ("/",)), {})
        store = await self._pool.take(wanted)
        self._stores[ROOT.text] = store
        self._table = self._table.with_mount(
            Mount(ROOT, str(uri), store.identity, uri.key, readonly=False, sync=self._options.sync)
        )

    async def _reopen(self, row: MountRow) -> None:
        try:
            store = await self._pool.take(await self._wanted(store_uri(row.uri), row.options))
        except ForebayError as error:
            if self._rows.get(row.path.text) is row:
                self._be_away(row, error)
            return
        if self._rows.get(row.path.text) is not row or row.path.text not in self._away:
            # Unmounted, or opened by another call, while we waited.
            await self._pool.release(store)
        elif store.identity != row.store:
            await self._pool.release(store)
            self._be_away(row, StoreAway(row.uri, f"it is another store now: {store.identity}"))
        else:
            self._stores[row.path.text] = store
            self._away.discard(row.path.text)

    def _be_away(self, row: MountRow, error: ForebayError) -> None:
        self._stores[row.path.text] = AwayStore(row.store, error)
        self._away.add(row.path.text)

    async def _check(self, mount: Mount) -> Finding:
        try:
            return Finding(mount, facts=await _ask(self._stores[mount.path.text], mount.prefix))
        except ForebayError as error:
            return Finding(mount, error=error)

    async def _tell(self) -> None:
        async with self._publishing:
            await self._publish(self._table)


async def _ask(store: Store, prefix: StoreKey) -> Mapping[str, str]:
    """What the store tells of itself, when it has a directory at `prefix`."""
    facts = await store.check()
    if prefix.is_root:
        return facts
    subject = f"{store.identity}/{prefix}"
    try:
        status = await store.stat(prefix)
    except FileMissing as error:
        if store.abilities.real_directories:
            raise StoreMissing(subject, "there is no such directory") from error
        # On an object store a prefix comes into being with its first object.
        return facts
    if not status.is_directory:
        raise NotADirectory(subject, "is a file")
    return facts


def _sync_of(row: MountRow, default: Sync) -> Sync:
    text = row.options.get(SYNC.name)
    return default if text is None else SYNC.kind.parse(text)


def _stored_names(options: Mapping[str, str]) -> list[str]:
    return [text.removeprefix(STORED) for text in options.values() if text.startswith(STORED)]
