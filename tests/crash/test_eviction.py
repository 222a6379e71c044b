"""Readers in other processes while the node fills and evicts: not one wrong byte."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forebay.model.paths import StoreKey
from forebay.model.status import Kind
from forebay.shelf.names import NameRecord
from forebay.shelf.names_writer import Put
from forebay.shelf.reader import ShelfReader
from forebay.shelf.shelf import Shelf
from forebay.shelf.snapshot import MountPoint, MountSnapshot
from tests.fakes.content_store import ContentStore
from tests.fakes.small_cache import MIB, a_cache

_ROOT = Path(__file__).parents[2]


def a_reader(directory: Path, seed: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.reading_child", str(directory), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT}/src"},
    )


def remember_all(shelf: Shelf, store: ContentStore) -> None:
    """Mount the store, and let the index know its files."""
    mount = MountPoint("/lake", store.identity.text, "", None)
    shelf.names_writer.publish(MountSnapshot([mount]))
    for number in range(30):
        status, generation = store.put(f"f{number}", 300_000 + number)
        record = NameRecord(Kind.FILE, status.size, 0, 1, generation.raw, status.fingerprint.text)
        shelf.names_writer.write([Put(store.identity, StoreKey(f"f{number}"), record)])


@pytest.mark.slow
async def test_readers_never_see_a_wrong_byte_while_segments_are_evicted(tmp_path: Path) -> None:
    store = ContentStore(piece=64 << 10)
    chance = random.Random(1)  # noqa: S311 - a seeded load
    async with a_cache(tmp_path, quota=4 * MIB, range_bytes=MIB // 2) as cache:
        remember_all(cache.shelf, store)
        own = ShelfReader(cache.shelf, bytes.decode, time.time, descriptors=8)
        children = [a_reader(tmp_path, seed) for seed in range(2)]
        until = time.monotonic() + 8
        while time.monotonic() < until:
            name = f"f{chance.randrange(30)}"
            size = store.files[name][1]
            start = chance.randrange(size)
            assert await cache.read(store, name, start, min(size, start + 200_000))
            entry = own.find(f"/lake/{name}".encode())
            assert entry is not None
            entry.extent(start, 1)
            await asyncio.sleep(0)
        answers = [(await asyncio.to_thread(child.communicate, "stop"))[0] for child in children]

        assert cache.keeper.usage().evictions > 200
        for answer in answers:
            reads, wrong = map(int, answer.split())
            assert reads > 1000
            assert wrong == 0
        usage = cache.keeper.usage()
        assert usage.entered + usage.reserved + usage.unlinked_open <= 4 * MIB
