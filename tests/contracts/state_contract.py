"""The promises of the state contract, one test a promise; every database runs them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text, update

from forebay.model.errors import BadConfiguration, BadKey, MountExists, MountMissing, StateAway
from forebay.model.generation import StoreIdentity
from forebay.model.grants import Grant, Right, grant_of
from forebay.model.paths import LakePath, StoreKey
from forebay.state.contract import Topic
from forebay.state.rows import MountRow
from forebay.state.schema import HEAD
from forebay.state.state import State, StateOptions, open_state
from forebay.state.tables import METADATA, SECRETS

MORNING = datetime(2026, 3, 1, 8, 30, 0, 123000, tzinfo=UTC)


class HandClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time = MORNING

    def __call__(self) -> datetime:
        return self.time

    def jump(self, by: timedelta) -> None:
        self.time += by


def a_mount(path: str = "/onprem", **changed: object) -> MountRow:
    values: dict[str, object] = {
        "path": LakePath(path),
        "uri": "hdfs://nn:8020/lake",
        "store": StoreIdentity("hdfs://nn:8020"),
        "prefix": StoreKey("lake"),
        "readonly": True,
        "options": {"sync": "never", "s3.region": "e%u\"'é"},
        "created_at": MORNING,
    }
    return MountRow(**{**values, **changed})  # type: ignore[arg-type]


Reopen = Callable[..., Awaitable[State]]


class StateContract:
    """Give `url`: a database that is empty when the test begins."""

    @pytest.fixture
    def clock(self) -> HandClock:
        return HandClock()

    @pytest.fixture
    async def reopen(self, url: str, tmp_path: Path, clock: HandClock) -> AsyncIterator[Reopen]:
        """Opens the database, as often as wanted, as so many nodes would."""
        opened: list[State] = []

        async def reopen(
            master_key: str = "", environment: Mapping[str, str] | None = None
        ) -> State:
            options = StateOptions(url, master_key or str(tmp_path / "keys" / "master.key"))
            state = await open_state(options, clock=clock, environment=environment or {})
            opened.append(state)
            return state

        yield reopen
        for state in opened:
            await state.close()

    @pytest.fixture
    async def state(self, reopen: Reopen) -> State:
        return await reopen()

    async def test_a_mount_comes_back_as_it_was_added(self, state: State, reopen: Reopen) -> None:
        await state.mounts.add(a_mount("/b"))
        await state.mounts.add(a_mount("/a", readonly=False, options={}, prefix=StoreKey("")))

        assert await (await reopen()).mounts.all() == [
            a_mount("/a", readonly=False, options={}, prefix=StoreKey("")),
            a_mount("/b"),
        ]

    async def test_nothing_is_mounted_twice(self, state: State) -> None:
        await state.mounts.add(a_mount())

        with pytest.raises(MountExists, match="/onprem"):
            await state.mounts.add(a_mount(uri="s3://other/"))

        assert await state.mounts.all() == [a_mount()]

    async def test_of_many_who_mount_at_once_one_succeeds(self, state: State) -> None:
        outcomes = await asyncio.gather(
            *(state.mounts.add(a_mount()) for _ in range(8)), return_exceptions=True
        )

        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, MountExists) for outcome in outcomes) == 7

    async def test_what_is_unmounted_is_forgotten(self, state: State) -> None:
        await state.mounts.add(a_mount())

        await state.mounts.remove(LakePath("/onprem"))

        assert await state.mounts.all() == []
        with pytest.raises(MountMissing, match="/onprem"):
            await state.mounts.remove(LakePath("/onprem"))

    async def test_a_change_is_counted_and_a_failure_is_not(self, state: State) -> None:
        before = await state.changes.count(Topic.MOUNTS)
        await state.mounts.add(a_mount())
        with pytest.raises(MountExists):
            await state.mounts.add(a_mount())
        after = await state.changes.count(Topic.MOUNTS)

        assert after == before + 1
        assert await state.changes.count(Topic.MOUNTS) == after

    async def test_another_node_notices_a_change(self, state: State, reopen: Reopen) -> None:
        other = await reopen()
        before = [await other.changes.count(topic) for topic in Topic]

        await state.mounts.add(a_mount())
        await state.keys.create([])
        await state.secrets.put("name", "value")

        assert [await other.changes.count(topic) for topic in Topic] == [n + 1 for n in before]

    async def test_a_new_key_is_of_the_usual_form(self, state: State) -> None:
        key = await state.keys.create([grant_of("/onprem:read")], "for the tests")

        assert len(key.key_id) == 20
        assert key.key_id.startswith("FB")
        assert key.key_id.isalnum()
        assert key.key_id.isupper()
        assert len(key.secret) == 40
        assert key.secret.isalnum()
        assert key.secret not in repr(key)

    async def test_a_key_is_listed_without_its_secret(self, state: State, clock: HandClock) -> None:
        first = await state.keys.create([grant_of("/b:write"), grant_of("/a:read")], "one")
        clock.jump(timedelta(seconds=1))
        second = await state.keys.create([], "two")

        rows = await state.keys.all()

        assert [row.key_id for row in rows] == [first.key_id, second.key_id]
        assert rows[0].grants == (grant_of("/a:read"), grant_of("/b:write"))
        assert (rows[0].description, rows[0].created_at) == ("one", MORNING)
        assert rows[0].revoked_at is None
        assert first.secret not in repr(rows)

    async def test_of_two_grants_at_one_path_the_stronger_holds(self, state: State) -> None:
        await state.keys.create([grant_of("/a:admin"), grant_of("/a:read")])

        assert (await state.keys.all())[0].grants == (Grant(LakePath("/a"), Right.ADMIN),)

    async def test_the_ring_has_each_valid_key_with_its_secret(
        self, state: State, reopen: Reopen
    ) -> None:
        key = await state.keys.create([grant_of("/onprem:read")])

        (held,) = await (await reopen()).keys.ring()

        assert held.caller.key_id == key.key_id
        assert held.caller.grants == (grant_of("/onprem:read"),)
        assert [(secret.text, secret.until) for secret in held.secrets] == [(key.secret, None)]
        assert key.secret not in repr(held)

    async def test_a_revoked_key_leaves_the_ring_and_stays_listed(
        self, state: State, clock: HandClock
    ) -> None:
        key = await state.keys.create([])
        clock.jump(timedelta(hours=1))

        await state.keys.revoke(key.key_id)
        clock.jump(timedelta(hours=1))
        await state.keys.revoke(key.key_id)

        assert await state.keys.ring() == []
        assert (await state.keys.all())[0].revoked_at == MORNING + timedelta(hours=1)

    async def test_an_unknown_key_is_an_error(self, state: State) -> None:
        with pytest.raises(BadKey, match="FBNONE"):
            await state.keys.revoke("FBNONE")
        with pytest.raises(BadKey, match="FBNONE"):
            await state.keys.rotate("FBNONE")

    async def test_a_rotated_key_has_a_new_secret_and_the_old_one_ends_at_once(
        self, state: State
    ) -> None:
        old = await state.keys.create([grant_of("/a:read")])

        new = await state.keys.rotate(old.key_id)

        (held,) = await state.keys.ring()
        assert new.key_id == old.key_id
        assert new.secret != old.secret
        assert [secret.text for secret in held.secrets] == [new.secret]
        assert held.caller.grants == (grant_of("/a:read"),)

    async def test_a_rotated_keys_old_secret_is_valid_for_its_grace(
        self, state: State, clock: HandClock
    ) -> None:
        old = await state.keys.create([])
        until = MORNING + timedelta(hours=2)

        new = await state.keys.rotate(old.key_id, timedelta(hours=2))

        (held,) = await state.keys.ring()
        assert [(secret.text, secret.until) for secret in held.secrets] == [
            (new.secret, None),
            (old.secret, until),
        ]
        assert (await state.keys.all())[0].old_secret_until == until
        clock.jump(timedelta(hours=2))
        assert [s.text for s in (await state.keys.ring())[0].secrets] == [new.secret]
        assert (await state.keys.all())[0].old_secret_until is None

    async def test_a_second_rotation_ends_the_first_secret(self, state: State) -> None:
        first = await state.keys.create([])
        second = await state.keys.rotate(first.key_id, timedelta(hours=2))
        third = await state.keys.rotate(first.key_id, timedelta(hours=2))

        assert [s.text for s in (await state.keys.ring())[0].secrets] == [
            third.secret,
            second.secret,
        ]

    async def test_a_revoked_key_cannot_be_rotated(self, state: State) -> None:
        key = await state.keys.create([])
        await state.keys.revoke(key.key_id)

        with pytest.raises(BadKey, match="is revoked"):
            await state.keys.rotate(key.key_id)

        assert await state.keys.ring() == []

    async def test_a_secret_is_kept_replaced_and_removed(
        self, state: State, reopen: Reopen
    ) -> None:
        await state.secrets.put("a", "first")
        await state.secrets.put("a", "päss wörd")
        await state.secrets.put("b", "other")

        assert await (await reopen()).secrets.get("a") == "päss wörd"
        await state.secrets.remove("a", "never there")
        assert await state.secrets.get("a") is None
        assert await state.secrets.get("b") == "other"

    async def test_a_secret_lies_encrypted(self, state: State) -> None:
        await state.secrets.put("a", "open sesame")
        key = await state.keys.create([])

        def everything(connection: Connection) -> str:
            rows = [(connection.execute(table.select())).all() for table in METADATA.sorted_tables]
            return repr(rows)

        held = await state.database.read(everything)
        assert "sesame" not in held
        assert key.secret not in held

    async def test_a_secret_opens_under_its_own_name_alone(self, state: State) -> None:
        await state.secrets.put("a", "open sesame")

        def rename(connection: Connection) -> None:
            connection.execute(update(SECRETS).where(SECRETS.c.name == "a").values(name="b"))

        await state.database.write(rename)
        with pytest.raises(BadConfiguration, match="'secret:b' does not open"):
            await state.secrets.get("b")

    async def test_a_wrong_master_key_is_refused_by_name(
        self, state: State, reopen: Reopen
    ) -> None:
        await state.secrets.put("a", "open sesame")
        other = {"KEY": "A" * 43 + "="}

        with pytest.raises(BadConfiguration, match="env:KEY: is not the master key"):
            await reopen("env:KEY", other)

    async def test_a_lost_master_key_is_not_replaced_by_a_new_one(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        await reopen()
        lost = tmp_path / "lost.key"

        with pytest.raises(BadConfiguration, match="holds no master key, yet"):
            await reopen(str(lost))

        assert not lost.exists()

    async def test_what_is_made_once_is_the_same_for_all_who_ask(
        self, state: State, reopen: Reopen
    ) -> None:
        other = await reopen()
        made = iter(range(1000))

        names = await asyncio.gather(
            *(node.settings.once("node.id", lambda: str(next(made))) for node in (state, other) * 8)
        )
        tokens = await asyncio.gather(
            *(node.secrets.once("hmac", lambda: str(next(made))) for node in (state, other) * 8)
        )

        assert len(set(names)) == len(set(tokens)) == 1
        assert await (await reopen()).settings.once("node.id", lambda: "another") == names[0]
        assert await (await reopen()).secrets.once("hmac", lambda: "another") == tokens[0]

    async def test_many_nodes_may_open_an_empty_database_at_once(self, reopen: Reopen) -> None:
        nodes = await asyncio.gather(*(reopen("env:KEY", {"KEY": "A" * 43 + "="}) for _ in "abc"))

        await nodes[0].mounts.add(a_mount())

        assert await nodes[2].mounts.all() == [a_mount()]

    async def test_the_migrations_make_the_tables_that_the_code_knows(self, state: State) -> None:
        def differences(connection: Connection) -> list[object]:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            return list(compare_metadata(context, METADATA))

        def revision(connection: Connection) -> str | None:
            return MigrationContext.configure(connection).get_current_revision()

        assert await state.database.read(differences) == []
        assert await state.database.read(revision) == HEAD

    async def test_a_database_of_a_newer_version_is_refused_and_left_alone(
        self, state: State, reopen: Reopen
    ) -> None:
        def become_newer(connection: Connection) -> None:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

        def version(connection: Connection) -> str:
            query = text("SELECT version_num FROM alembic_version")
            return str((connection.execute(query)).scalar_one())

        await state.database.write(become_newer)

        with pytest.raises(StateAway, match=r"newer Forebay \(revision 9999\); start that version"):
            await reopen()

        assert await state.database.read(version) == "9999"

    async def test_a_write_whose_caller_went_away_harms_no_other(self, state: State) -> None:
        leaving = asyncio.create_task(state.mounts.add(a_mount("/leaving")))
        staying = asyncio.create_task(state.mounts.add(a_mount("/staying")))
        await asyncio.sleep(0)
        leaving.cancel()

        await staying

        assert "/staying" in [mount.path.text for mount in await state.mounts.all()]
