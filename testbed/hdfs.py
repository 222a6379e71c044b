"""HDFS: a real NameNode and DataNode, each in a JVM of its own."""

import getpass
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape

from testbed.hadoop_jars import hadoop_jars, java
from testbed.ports import free_ports
from testbed.probe import answers, bean
from testbed.process import ComponentMissing, Process, Program, ServiceFailed
from testbed.webhdfs import WebHdfs

LOOPBACK = "127.0.0.1"
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
MEBIBYTE = 1 << 20
START_SECONDS = 60.0

LOGGING = """\
log4j.rootLogger=INFO,err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.target=System.err
log4j.appender.err.layout=org.apache.log4j.PatternLayout
log4j.appender.err.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""

# What JMX tells of the servers' counters is otherwise up to ten seconds old.
METRICS = "*.periodMillis=50\n"


@dataclass(frozen=True, slots=True)
class HdfsOptions:
    """How the cluster differs from the usual."""

    block_bytes: int = 128 * MEBIBYTE
    datanodes: int = 1
    heap_mebibytes: int = 256
    datanode_hostname: str | None = None  # None: a DataNode is known by its address
    settings: Mapping[str, str] = field(default_factory=dict)  # for core-site and hdfs-site alike


@dataclass(frozen=True, slots=True)
class DataNodePorts:
    """Where one DataNode listens."""

    transfer: int
    http: int
    ipc: int


class Hdfs:
    """A cluster under `directory`, running from entering until leaving the context.

    The superuser is the user who runs it. Everything is simple authentication, so a client is
    whoever it says it is.
    """

    def __init__(self, directory: Path, options: HdfsOptions | None = None) -> None:
        self.directory = directory.resolve()
        self.options = HdfsOptions() if options is None else options
        self.superuser = getpass.getuser()
        self.namenode_port, self.http_port, *rest = free_ports(2 + 3 * self.options.datanodes)
        self.datanode_ports = [
            DataNodePorts(*rest[start : start + 3]) for start in range(0, len(rest), 3)
        ]
        self.conf_dir = self.directory / "client"
        self._namenode: Process | None = None
        self._datanodes: dict[int, Process] = {}

    @property
    def uri(self) -> str:
        """The cluster's own address, `hdfs://host:port`."""
        return f"hdfs://{LOOPBACK}:{self.namenode_port}"

    @property
    def webhdfs(self) -> str:
        """The address of the NameNode's HTTP server, on which WebHDFS is."""
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def namenode(self) -> Process:
        """The running NameNode."""
        if self._namenode is None:
            message = "the NameNode is not running"
            raise ServiceFailed(message)
        return self._namenode

    def datanode_address(self, number: int = 0) -> str:
        """The address of a DataNode's HTTP server."""
        return f"http://{LOOPBACK}:{self.datanode_ports[number].http}"

    def datanode(self, number: int = 0) -> Process:
        """A running DataNode."""
        if number not in self._datanodes:
            message = f"DataNode {number} is not running"
            raise ServiceFailed(message)
        return self._datanodes[number]

    def files(self) -> WebHdfs:
        """A client with which to put files there and look at them, as the superuser."""
        hostname = self.options.datanode_hostname
        routes = {} if hostname is None else {hostname: LOOPBACK}
        return WebHdfs(self.webhdfs, self.superuser, routes)

    def start(self) -> None:
        """Format if new, start the servers, and wait until files can be written."""
        self._write_settings()
        if not (self.directory / "name" / "current").is_dir():
            self._format()
        try:
            # All at once: the JVMs start side by side, and the DataNode waits for the NameNode.
            self._namenode = Process(self._program("namenode", NAMENODE))
            for number in range(self.options.datanodes):
                self._datanodes[number] = Process(self._datanode_program(number))
            self._await_namenode()
            for number in self._datanodes:
                self._await_datanode(number)
            self._await_service()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop whatever of it still runs."""
        for number in list(self._datanodes):
            self._datanodes.pop(number).stop()
        if self._namenode is not None:
            self._namenode.stop()
            self._namenode = None

    def kill_datanode(self, number: int = 0) -> None:
        """`kill -9` a DataNode."""
        self.datanode(number).kill()
        del self._datanodes[number]

    def restart_datanode(self, number: int = 0) -> None:
        """Start a killed DataNode again (stopping one that runs), and wait until it serves."""
        if number in self._datanodes:
            self._datanodes.pop(number).stop()
        self._datanodes[number] = Process(self._datanode_program(number))
        self._await_datanode(number)
        self._await_service()

    def freeze_datanode(self, number: int = 0) -> None:
        """Let a DataNode hang: it takes connections and never answers."""
        self.datanode(number).freeze()

    def thaw_datanode(self, number: int = 0) -> None:
        """Let a frozen DataNode go on."""
        self.datanode(number).thaw()

    def kill_namenode(self) -> None:
        """`kill -9` the NameNode."""
        self.namenode.kill()
        self._namenode = None

    def restart_namenode(self) -> None:
        """Start a killed NameNode again (stopping one that runs), and wait for its files.

        A DataNode may answer its first WebHDFS request after this with 403 and an EOFException:
        it still holds the old connection to the NameNode.
        """
        if self._namenode is not None:
            self._namenode.stop()
        self._namenode = Process(self._program("namenode", NAMENODE))
        self._await_namenode()
        self._await_service()

    def freeze_namenode(self) -> None:
        """Let the NameNode hang."""
        self.namenode.freeze()

    def thaw_namenode(self) -> None:
        """Let a frozen NameNode go on."""
        self.namenode.thaw()

    def _await_namenode(self) -> None:
        question = f"{self.webhdfs}/webhdfs/v1/?op=GETFILESTATUS&user.name={self.superuser}"
        self.namenode.wait_until(
            lambda: answers(question), seconds=START_SECONDS, what="answering WebHDFS"
        )

    def _await_datanode(self, number: int) -> None:
        address = self.datanode_address(number)

        def registered() -> bool:
            return _is_registered(bean(address, "service=DataNode,name=DataNodeInfo"))

        self.datanode(number).wait_until(
            registered, seconds=START_SECONDS, what="registered at the NameNode"
        )

    def _await_service(self) -> None:
        wanted = len(self._datanodes)

        def serving() -> bool:
            state = bean(self.webhdfs, "service=NameNode,name=FSNamesystemState")
            info = bean(self.webhdfs, "service=NameNode,name=NameNodeInfo")
            return state.get("NumLiveDataNodes", 0) >= wanted and info.get("Safemode") == ""

        self.namenode.wait_until(serving, seconds=START_SECONDS, what="out of safe mode")

    def _format(self) -> None:
        program = self._program("namenode", NAMENODE)
        finished = subprocess.run(
            [*program.command, "-format", "-nonInteractive"],
            env={**os.environ, **program.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            message = f"formatting the NameNode failed:\n{finished.stderr[-3000:]}"
            raise ServiceFailed(message)

    def _datanode_program(self, number: int) -> Program:
        return self._program(f"datanode-{number}", DATANODE)

    def _program(self, name: str, main: str) -> Program:
        machine = java()
        if machine is None:
            message = "HDFS needs Java (Debian's package `default-jre-headless`)"
            raise ComponentMissing(message)
        command: list[str | Path] = [
            machine,
            f"-Xmx{self.options.heap_mebibytes}m",
            # Starts faster and takes less memory; with two cores nothing is lost by it.
            "-XX:+UseSerialGC",
            "-Djava.net.preferIPv4Stack=true",
            "-classpath",
            f"{self.directory / 'conf' / name}:{hadoop_jars()}/*",
            main,
        ]
        # The superuser is the account, whatever a client in this process calls itself.
        surroundings = {"HADOOP_USER_NAME": self.superuser, "HADOOP_CONF_DIR": ""}
        return Program(name, command, self.directory, surroundings)

    def write_client_settings(
        self, name: str, uri: str, settings: Mapping[str, str] | None = None
    ) -> Path:
        """Write a configuration directory for clients that reach the cluster at `uri`."""
        place = self.directory / name
        more = {} if settings is None else settings
        _write(place, {**self._common_settings(), "fs.defaultFS": uri, **more})
        return place

    def _common_settings(self) -> dict[str, str]:
        return {
            "fs.defaultFS": self.uri,
            "dfs.replication": "1",
            "dfs.blocksize": str(self.options.block_bytes),
        }

    def _write_settings(self) -> None:
        self.write_client_settings(self.conf_dir.name, self.uri)
        common = self._common_settings()
        shared = {**common, **self._server_settings()}
        _write(self.directory / "conf" / "namenode", {**shared, **self.options.settings})
        for number, ports in enumerate(self.datanode_ports):
            own = {**shared, **self._datanode_settings(number, ports), **self.options.settings}
            _write(self.directory / "conf" / f"datanode-{number}", own)

    def _server_settings(self) -> dict[str, str]:
        return {
            "hadoop.tmp.dir": str(self.directory / "tmp"),
            f"hadoop.proxyuser.{self.superuser}.hosts": "*",
            f"hadoop.proxyuser.{self.superuser}.groups": "*",
            "dfs.namenode.rpc-address": f"{LOOPBACK}:{self.namenode_port}",
            "dfs.namenode.http-address": f"{LOOPBACK}:{self.http_port}",
            "dfs.namenode.name.dir": str(self.directory / "name"),
            "dfs.namenode.acls.enabled": "true",
            "dfs.namenode.safemode.extension": "0",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            # Blocks smaller than the usual least of 1 MiB, for tests of many blocks.
            "dfs.namenode.fs-limits.min-block-size": "512",
            # A nearly full disk must not put the NameNode into safe mode.
            "dfs.namenode.resource.du.reserved": str(MEBIBYTE),
            # A lost process, not a lost machine, is what tests are about: no fsync.
            "dfs.namenode.edits.noeditlogchannelflush": "true",
            # A dead DataNode is noticed after 14 s instead of 10.5 minutes.
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": "2000",
        }

    def _datanode_settings(self, number: int, ports: DataNodePorts) -> dict[str, str]:
        hostname = self.options.datanode_hostname
        return {
            "dfs.datanode.hostname": LOOPBACK if hostname is None else hostname,
            # Not another loopback address: the NameNode remembers a DataNode by the address its
            # registration came from, and that is always this one.
            "dfs.datanode.address": f"{LOOPBACK}:{ports.transfer}",
            "dfs.datanode.http.address": f"{LOOPBACK}:{ports.http}",
            "dfs.datanode.ipc.address": f"{LOOPBACK}:{ports.ipc}",
            "dfs.datanode.data.dir": str(self.directory / f"data-{number}"),
            "dfs.datanode.du.reserved": "0",
        }

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


def _is_registered(info: Mapping[str, Any]) -> bool:
    return '"ActorState":"RUNNING"' in str(info.get("BPServiceActorInfo", "")).replace(" ", "")


def _write(directory: Path, settings: Mapping[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    properties = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    text = f'<?xml version="1.0"?>\n<configuration>\n{properties}</configuration>\n'
    for file in ("core-site.xml", "hdfs-site.xml"):
        (directory / file).write_text(text)
    (directory / "log4j.properties").write_text(LOGGING)
    (directory / "hadoop-metrics2.properties").write_text(METRICS)
