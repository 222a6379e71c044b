"""A node that is killed while it fills: what is left is right, or is not there."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.fakes.content_store import ContentStore
from tests.fakes.filling_child import FILES, QUOTA, a_store
from tests.fakes.small_cache import SmallCache, a_cache

_ROOT = Path(__file__).parents[2]


def fill_and_die(directory: Path, seed: int, seconds: float) -> int:
    """Let a child fill for a while, kill it, and return how it ended."""
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT}/src"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.filling_child", str(directory), str(seed)],
        stdout=subprocess.PIPE,
        env=environment,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        timer = threading.Timer(seconds, child.kill)
        timer.start()
        child.wait()
        timer.cancel()
    return child.returncode


async def everything_is_right(cache: SmallCache, store: ContentStore) -> None:
    for name, size in FILES.items():
        assert await cache.read(store, name, 0, size, version=7), name


def nothing_is_outside_the_index(cache: SmallCache) -> None:
    indexed = {held.file: held.held for held in cache.shelf.blocks.every_file()}
    on_disk = {
        file: entry.stat().st_blocks * 512 for file, entry in cache.shelf.layout.segment_files()
    }
    assert on_disk.keys() == indexed.keys()
    for file, taken in on_disk.items():
        # A file system needs some blocks of its own for a file with holes.
        assert taken <= indexed[file] + (32 << 10)
    assert sum(indexed.values()) == cache.keeper.usage().entered <= QUOTA


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_node_killed_fifty_times_never_serves_a_wrong_byte(tmp_path: Path) -> None:
    chance = random.Random(4)  # noqa: S311 - a seeded load
    for seed in range(50):
        ended = fill_and_die(tmp_path, seed, chance.uniform(0.02, 0.4))
        assert ended == -signal.SIGKILL
        if seed % 10 == 9:
            async with a_cache(tmp_path, QUOTA, clean=False) as cache:
                nothing_is_outside_the_index(cache)
                await everything_is_right(cache, a_store(pinned=True))
                usage = cache.keeper.usage()
                assert usage.damaged_blocks == 0
                assert usage.entered + usage.reserved + usage.unlinked_open <= QUOTA
