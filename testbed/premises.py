"""The premises: the far store of the demo, behind the WAN, with witnesses of what it gave."""

import json
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from testbed.hdfs import HdfsOptions
from testbed.seaweed import Seaweed
from testbed.tpcds import (
    BUCKET_PREFIX,
    HDFS_DIRECTORY,
    TableFile,
    put_into_bucket,
    put_into_hdfs,
)
from testbed.wan import Route, Wan, WanOptions
from testbed.wan_hdfs import FAR_HOST, WanHdfs

# What the NameNode counts for a client that asks for statuses, listings and block lists.
STATUS_COUNTERS = ("GetFileInfoNumOps", "GetListingNumOps", "GetBlockLocationsNumOps")


@dataclass(frozen=True, slots=True)
class Given:
    """What the far store says that it gave: bytes of content, and answers to status requests."""

    content_bytes: int
    status_requests: int

    def since(self, earlier: "Given") -> "Given":
        """What was given after `earlier`."""
        return Given(
            self.content_bytes - earlier.content_bytes,
            self.status_requests - earlier.status_requests,
        )


class Premises(Protocol):
    """A far store that holds the tables."""

    name: str
    uri: str
    directory: str
    mount_options: Mapping[str, str]

    def start(self) -> None:
        """Start the servers and the line."""
        ...

    def stop(self) -> None:
        """Stop them."""
        ...

    def fill(self, tables: list[TableFile], tell: Callable[[TableFile], None]) -> None:
        """Put the tables there, without crossing the line."""
        ...

    def given(self) -> Given:
        """What was given until now, as the store itself counts it."""
        ...

    def direct(self) -> dict[str, object]:
        """How to read the tables over the line without Forebay (for `testbed.direct`)."""
        ...

    def endpoints(self) -> Mapping[str, str]:
        """Where to reach it."""
        ...


class HdfsPremises:
    """A real HDFS behind the line."""

    name = "HDFS"
    directory = HDFS_DIRECTORY

    def __init__(self, work: Path, line: WanOptions) -> None:
        self.cluster = WanHdfs(work, HdfsOptions(), line)
        self.uri = self.cluster.uri + "/"
        self.mount_options: Mapping[str, str] = {}

    def start(self) -> None:
        """Start NameNode, DataNode and the line."""
        self.cluster.start()
        # These settings call DataNodes by their names, which lead over the WAN.
        self.mount_options = {
            "hadoop.conf": str(self.cluster.conf_dir),
            "webhdfs": self.cluster.webhdfs,
        }

    def stop(self) -> None:
        """Stop them."""
        self.cluster.stop()

    def fill(self, tables: list[TableFile], tell: Callable[[TableFile], None]) -> None:
        """Put the tables into HDFS from beside it."""
        with self.cluster.hdfs.files() as files:
            put_into_hdfs(files, tables, tell=tell)

    def given(self) -> Given:
        """NameNode's and DataNode's own counters, asked without crossing the line."""
        namenode = _beans(self.cluster.hdfs.webhdfs, "Hadoop:service=NameNode,name=RpcDetailed*")
        web = _beans(self.cluster.hdfs.webhdfs, "Hadoop:service=NameNode,name=NameNodeActivity")
        statuses = sum(int(namenode.get(name, 0)) for name in STATUS_COUNTERS)
        # WebHDFS asks inside the NameNode, past its RPC counters; the activity counts all.
        activity = sum(
            int(web.get(name, 0)) for name in ("FileInfoOps", "GetListingOps", "GetBlockLocations")
        )
        content = 0
        for number in range(self.cluster.hdfs.options.datanodes):
            address = self.cluster.hdfs.datanode_address(number)
            beans = _beans(address, "Hadoop:service=DataNode,name=DataNodeActivity*")
            content += int(beans.get("BytesRead", 0))
        return Given(content, max(statuses, activity))

    def direct(self) -> dict[str, object]:
        """Over the line by hdfs-native."""
        return {
            "kind": "hdfs",
            "uri": self.cluster.uri,
            "settings": self.cluster.client_settings,
            "directory": self.directory,
        }

    def endpoints(self) -> Mapping[str, str]:
        """Both sides of the line."""
        return {
            "HDFS over the WAN": self.cluster.uri,
            "WebHDFS over the WAN": self.cluster.webhdfs,
            "HDFS beside the cluster": self.cluster.hdfs.uri,
        }


class S3Premises:
    """A real S3 server behind the line, for machines without Java."""

    name = "S3"
    bucket = "onprem"

    def __init__(self, work: Path, line: WanOptions) -> None:
        self.store = Seaweed(work / "premises")
        self._line = line
        self._work = work
        self._wan: Wan | None = None
        self.uri = f"s3://{self.bucket}/"
        self.directory = f"/{BUCKET_PREFIX}"
        self.mount_options: Mapping[str, str] = {}

    def start(self) -> None:
        """Start the server and the line."""
        self.store.start()
        port = self.store.endpoint.rpartition(":")[2]
        route = Route(f"{FAR_HOST}:{port}", f"127.0.0.1:{port}")
        self._wan = Wan(self._work / "wan", [route], self._line)
        self._wan.start()
        self._endpoint = f"http://{FAR_HOST}:{port}"
        self.mount_options = {
            "endpoint": self._endpoint,
            "access_key_id": self.store.access_key,
            "secret_access_key": "env:FOREBAY_DEMO_PREMISES_SECRET",
        }
        self.store.make_bucket(self.bucket)

    def stop(self) -> None:
        """Stop them."""
        if self._wan is not None:
            self._wan.stop()
        self.store.stop()

    def fill(self, tables: list[TableFile], tell: Callable[[TableFile], None]) -> None:
        """Put the tables into the bucket from beside it."""
        put_into_bucket(self.store, self.bucket, tables, tell)

    def given(self) -> Given:
        """What crossed the line towards the compute; S3 does not count its answers by kind."""
        if self._wan is None:
            return Given(0, 0)
        traffic = self._wan.traffic()
        return Given(traffic.received_bytes, traffic.connections)

    def direct(self) -> dict[str, object]:
        """Over the line by DuckDB's httpfs."""
        return {
            "kind": "s3",
            "endpoint": self._endpoint,
            "access_key": self.store.access_key,
            "secret_key": self.store.secret_key,
            "bucket": self.bucket,
            "directory": self.directory,
        }

    def endpoints(self) -> Mapping[str, str]:
        """Both sides of the line."""
        return {"S3 over the WAN": self._endpoint, "S3 beside the server": self.store.endpoint}


def _beans(address: str, query: str) -> dict[str, Any]:
    """The values of the JMX beans that `query` names, in one mapping."""
    with urllib.request.urlopen(f"{address}/jmx?qry={query}", timeout=10) as answer:
        beans = json.load(answer)["beans"]
    return {name: value for bean in beans for name, value in bean.items()}
