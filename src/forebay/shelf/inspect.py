"""The inspection of an index that was not closed: reads all of it, in a process of its own.

A page that the disk lost may make LMDB touch what is not there, and the kernel ends the process
that does: better this one than the node. It ends with 0 if the index reads through.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import lmdb

_PATIENCE: Final = 600.0


def reads_through(path: Path, map_bytes: int) -> bool:
    """Whether the LMDB environment at `path` can be read from end to end."""
    command = [sys.executable, "-m", "forebay.shelf.inspect", str(path), str(map_bytes)]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, check=False, timeout=_PATIENCE, capture_output=True
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def read_everything(path: Path, map_bytes: int) -> int:
    """Read every row; how many there are."""
    rows = 0
    with (
        lmdb.open(
            str(path), map_size=map_bytes, max_dbs=8, readonly=True, lock=False, create=False
        ) as environment,
        environment.begin() as transaction,
    ):
        for name, _ in list(transaction.cursor()):
            table = environment.open_db(name, txn=transaction, create=False)
            for key, value in transaction.cursor(db=table):
                # Every byte is touched: a page that is missing shows only when it is read.
                rows += 1 if key.count(b"\0") + value.count(b"\0") >= 0 else 0
    return rows


if __name__ == "__main__":
    read_everything(Path(sys.argv[1]), int(sys.argv[2]))
