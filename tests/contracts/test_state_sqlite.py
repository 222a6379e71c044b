"""The state in SQLite keeps the contract, and what is promised of the file."""

import asyncio
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from forebay.model.errors import BadConfiguration, BadOption, MountExists, StateAway
from forebay.model.paths import LakePath
from forebay.state.backup import copy_state
from forebay.state.state import State, StateOptions, open_state
from tests.contracts.state_contract import Reopen, StateContract, a_mount


def host_time() -> datetime:
    return datetime.now(UTC)


def database_of(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


class TestStateInSqlite(StateContract):
    """SQLite in a file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{database_of(tmp_path)}"

    async def test_writes_that_arrive_together_are_committed_together(self, state: State) -> None:
        before = state.database.commits

        await asyncio.gather(*(state.mounts.add(a_mount(f"/m{n:03}")) for n in range(200)))

        assert len(await state.mounts.all()) == 200
        assert state.database.commits - before <= 2

    async def test_one_write_that_fails_takes_no_other_along(self, state: State) -> None:
        outcomes = await asyncio.gather(
            state.mounts.add(a_mount("/a")),
            state.mounts.add(a_mount("/a")),
            state.mounts.add(a_mount("/b")),
            return_exceptions=True,
        )

        assert [type(outcome) for outcome in outcomes] == [type(None), MountExists, type(None)]
        assert [mount.path.text for mount in await state.mounts.all()] == ["/a", "/b"]

    async def test_database_and_master_key_are_for_their_owner_alone(
        self, state: State, tmp_path: Path
    ) -> None:
        await state.mounts.add(a_mount())
        files = [*database_of(tmp_path).parent.iterdir(), tmp_path / "keys" / "master.key"]

        assert len(files) == 5  # database, -wal, -shm, .lock, master key
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    async def test_a_commit_is_synced_to_the_disk(self, state: State) -> None:
        def pragma(connection: Connection) -> list[object]:
            names = ("journal_mode", "synchronous", "foreign_keys")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]

        assert await state.database.write(pragma) == ["wal", 2, 1]

    async def test_a_backup_restores_what_was_there(self, state: State, tmp_path: Path) -> None:
        await state.mounts.add(a_mount("/kept"))
        key = await state.keys.create([])
        await state.backup(tmp_path / "backup.db")
        await state.mounts.remove(LakePath("/kept"))

        copy_state(tmp_path / "backup.db", tmp_path / "restored" / "state.db")

        options = StateOptions(
            f"sqlite:///{tmp_path}/restored/state.db", str(tmp_path / "keys" / "master.key")
        )
        restored = await open_state(options, clock=host_time, environment={})
        assert await restored.mounts.all() == [a_mount("/kept")]
        assert [s.text for k in await restored.keys.ring() for s in k.secrets] == [key.secret]
        await restored.close()

    async def test_a_backup_replaces_nothing(self, state: State, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.write_text("do not touch")

        with pytest.raises(BadOption, match="exists; move it away"):
            await state.backup(precious)
        with pytest.raises(BadOption, match="exists; move it away"):
            copy_state(database_of(tmp_path), precious)
        with pytest.raises(BadOption, match="cannot be copied as a state"):
            copy_state(precious, tmp_path / "new.db")

        assert precious.read_text() == "do not touch"
        assert not (tmp_path / "new.db").exists()

    async def test_a_file_that_is_no_database_is_away_and_left_alone(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        database_of(tmp_path).parent.mkdir()
        database_of(tmp_path).write_text("what a poem " * 1000)

        with pytest.raises(StateAway, match="file is not a database"):
            await reopen()

        assert database_of(tmp_path).read_text() == "what a poem " * 1000

    async def test_a_master_key_that_others_can_read_is_refused(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        open_key = tmp_path / "open.key"
        open_key.write_text("A" * 43 + "=")
        open_key.chmod(0o640)

        with pytest.raises(BadConfiguration, match=r"open\.key: can be read by others"):
            await reopen(str(open_key))

    async def test_a_master_key_that_is_none_is_refused_without_showing_it(
        self, reopen: Reopen
    ) -> None:
        with pytest.raises(BadConfiguration, match="env:KEY: is no master key") as caught:
            await reopen("env:KEY", {"KEY": "hunter2"})
        with pytest.raises(BadConfiguration, match="env:KEY: is not set"):
            await reopen("env:KEY", {})

        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "nonsense hunter2", "sqlite://"])
    async def test_another_kind_of_url_is_refused_without_showing_it(
        self, tmp_path: Path, url: str
    ) -> None:
        options = StateOptions(url, str(tmp_path / "key"))

        with pytest.raises(BadConfiguration, match="is neither") as caught:
            await open_state(options, clock=host_time, environment={})

        assert "hunter2" not in str(caught.value) + repr(options)
