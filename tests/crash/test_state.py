"""The state after kill -9: what was acknowledged is there."""

import asyncio
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forebay.state.state import StateOptions, open_state

# Four writers at once, so that groups form; each notes what was acknowledged in the witness file,
# outside the database, when it is durable.
WRITER = """
import asyncio, os, sys
from datetime import UTC, datetime
from forebay.state.state import StateOptions, open_state

async def write(state, witness, name):
    for number in range(1_000_000):
        await state.secrets.put(f"{name}-{number}", f"value of {name}-{number}")
        os.write(witness, f"{name}-{number}\\n".encode())

async def main(url, master_key, witness_path, run):
    witness = os.open(witness_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    options = StateOptions(url, master_key)
    state = await open_state(options, clock=lambda: datetime.now(UTC), environment={})
    async with asyncio.TaskGroup() as group:
        for writer in range(4):
            group.create_task(write(state, witness, f"{run}-{writer}"))

asyncio.run(main(*sys.argv[1:]))
"""

ENOUGH_NOTES = 40


def write_until_killed(options: StateOptions, witness: Path, run: int) -> None:
    """Kill -9 a writer in the middle of work, in each run at another moment of it."""
    enough = witness.stat().st_size + (ENOUGH_NOTES + run * 7) * len("12-3-45\n")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, options.url, options.master_key, witness, str(run)]
    )
    while witness.stat().st_size < enough:
        assert writer.poll() is None
        time.sleep(0.001)
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL


@pytest.mark.slow
async def test_what_was_acknowledged_survives_twenty_kills(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    witness.touch()
    options = StateOptions(f"sqlite:///{tmp_path}/state.db", str(tmp_path / "master.key"))

    for run in range(20):
        await asyncio.to_thread(write_until_killed, options, witness, run)

    state = await open_state(options, clock=lambda: datetime.now(UTC), environment={})
    names = witness.read_text().splitlines()
    try:
        assert len(names) >= 20 * ENOUGH_NOTES
        assert len({name.split("-")[0] for name in names}) == 20
        for name in names:
            assert await state.secrets.get(name) == f"value of {name}"
    finally:
        await state.close()
