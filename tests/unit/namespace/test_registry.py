"""The namespace: mounting against a store that answers, remembering, and stores that are away."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forebay.model.errors import (
    BadOption,
    BadUri,
    FileMissing,
    ForebayError,
    MountExists,
    MountMissing,
    NotADirectory,
    PlaceForbidden,
    ReadOnly,
    RootReadOnly,
    StoreAway,
    StoreMissing,
    StoreRefused,
)
from forebay.model.paths import LakePath, StoreKey
from forebay.namespace.mounts import MountTable
from forebay.namespace.opening import Schemes, WantedStore
from forebay.namespace.options import S3_SECRET_ACCESS_KEY, SYNC, Sync
from forebay.namespace.registry import Namespace, NamespaceOptions
from forebay.namespace.uri import Scheme
from forebay.state.state import State, StateOptions, open_state
from forebay.stores.contract import Store
from forebay.stores.memory import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Stores:
    """Opens stores in memory; knows what is open, and plays troubles."""

    def __init__(self) -> None:
        self.opened: list[WantedStore] = []
        self.open_now: set[str] = set()
        self.trouble: ForebayError | None = None
        self.silent = False
        self.contents: dict[str, dict[str, bytes]] = {}

    @property
    def schemes(self) -> Schemes:
        return {Scheme.S3: self._open, Scheme.HDFS: self._open, Scheme.FILE: self._open}

    async def _open(self, wanted: WantedStore) -> Store:
        if self.silent:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble
        self.opened.append(wanted)
        return OpenedStore(self, wanted)


class OpenedStore(MemoryStore):
    """A memory store that says when it is closed."""

    def __init__(self, stores: Stores, wanted: WantedStore) -> None:
        name = wanted.uri.root
        super().__init__(name, real_directories=wanted.uri.scheme is not Scheme.S3)
        for key, content in stores.contents.get(name, {}).items():
            self.plant(key, content)
        self._stores = stores
        self._label = f"{len(stores.opened)} {name}"
        stores.open_now.add(self._label)

    async def check(self) -> Mapping[str, str]:
        if self._stores.trouble is not None:
            raise self._stores.trouble
        return {"bucket": "is there"}

    async def close(self) -> None:
        self._stores.open_now.discard(self._label)
        await super().close()


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    options = StateOptions(f"sqlite:///{tmp_path}/state.db", str(tmp_path / "master.key"))
    state = await open_state(options, clock=lambda: NOON, environment={})
    yield state
    await state.close()


class Told:
    """Remembers each table that was published."""

    def __init__(self) -> None:
        self.tables: list[MountTable] = []

    async def __call__(self, table: MountTable) -> None:
        self.tables.append(table)


def a_namespace(
    state: State,
    stores: Stores,
    told: Told | None = None,
    environment: Mapping[str, str] | None = None,
    **options: object,
) -> Namespace:
    return Namespace(
        state.mounts,
        state.secrets,
        stores.schemes,
        options=NamespaceOptions(**options),  # type: ignore[arg-type]
        environment=environment or {},
        clock=lambda: NOON,
        publish=told or Told(),
    )


@pytest.fixture
async def namespace(state: State, stores: Stores) -> AsyncIterator[Namespace]:
    namespace = a_namespace(state, stores)
    await namespace.open()
    yield namespace
    await namespace.close()


ONPREM = LakePath("/onprem")
SECRETS = {"access_key_id": "K", "secret_access_key": "hunter2"}


async def test_a_mount_leads_into_its_store(namespace: Namespace, stores: Stores) -> None:
    stores.contents["s3://bucket"] = {"lake/a.parquet": b"abc"}

    made = await namespace.mount(ONPREM, "s3://bucket/lake/", {"sync": "never"}, readonly=True)

    found = namespace.resolve(ONPREM / "a.parquet")
    assert made.facts == {"bucket": "is there"}
    assert found.key == StoreKey("lake/a.parquet")
    assert (await found.store.stat(found.key)).size == 3
    assert found.mount == made.mount
    assert (made.mount.uri, made.mount.readonly, made.mount.sync) == (
        "s3://bucket/lake",
        True,
        Sync(None),
    )
    assert namespace.mounts() == (made.mount,)


async def test_a_path_under_no_mount_is_missing_and_takes_no_writes(namespace: Namespace) -> None:
    with pytest.raises(FileMissing):
        namespace.resolve(LakePath("/nowhere/a"))
    with pytest.raises(RootReadOnly):
        namespace.resolve_for_write(LakePath("/nowhere/a"))


async def test_a_read_only_mount_takes_no_writes(namespace: Namespace) -> None:
    await namespace.mount(ONPREM, "s3://bucket", {}, readonly=True)
    await namespace.mount(ONPREM / "open", "s3://other", {})

    with pytest.raises(ReadOnly):
        namespace.resolve_for_write(ONPREM / "a")
    assert namespace.resolve_for_write(ONPREM / "open" / "a").key == StoreKey("a")


@pytest.mark.parametrize(
    ("path", "uri", "options", "error"),
    [
        ("/", "s3://bucket", {}, RootReadOnly),
        ("/lake", "s3://bucket", {}, MountExists),
        ("/lake/a", "s3://bucket", {}, MountExists),
        ("/taken", "s3://bucket", {}, MountExists),
        ("/a", "gs://bucket", {}, BadUri),
        ("/a", "s3://bucket", {"colour": "red"}, BadOption),
        ("/a", "s3://bucket", {"region": "env:NOT_SET"}, BadOption),
        ("/a", "s3://bucket", {"region": "file:/no/such/file"}, BadOption),
        ("/a", "s3://bucket", {"region": "secret:mount/other"}, BadOption),
        ("/a", "hdfs://nn:8020/no/such/directory", {}, StoreMissing),
        ("/a", "hdfs://nn:8020/file", {}, NotADirectory),
        ("/a", "s3://full/file", {}, NotADirectory),
        ("/a", "file:///etc", {}, PlaceForbidden),
    ],
)
async def test_what_cannot_be_mounted_leaves_nothing_behind(  # noqa: PLR0917 - a table
    namespace: Namespace,
    stores: Stores,
    state: State,
    path: str,
    uri: str,
    options: Mapping[str, str],
    error: type[ForebayError],
) -> None:
    stores.contents = {"hdfs://nn:8020": {"file": b"x"}, "s3://full": {"file": b"x"}}
    await namespace.mount(LakePath("/taken"), "s3://taken", {})
    before = (namespace.table, set(stores.open_now), await state.mounts.all())

    with pytest.raises(error):
        await namespace.mount(LakePath(path), uri, options)

    assert (namespace.table, stores.open_now, await state.mounts.all()) == before


@pytest.mark.parametrize("error", [StoreAway, StoreRefused, StoreMissing])
async def test_a_store_that_says_no_is_not_mounted(
    namespace: Namespace, stores: Stores, state: State, error: type[ForebayError]
) -> None:
    await namespace.mount(LakePath("/shared"), "s3://bucket", {})
    stores.trouble = error("s3://bucket", "says no")

    with pytest.raises(error, match="says no"):
        await namespace.mount(ONPREM, "s3://bucket", SECRETS)
    with pytest.raises(error, match="says no"):
        await namespace.mount(ONPREM, "s3://bucket", {})

    assert [row.path.text for row in await state.mounts.all()] == ["/shared"]
    assert len(stores.open_now) == 1


async def test_an_empty_prefix_of_a_bucket_may_be_mounted(namespace: Namespace) -> None:
    made = await namespace.mount(ONPREM, "s3://bucket/not/yet", {})

    assert made.mount.prefix == StoreKey("not/yet")


async def test_of_two_who_mount_at_one_path_one_succeeds(
    namespace: Namespace, stores: Stores
) -> None:
    outcomes = await asyncio.gather(
        namespace.mount(ONPREM, "s3://one", SECRETS),
        namespace.mount(ONPREM, "s3://two", SECRETS),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, MountExists) for outcome in outcomes) == 1
    assert len(namespace.mounts()) == 1
    assert len(stores.open_now) == 1
    found = namespace.resolve(ONPREM)
    assert found.store.identity == found.mount.store


async def test_mounts_of_one_store_with_the_same_options_share_it(
    namespace: Namespace, stores: Stores
) -> None:
    for path, options in (
        ("/a", SECRETS),
        ("/b", {**SECRETS, "sync": "always"}),
        ("/c", {**SECRETS, "budget.connections": "2"}),
    ):
        await namespace.mount(LakePath(path), "s3://bucket/x", options)

    a, b, c = (namespace.resolve(LakePath(path)).store for path in ("/a", "/b", "/c"))
    assert a is b
    assert a is not c
    await namespace.unmount(LakePath("/a"))
    assert await b.now() is not None
    await namespace.unmount(LakePath("/b"))
    assert len(stores.open_now) == 1


async def test_what_is_unmounted_is_gone_with_its_secrets(
    namespace: Namespace, state: State, stores: Stores
) -> None:
    await namespace.mount(ONPREM, "s3://bucket", SECRETS)
    stored = (await state.mounts.all())[0].options["secret_access_key"].removeprefix("secret:")
    assert await state.secrets.get(stored) == "hunter2"

    await namespace.unmount(ONPREM)

    assert await state.secrets.get(stored) is None
    assert await state.mounts.all() == []
    assert stores.open_now == set()
    with pytest.raises(FileMissing):
        namespace.resolve(ONPREM)
    with pytest.raises(MountMissing):
        await namespace.unmount(ONPREM)


async def test_a_given_secret_is_stored_encrypted_and_never_shown(
    namespace: Namespace, state: State, stores: Stores
) -> None:
    made = await namespace.mount(ONPREM, "s3://bucket", SECRETS)

    assert stores.opened[0].options[S3_SECRET_ACCESS_KEY] == "hunter2"
    assert made.mount.options == {"access_key_id": "K", "secret_access_key": "(stored)"}
    assert "hunter2" not in repr((made, namespace.mounts(), await state.mounts.all()))
    assert "hunter2" not in repr(stores.opened)


async def test_references_are_followed_when_the_store_is_opened(
    state: State, stores: Stores, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    namespace = a_namespace(state, stores, environment={"KEY": "from the environment"})
    await namespace.open()

    made = await namespace.mount(
        ONPREM,
        "s3://bucket",
        {"access_key_id": "env:KEY", "secret_access_key": f"file:{tmp_path}/secret"},
    )

    assert stores.opened[0].options.store_texts == {
        "access_key_id": "from the environment",
        "secret_access_key": "from the file",
    }
    assert made.mount.options["secret_access_key"] == f"file:{tmp_path}/secret"
    await namespace.close()


async def test_mounts_are_taken_up_again(state: State, stores: Stores) -> None:
    first = a_namespace(state, stores)
    await first.open()
    made = await first.mount(ONPREM, "s3://bucket/lake", {**SECRETS, "sync": "5m"}, readonly=True)
    await first.close()
    told = Told()

    second = a_namespace(state, stores, told)
    await second.open()

    assert second.mounts() == (made.mount,)
    assert second.mounts()[0].sync == Sync(timedelta(minutes=5))
    assert stores.opened[-1].options[S3_SECRET_ACCESS_KEY] == "hunter2"
    assert await second.resolve(ONPREM).store.now() is not None
    assert told.tables == [second.table]
    await second.close()
    assert stores.open_now == set()


@pytest.fixture
async def away(state: State, stores: Stores) -> AsyncIterator[Namespace]:
    """A node that was started while the store of its only mount was away."""
    first = a_namespace(state, stores)
    await first.open()
    await first.mount(ONPREM, "s3://bucket", {})
    await first.close()
    stores.trouble = StoreAway("s3://bucket", "no route to host")
    second = a_namespace(state, stores)
    await second.open()
    yield second
    await second.close()
    assert stores.open_now == set()


async def test_a_mount_whose_store_is_away_at_the_start_is_listed_and_says_why(
    away: Namespace, stores: Stores
) -> None:
    found = away.resolve(ONPREM / "a")

    assert found.store.identity == found.mount.store
    with pytest.raises(StoreAway, match=r"bucket/a: the store could not be opened: .*no route"):
        await found.store.stat(found.key)
    (finding,) = await away.check_all()
    assert finding.error is stores.trouble


async def test_a_store_that_was_away_is_opened_when_it_is_back(
    away: Namespace, stores: Stores
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            stores.trouble = None
        if len(waits) == 6:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await away.tend(sleep)

    assert waits == [1, 2, 4, 8, 1, 1]
    assert await away.resolve(ONPREM).store.now() is not None
    (finding,) = await away.check_all()
    assert finding.facts == {"bucket": "is there"}


async def test_a_store_that_never_answers_does_not_hold_up_the_start(
    state: State, stores: Stores
) -> None:
    first = a_namespace(state, stores)
    await first.open()
    await first.mount(ONPREM, "s3://bucket", {})
    await first.close()
    stores.silent = True

    second = a_namespace(state, stores, patience=timedelta(0))
    await second.open()

    with pytest.raises(StoreAway, match="is being opened"):
        await second.resolve(ONPREM).store.stat(StoreKey("a"))
    await second.unmount(ONPREM)
    assert second.mounts() == ()
    await second.close()


async def test_a_mount_that_does_not_say_has_the_sync_of_the_node(
    state: State, stores: Stores
) -> None:
    namespace = a_namespace(state, stores, sync=Sync(timedelta(minutes=7)))
    await namespace.open()

    silent = await namespace.mount(LakePath("/a"), "s3://bucket", {})
    saying = await namespace.mount(LakePath("/b"), "s3://bucket", {"sync": "always"})

    assert silent.mount.sync == Sync(timedelta(minutes=7))
    assert saying.mount.sync == Sync(timedelta(0))
    await namespace.close()


async def test_each_new_table_is_published(state: State, stores: Stores) -> None:
    told = Told()
    namespace = a_namespace(state, stores, told)
    await namespace.open()

    await namespace.mount(ONPREM, "s3://bucket", {})
    await namespace.unmount(ONPREM)

    assert [len(table.mounts) for table in told.tables] == [0, 1, 0]
    await namespace.close()


async def test_alluxios_options_come_with_notices(namespace: Namespace) -> None:
    made = await namespace.mount(
        ONPREM,
        "s3://bucket",
        {
            "alluxio.underfs.version": "hadoop-2.8",
            "aws.accessKeyId": "K",
            "aws.secretKey": "hunter2",
        },
    )

    assert made.notices == ("alluxio.underfs.version: not needed",)
    assert made.mount.options == {"access_key_id": "K", "secret_access_key": "(stored)"}


async def test_directories_of_this_host_are_mounted_below_the_allowed_ones_only(
    state: State, stores: Stores, tmp_path: Path
) -> None:
    inside = tmp_path / "allowed" / "data"
    inside.mkdir(parents=True)
    (tmp_path / "allowed" / "out").symlink_to("/etc")
    (tmp_path / "allowedness").mkdir()
    namespace = a_namespace(state, stores, file_allow=(str(tmp_path / "allowed"),))
    await namespace.open()

    made = await namespace.mount(ONPREM, f"file://{inside}", {})

    assert made.mount.uri == f"file://{inside}"
    for path in ("allowed/out", "allowedness", "."):
        with pytest.raises((PlaceForbidden, BadUri)):
            await namespace.mount(LakePath("/b"), f"file://{tmp_path}/{path}", {})
    await namespace.close()


async def test_the_root_may_have_a_store(state: State, stores: Stores, tmp_path: Path) -> None:
    namespace = a_namespace(state, stores, root_uri=f"file://{tmp_path}")
    await namespace.open()
    await namespace.mount(ONPREM, "s3://bucket", {})

    assert namespace.resolve_for_write(LakePath("/a/b")).key == StoreKey("a/b")
    assert namespace.resolve(LakePath("/")).mount.sync == SYNC.default
    assert namespace.resolve(ONPREM).mount.path == ONPREM
    with pytest.raises(RootReadOnly):
        await namespace.unmount(LakePath("/"))
    assert [row.path for row in await state.mounts.all()] == [ONPREM]
    await namespace.close()
    assert stores.open_now == set()


async def test_a_store_that_has_become_another_one_is_away(state: State, stores: Stores) -> None:
    first = a_namespace(state, stores)
    await first.open()
    await first.mount(ONPREM, "s3://bucket", {})
    await first.close()

    class Renamed(Stores):
        async def _open(self, wanted: WantedStore) -> Store:
            return MemoryStore(f"another {wanted.uri}")

    second = a_namespace(state, Renamed())
    await second.open()

    with pytest.raises(StoreAway, match="it is another store now: memory://another s3"):
        await second.resolve(ONPREM).store.stat(StoreKey("a"))
    await second.close()
