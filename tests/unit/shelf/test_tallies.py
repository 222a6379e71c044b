"""Tallies: reads of other processes are counted once, also after those have ended."""

import os
import subprocess
import sys
from pathlib import Path

from forebay.shelf.tallies import SLOTS, Amount, Tallies, Tally


def test_what_a_living_process_read_is_counted_by_mount(tmp_path: Path) -> None:
    tally = Tally(tmp_path, f"{os.getpid()}-00")
    tally.add("/onprem", 10)
    tally.add("/onprem", 5)
    tally.add("/cloud", 7)

    totals = Tallies(tmp_path).totals()

    assert totals == {"/onprem": Amount(2, 15), "/cloud": Amount(1, 7)}


def test_what_an_ended_process_read_is_counted_once_for_ever(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib\n"
        "from forebay.shelf.tallies import Tally\n"
        "Tally(pathlib.Path(sys.argv[1]), f'{os.getpid()}-00').add('/onprem', 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    tallies = Tallies(tmp_path)

    assert tallies.totals() == {"/onprem": Amount(1, 9)}
    assert tallies.totals() == {"/onprem": Amount(1, 9)}
    assert not list(tmp_path.iterdir())


def test_more_mounts_than_slots_lose_no_bytes(tmp_path: Path) -> None:
    tally = Tally(tmp_path, f"{os.getpid()}-00")
    for number in range(SLOTS + 5):
        tally.add(f"/mount{number}", 1)

    assert sum(amount.size for amount in Tallies(tmp_path).totals().values()) == SLOTS + 5


def test_a_new_node_forgets_what_was_read_before_it(tmp_path: Path) -> None:
    (tmp_path / "999999999-00").write_bytes(b"")
    tallies = Tallies(tmp_path)

    tallies.begin()

    assert tallies.totals() == {}
    assert not list(tmp_path.iterdir())


def test_without_a_directory_nothing_was_read(tmp_path: Path) -> None:
    assert Tallies(tmp_path / "none").totals() == {}
