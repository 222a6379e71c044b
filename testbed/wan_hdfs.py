"""HDFS far away: a cluster that can be reached over the WAN, and directly beside it."""

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.hdfs import LOOPBACK, Hdfs, HdfsOptions
from testbed.wan import Route, Wan, WanOptions

# The far end of the line: the same ports as the servers', on an address of their own. A
# DataNode calls itself by this name, and a client that uses names goes through the WAN.
FAR_HOST = "127.0.0.3"

USE_NAMES = {"dfs.client.use.datanode.hostname": "true"}


class WanHdfs:
    """A cluster and its WAN, running from entering until leaving the context.

    Over the WAN: `uri` and `webhdfs`, and for native clients `client_settings` or `conf_dir`.
    Directly: `hdfs.uri` without those settings, and `hdfs.files()`.
    """

    def __init__(
        self,
        directory: Path,
        options: HdfsOptions | None = None,
        line: WanOptions | None = None,
    ) -> None:
        usual = HdfsOptions() if options is None else options
        self.hdfs = Hdfs(directory / "hdfs", replace(usual, datanode_hostname=FAR_HOST))
        self.wan = Wan(directory / "wan", self._routes(), line)
        self.client_settings = dict(USE_NAMES)

    @property
    def uri(self) -> str:
        """The cluster's address over the WAN."""
        return f"hdfs://{FAR_HOST}:{self.hdfs.namenode_port}"

    @property
    def webhdfs(self) -> str:
        """WebHDFS over the WAN, the DataNodes' part of it too."""
        return f"http://{FAR_HOST}:{self.hdfs.http_port}"

    @property
    def conf_dir(self) -> Path:
        """Hadoop's configuration for clients over the WAN."""
        return self.hdfs.write_client_settings("client-over-wan", self.uri, USE_NAMES)

    def start(self) -> None:
        """Start the cluster and the line."""
        self.hdfs.start()
        try:
            self.wan.start()
        except BaseException:
            self.hdfs.stop()
            raise

    def stop(self) -> None:
        """Stop both."""
        self.wan.stop()
        self.hdfs.stop()

    def _routes(self) -> list[Route]:
        ports = [self.hdfs.namenode_port, self.hdfs.http_port]
        for datanode in self.hdfs.datanode_ports:
            ports += [datanode.transfer, datanode.http]
        return [Route(f"{FAR_HOST}:{port}", f"{LOOPBACK}:{port}") for port in ports]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
