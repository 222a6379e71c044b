"""The HDFS witness: what the servers themselves count of what they were asked and gave."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from testbed.hdfs import Hdfs
from testbed.probe import fetch

# What JMX shows is up to 50 ms old.
_STALE_SECONDS = 0.06


@dataclass(slots=True)
class HdfsCounts:
    """Answers to requests for a status, for a block list, for a listing; blocks read, and bytes.

    The bytes are those of the disk: content and checksums.
    """

    statuses: int = 0
    block_lists: int = 0
    listings: int = 0
    block_reads: int = 0
    bytes_read: int = field(default=0, compare=False)


def hdfs_counts(hdfs: Hdfs) -> HdfsCounts:
    """The counters since the servers started, by whichever way they were asked."""
    time.sleep(_STALE_SECONDS)
    name = _beans(hdfs.webhdfs, "service=NameNode,name=NameNodeActivity")
    data = _beans(hdfs.datanode_address(), "service=DataNode,name=DataNodeActivity*")
    return HdfsCounts(
        name["FileInfoOps"],
        name["GetBlockLocations"],
        name["GetListingOps"],
        data["ReadBlockOpNumOps"],
        data["BytesRead"],
    )


@contextmanager
def counted(hdfs: Hdfs) -> Iterator[HdfsCounts]:
    """What HDFS counts inside the context; the numbers are there at its end."""
    before, during = hdfs_counts(hdfs), HdfsCounts()
    yield during
    after = hdfs_counts(hdfs)
    for name in HdfsCounts.__slots__:
        setattr(during, name, getattr(after, name) - getattr(before, name))


def _beans(address: str, query: str) -> dict[str, int]:
    answer = fetch(f"{address}/jmx?qry=Hadoop:{query}", patience=10)
    assert answer is not None
    (bean,) = json.loads(answer[1])["beans"]
    return dict(bean)
