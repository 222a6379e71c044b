"""The state in PostgreSQL keeps the contract, and what is promised of a server."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forebay.model.errors import BadOption, StateAway
from forebay.state.state import State, StateOptions, open_state
from testbed.postgres import Postgres
from tests.contracts.state_contract import StateContract, a_mount

pytestmark = pytest.mark.service


def host_time() -> datetime:
    return datetime.now(UTC)


class TestStateInPostgres(StateContract):
    """PostgreSQL, the real server."""

    @pytest.fixture
    def url(self, postgres_database: str) -> str:
        return postgres_database

    async def test_it_is_backed_up_by_its_own_tools(self, state: State, tmp_path: Path) -> None:
        with pytest.raises(BadOption, match="use pg_dump"):
            await state.backup(tmp_path / "backup")


async def test_a_server_that_is_not_there_is_away_and_no_password_is_shown(
    tmp_path: Path, postgres: Postgres
) -> None:
    wrong = postgres.url.replace(postgres.password, "hunter2")
    nowhere = f"postgresql://u:hunter2@127.0.0.1:{postgres.port}/no_such_database"

    for url in (wrong, nowhere, "postgresql://u:hunter2@127.0.0.1:1/d"):
        with pytest.raises(StateAway) as caught:
            await open_state(
                StateOptions(url, str(tmp_path / "key")), clock=host_time, environment={}
            )
        assert "hunter2" not in str(caught.value)
        assert caught.value.retryable


@pytest.mark.slow
async def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres") as server:
        options = StateOptions(server.url, str(tmp_path / "key"))
        state = await open_state(options, clock=host_time, environment={})
        await state.mounts.add(a_mount())
        try:
            await asyncio.to_thread(server.kill)
            with pytest.raises(StateAway):
                await state.mounts.all()

            await asyncio.to_thread(server.start)
            assert await state.mounts.all() == [a_mount()]

            await asyncio.to_thread(server.freeze)
            with pytest.raises(StateAway):
                await state.mounts.all()

            await asyncio.to_thread(server.thaw)
            assert await state.mounts.all() == [a_mount()]
        finally:
            await state.close()
