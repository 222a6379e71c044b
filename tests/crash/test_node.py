"""A whole node that is killed: it serves what is right, and holds what it acknowledged."""

import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from forebay.model.errors import ForebayError
from forebay.shelf.shelf import ShelfOptions, open_shelf
from testbed.seaweed import Seaweed
from tests.fakes.content_store import content
from tests.fakes.whole_node import WholeNode

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(1800)]

MEBIBYTE = 1 << 20
QUOTA = 24 * MEBIBYTE
FILES = {f"f{number}": (number * 997_001) % (5 * MEBIBYTE) + 1 for number in range(16)}
VERSION = 7
STRESS = 10 if os.environ.get("FOREBAY_STRESS") else 1
KILLS = 50 * STRESS
NODES = 2
CHANGING_KILLS = 6 * STRESS
SLACK = 32 << 10
"""What a file system may need to manage a file with holes."""


def small_node(directory: Path) -> WholeNode:
    """A node with a cache for half of the files; not started."""
    directory.mkdir(exist_ok=True)
    return WholeNode(directory, {"cache": {"quota": str(QUOTA), "reserve": "0"}})


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WholeNode]:
    node = small_node(tmp_path)
    yield node
    node.stop()


@pytest.fixture
def filled_bucket(seaweed: Seaweed, bucket: str) -> str:
    client = seaweed.client()
    for name, size in FILES.items():
        client.put_object(Bucket=bucket, Key=name, Body=content(VERSION, 0, size))
    client.close()
    return bucket


class Readers:
    """Read at random until the node dies, and compare each byte."""

    def __init__(self, node: WholeNode, seed: int) -> None:
        self.right = 0
        self.faults: list[object] = []
        self._node = node
        self._is_dying = threading.Event()
        chances = [random.Random(seed * 10 + number) for number in range(4)]  # noqa: S311
        self._threads = [threading.Thread(target=self._read, args=(one,)) for one in chances]
        for thread in self._threads:
            thread.start()

    def outlive(self) -> None:
        """Kill the node, and come to an end."""
        self._is_dying.set()
        self._node.kill()
        for thread in self._threads:
            thread.join()

    def _read(self, chance: random.Random) -> None:
        while not self._is_dying.is_set():
            name = chance.choice(list(FILES))
            start = chance.randrange(FILES[name])
            end = min(start + chance.randrange(1, 3 * MEBIBYTE), FILES[name])
            try:
                self._compare(name, start, end)
            except (OSError, EOFError) as error:
                if not self._is_dying.is_set():
                    self.faults.append((name, start, end, repr(error)))

    def _compare(self, name: str, start: int, end: int) -> None:
        wish = {"range": f"bytes={start}-{end - 1}"}
        answer = self._node.ask(f"/cloud/{name}", headers=wish)
        if (answer.status, answer.body) == (206, content(VERSION, start, end)):
            self.right += 1
        else:
            self.faults.append((name, start, end, answer.status, answer.body[:300]))


def nothing_is_outside_the_index(node: WholeNode) -> None:
    """The node has started, and has read nothing yet: disk and index tell the same."""
    with closing(
        open_shelf(node.data / "shelf" / "0", ShelfOptions(), write=False, now=time.time)
    ) as shelf:
        indexed = {held.file: held.held for held in shelf.blocks.every_file()}
        on_disk = {
            file: entry.stat().st_blocks * 512 for file, entry in shelf.layout.segment_files()
        }
    assert on_disk.keys() == indexed.keys()
    assert [file for file, taken in on_disk.items() if taken > indexed[file] + SLACK] == []
    assert sum(indexed.values()) <= QUOTA
    held = {labels["state"]: value for labels, value in node.samples("forebay_cache_held_bytes")}
    assert held == {"entered": sum(indexed.values()), "unlinked": 0, "reserved": 0}


def killed_again_and_again(node: WholeNode, seeds: Sequence[int]) -> int:
    """Kill the node once a seed, while it fills; how many reads were right. None was wrong."""
    chance = random.Random(seeds[0])  # noqa: S311 - a seeded killer
    key, mounts = node.key(), node.mount_paths()
    right = 0
    for seed in seeds:
        readers = Readers(node, seed)
        time.sleep(chance.uniform(0.02, 0.4))
        readers.outlive()
        assert readers.faults == []
        right += readers.right
        node.start()
        nothing_is_outside_the_index(node)
        assert (node.key(), node.mount_paths()) == (key, mounts)
    return right


def test_a_node_killed_fifty_times_during_fills_never_serves_a_wrong_byte(
    tmp_path: Path, seaweed: Seaweed, filled_bucket: str
) -> None:
    def work(number: int) -> int:
        node = small_node(tmp_path / str(number))
        node.start()
        try:
            # A line slow enough that the killer finds fills under way.
            slow = {"budget.bandwidth": "100MiB/s"}
            node.mount_seaweed("/cloud", seaweed, filled_bucket, **slow)
            right = killed_again_and_again(node, range(number, KILLS, NODES))
            for name, size in FILES.items():
                assert node.ask(f"/cloud/{name}").body == content(VERSION, 0, size)
            tier = node.node.get("/v1/report/capacity")
            facts = {fact["name"]: fact["value"] for fact in tier["facts"]}
            assert facts["damaged blocks"] == 0
        finally:
            node.stop()
        return right

    # The kernel ends a node with the thread that started it: each is killed by its own.
    with ThreadPoolExecutor(NODES) as pool:
        assert sum(pool.map(work, range(NODES))) > KILLS


def test_a_node_killed_while_it_starts_starts_again(
    node: WholeNode, seaweed: Seaweed, filled_bucket: str
) -> None:
    chance = random.Random(6)  # noqa: S311 - a seeded killer
    node.start()
    node.mount_seaweed("/cloud", seaweed, filled_bucket)
    for name in list(FILES)[:5]:
        node.ask(f"/cloud/{name}")
    node.kill()
    for _ in range(6 * STRESS):
        node.launch()
        time.sleep(chance.uniform(0.05, 1.0))
        node.kill()

    node.start()

    nothing_is_outside_the_index(node)
    for name, size in FILES.items():
        assert node.ask(f"/cloud/{name}").body == content(VERSION, 0, size)


class Changer:
    """Mounts, unmounts, makes and revokes keys until the node dies; notes what was acknowledged.

    Attributes:
        mounts: that were acknowledged, and not unmounted.
        keys: secrets by key id, of keys that were acknowledged and not revoked.
        doubtful: the path or key id of the change that was asked for last, without an answer.
        count: changes acknowledged.
    """

    def __init__(self, node: WholeNode) -> None:
        self.mounts: set[str] = set()
        self.keys: dict[str, str] = {}
        self.doubtful: set[str] = set()
        self.count = 0
        self._node = node
        self._number = 0

    def change_until_it_dies(self) -> None:
        """Ask for one change after the other."""
        with suppress(ForebayError, OSError):
            while True:
                self._number += 1
                self._mount(f"/m{self._number}")
                self._make_key()
                if self._number % 3 == 0:
                    self._unmount(min(self.mounts))
                    self._revoke(min(self.keys))

    def learn(self, mounted: set[str], valid: set[str]) -> None:
        """See how the doubtful change ended; it may have come about or not, once and for all."""
        for name in self.doubtful & mounted:
            self.mounts.add(name)
        for name in self.doubtful - mounted:
            self.mounts.discard(name)
        for name in self.doubtful - valid:
            self.keys.pop(name, None)
        self.doubtful = set()

    def _mount(self, path: str) -> None:
        self.doubtful = {path}
        self._node.mount(path, f"file://{self._node.lake}")
        self.mounts.add(path)
        self._acknowledged()

    def _unmount(self, path: str) -> None:
        self.doubtful = {path}
        self._node.node.delete("/v1/mounts", path=path)
        self.mounts.discard(path)
        self._acknowledged()

    def _make_key(self) -> None:
        made: dict[str, Any] = self._node.node.post("/v1/keys", {"grants": ["/:read"]})
        self.keys[made["key_id"]] = made["secret"]
        self._acknowledged()

    def _revoke(self, key_id: str) -> None:
        self.doubtful = {key_id}
        self._node.node.delete(f"/v1/keys/{key_id}")
        secret = self.keys.pop(key_id)
        self._acknowledged()
        # Asked once more: the door has heard of it.
        assert self._node.ask("/lake", key=(key_id, secret)).code == "InvalidAccessKeyId"

    def _acknowledged(self) -> None:
        self.doubtful = set()
        self.count += 1


def test_a_node_killed_during_changes_holds_all_that_it_acknowledged(node: WholeNode) -> None:
    chance = random.Random(8)  # noqa: S311 - a seeded killer
    changer = Changer(node)
    node.put("a", b"a")
    node.start()
    for kills in range(1, CHANGING_KILLS + 1):
        thread = threading.Thread(target=changer.change_until_it_dies)
        thread.start()
        time.sleep(chance.uniform(0.1, 0.6))
        node.kill()
        thread.join()
        node.start()

        mounted = node.mount_paths()
        assert mounted - changer.doubtful == changer.mounts - changer.doubtful
        rows = node.node.get("/v1/keys")["keys"]
        valid = {row["key_id"] for row in rows if row["revoked_at"] is None}
        # The first key, and one that was made and not acknowledged, are nobody's here.
        assert changer.keys.keys() - changer.doubtful <= valid
        assert len(valid - changer.keys.keys()) <= 1 + kills
        changer.learn(mounted, valid)
        for key_id, secret in list(changer.keys.items())[-20:]:
            assert node.ask("/lake", key=(key_id, secret)).status == 200
        for path in sorted(changer.mounts)[-3:]:
            assert node.ask(f"{path}/a", raw_path=f"/lake{path}/a").body == b"a"

    assert changer.count > 2 * CHANGING_KILLS
    lines = (node.data / "logs" / "audit.jsonl").read_text().splitlines()
    assert len([line for line in lines if '"result":"ok"' in line]) >= changer.count
