"""The test bed: its servers start, answer, break as told, stop, and leave nothing behind."""

import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import boto3
import hdfs_native
import httpx
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from testbed.cache import made_once
from testbed.hdfs import Hdfs, HdfsOptions
from testbed.nginx import Nginx
from testbed.ports import free_port, is_free
from testbed.postgres import Postgres
from testbed.process import Process, Program, ServiceFailed
from testbed.rclone import serve_s3
from testbed.seaweed import Seaweed
from testbed.tpcds import put_into_bucket, put_into_hdfs, table_files, tpcds_tables
from testbed.wan import Route, Wan, WanOptions
from testbed.wan_hdfs import WanHdfs

pytestmark = pytest.mark.service

REPOSITORY = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20


def processes_below(directory: Path) -> list[int]:
    """The processes that work in or below a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(directory):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def eventually(read: Callable[[], bytes]) -> bytes:
    """What is read as soon as the cluster has found itself again after a restart."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return read()
        except httpx.HTTPStatusError:
            if time.monotonic() > deadline:
                raise


# Processes


def test_a_server_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = Process(Program("brief", ["sh", "-c", "echo the disk is full; exit 3"], tmp_path))

    with pytest.raises(ServiceFailed, match=r"status 3 before answering(.|\n)*the disk is full"):
        server.wait_until(lambda: False, seconds=20, what="answering")


def test_a_server_that_is_never_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    server = Process(Program("mute", ["sh", "-c", "echo thinking; exec sleep 1000"], tmp_path))

    try:
        with pytest.raises(ServiceFailed, match=r"not answering within(.|\n)*thinking"):
            server.wait_until(lambda: False, seconds=0.5, what="answering")
    finally:
        server.stop()
    assert gone(server.pid)


def test_a_server_that_will_not_listen_is_ended_all_the_same(tmp_path: Path) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
    server = Process(Program("stubborn", stubborn, tmp_path))
    server.wait_until(
        lambda: "up" in server.program.log.read_text(), seconds=20, what="trapping the signal"
    )

    server.stop(patience=0.2)

    # A child that was killed is seen until it has been reaped.
    deadline = time.monotonic() + 10
    while processes_below(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_below(tmp_path) == []


def test_a_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, signal; from testbed.process import Process, Program;"
        "server = Process(Program('s', ['sleep', '1000'], pathlib.Path(sys.argv[1])));"
        "print(server.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()

    deadline = time.monotonic() + 20
    while not gone(pid) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    assert gone(pid)


def test_a_chosen_port_is_free_and_a_taken_one_is_not() -> None:
    port = free_port()
    assert is_free(port)

    with socket.create_server(("127.0.0.3", port)):
        assert not is_free(port)


def test_what_is_made_once_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "made"

    def fail(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - the very one raised above
        made_once(place, fail)
    assert [left.name for left in tmp_path.iterdir()] == ["made.lock"]

    def fill(directory: Path) -> None:
        (directory / "all").write_text("all")

    made_once(place, fill)
    made_once(place, fail)
    assert [left.name for left in place.iterdir()] == ["all"]


# HDFS


@pytest.mark.slow
def test_hdfs_keeps_files_over_the_death_of_each_server_and_leaves_no_process(
    tmp_path: Path,
) -> None:
    content = os.urandom(3 * MEBIBYTE + 5)
    with Hdfs(tmp_path, HdfsOptions(block_bytes=MEBIBYTE)) as cluster, cluster.files() as files:
        files.put("/kept", content)

        cluster.kill_datanode()
        cluster.restart_datanode()
        assert files.get("/kept") == content

        cluster.kill_namenode()
        with pytest.raises(httpx.TransportError):
            files.get("/kept")
        cluster.restart_namenode()
        assert eventually(lambda: files.get("/kept")) == content

        cluster.freeze_datanode()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{cluster.datanode_address()}/jmx", timeout=0.3)
        cluster.thaw_datanode()
        assert files.get("/kept") == content

    assert processes_below(tmp_path) == []


def test_hdfs_is_read_and_written_by_its_native_client(
    hdfs: Hdfs, hdfs_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HADOOP_USER_NAME", hdfs.superuser)
    client = hdfs_native.Client(hdfs.uri)

    with client.create(f"{hdfs_directory}/file") as file:
        file.write(b"hello")

    with hdfs.files() as files:
        assert files.get(f"{hdfs_directory}/file") == b"hello"
    with client.read(f"{hdfs_directory}/file") as file:
        assert file.read() == b"hello"


def test_hdfs_takes_access_lists_snapshots_and_names_of_any_kind(
    hdfs: Hdfs, hdfs_directory: str
) -> None:
    with hdfs.files() as files:
        files.put(f"{hdfs_directory}/ä 100%25+&?#", b"odd")
        files.ask("PUT", hdfs_directory, "MODIFYACLENTRIES", aclspec="user:alice:r-x")
        files.ask("PUT", hdfs_directory, "ALLOWSNAPSHOT")
        files.ask("PUT", hdfs_directory, "CREATESNAPSHOT", snapshotname="one")

        listing = files.ask("GET", hdfs_directory, "LISTSTATUS")
        entries = files.ask("GET", hdfs_directory, "GETACLSTATUS")["AclStatus"]["entries"]
        kept = files.get(f"{hdfs_directory}/.snapshot/one/ä 100%25+&?#")
        files.ask("DELETE", hdfs_directory, "DELETESNAPSHOT", snapshotname="one")
        files.ask("PUT", hdfs_directory, "DISALLOWSNAPSHOT")

    statuses = listing["FileStatuses"]["FileStatus"]
    assert [status["pathSuffix"] for status in statuses] == ["ä 100%25+&?#"]
    assert "user:alice:r-x" in entries
    assert kept == b"odd"


@pytest.mark.slow
def test_hdfs_is_read_over_the_wan_and_beside_it(tmp_path: Path) -> None:
    content = os.urandom(MEBIBYTE)
    with WanHdfs(tmp_path) as far, far.hdfs.files() as files:
        files.put("/file", content)
        before = far.wan.traffic()
        with hdfs_native.Client(far.hdfs.uri).read("/file") as file:
            assert file.read() == content
        assert far.wan.traffic() == before

        with hdfs_native.Client(far.uri, config=far.client_settings).read("/file") as file:
            assert file.read() == content
        after_native = far.wan.traffic()
        assert after_native.since(before).received_bytes >= MEBIBYTE

        address = f"{far.webhdfs}/webhdfs/v1/file"
        answer = httpx.get(address, params={"op": "OPEN"}, follow_redirects=True)
        assert answer.content == content
        assert far.wan.traffic().since(after_native).received_bytes >= MEBIBYTE

        configured = hdfs_native.Client(far.uri, config_dir=str(far.conf_dir))
        with configured.read("/file") as file:
            assert file.read() == content

    assert processes_below(tmp_path) == []


# The other servers


def test_seaweed_keeps_files_over_its_death_and_leaves_no_process(tmp_path: Path) -> None:
    with Seaweed(tmp_path) as store:
        client = store.client()
        bucket = store.make_bucket()
        client.put_object(Bucket=bucket, Key="kept", Body=b"hello")
        store.kill()
        store.start()
        assert client.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"hello"
        client.close()

    assert processes_below(tmp_path) == []


def test_seaweed_refuses_a_wrong_secret(seaweed: Seaweed, bucket: str) -> None:
    stranger = boto3.client(
        "s3",
        endpoint_url=seaweed.endpoint,
        region_name=seaweed.region,
        aws_access_key_id=seaweed.access_key,
        aws_secret_access_key="guessed",
    )
    with pytest.raises(stranger.exceptions.ClientError, match="SignatureDoesNotMatch"):
        stranger.list_objects_v2(Bucket=bucket)
    stranger.close()


def test_postgres_starts_again_after_its_death_and_leaves_no_process(tmp_path: Path) -> None:
    with Postgres(tmp_path) as server:
        name = server.make_database()
        server.kill()
        server.start()
        with psycopg.connect(server.dsn_of(name)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    assert processes_below(tmp_path) == []


def test_a_frozen_postgres_hangs_its_open_sessions_too(tmp_path: Path) -> None:
    with Postgres(tmp_path) as server, psycopg.connect(server.dsn_of("postgres")) as connection:
        answered = threading.Event()
        server.freeze()

        def ask() -> None:
            connection.execute("SELECT 1")
            answered.set()

        asking = threading.Thread(target=ask)
        asking.start()
        assert not answered.wait(0.3)
        server.thaw()
        assert answered.wait(20)
        asking.join()


async def test_a_fresh_database_answers_sqlalchemy(tmp_path: Path) -> None:
    with Postgres(tmp_path) as server:
        engine = create_async_engine(server.url_of(server.make_database()))
        async with engine.connect() as connection:
            tables = await connection.scalar(
                text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            )
        await engine.dispose()
    assert tables == 0


def test_nginx_serves_what_its_snippet_says_and_leaves_no_process(tmp_path: Path) -> None:
    with Nginx(tmp_path / "nginx", 'location = /hello { return 200 "hi"; }') as server:
        assert httpx.get(f"{server.address}/hello").text == "hi"

    assert processes_below(tmp_path) == []


def test_rclone_serves_a_folder_as_s3_and_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "files" / "bucket").mkdir(parents=True)
    (tmp_path / "files" / "bucket" / "file").write_bytes(b"hello")
    with serve_s3(tmp_path / "rclone", tmp_path / "files") as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )
        assert client.get_object(Bucket="bucket", Key="file")["Body"].read() == b"hello"
        client.close()

    assert processes_below(tmp_path) == []


# The WAN


class Echo(socketserver.StreamRequestHandler):
    """Says back what it hears, and ends when the other side has ended."""

    def handle(self) -> None:
        while heard := self.request.recv(1 << 16):
            self.request.sendall(heard)


class Deaf(socketserver.StreamRequestHandler):
    """Takes connections and never reads from them."""

    def handle(self) -> None:
        self.server.released.wait()  # type: ignore[attr-defined]


class Servers(socketserver.ThreadingTCPServer):
    """A server in threads, with an event that lets its handlers go."""

    daemon_threads = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.released = threading.Event()


@contextmanager
def server(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    with Servers(handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{serving.server_address[1]}"
        finally:
            serving.released.set()
            serving.shutdown()
            thread.join()


@contextmanager
def a_wan(directory: Path, to: str, options: WanOptions) -> Iterator[tuple[Wan, tuple[str, int]]]:
    port = free_port()
    with Wan(directory, [Route(f"127.0.0.3:{port}", to)], options) as wan:
        yield wan, ("127.0.0.3", port)


def exchange(address: tuple[str, int], content: bytes) -> bytes:
    """Send all, say that this was all, and give what comes back until the other side ends."""
    with socket.create_connection(address, timeout=60) as line:

        def send() -> None:
            line.sendall(content)
            line.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        heard = bytearray()
        while part := line.recv(1 << 16):
            heard += part
        sending.join()
    return bytes(heard)


def test_a_round_trip_over_the_wan_takes_its_time(tmp_path: Path) -> None:
    options = WanOptions(timedelta(milliseconds=30), megabits=None)
    with (
        server(Echo) as echo,
        a_wan(tmp_path, echo, options) as (_, address),
        socket.create_connection(address, timeout=20) as line,
    ):
        line.sendall(b"?")
        line.recv(1)
        trips = []
        for _ in range(5):
            began = time.monotonic()
            line.sendall(b"?")
            assert line.recv(1) == b"?"
            trips.append(time.monotonic() - began)

    assert min(trips) >= 0.025
    assert processes_below(tmp_path) == []


def test_the_wan_carries_no_more_than_its_bandwidth(tmp_path: Path) -> None:
    content = os.urandom(4 * MEBIBYTE)
    options = WanOptions(timedelta(0), megabits=80)
    with server(Echo) as echo, a_wan(tmp_path, echo, options) as (wan, address):
        began = time.monotonic()
        assert exchange(address, content) == content
        assert time.monotonic() - began >= 0.35

        traffic = wan.traffic()
        assert (traffic.sent_bytes, traffic.received_bytes) == (len(content), len(content))


def test_connections_share_the_bandwidth_of_the_wan(tmp_path: Path) -> None:
    content = os.urandom(MEBIBYTE)
    options = WanOptions(timedelta(0), megabits=80)
    with server(Echo) as echo, a_wan(tmp_path, echo, options) as (wan, address):
        began = time.monotonic()
        threads = [threading.Thread(target=exchange, args=(address, content)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began >= 0.35
        assert wan.traffic().connections == 4
        assert wan.traffic().received_bytes == 4 * len(content)


def test_one_side_may_end_while_the_other_goes_on(tmp_path: Path) -> None:
    # Whoever echoes only after the end needs the end to arrive while its own way stays open.
    class Late(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            heard = self.rfile.read()
            self.request.sendall(heard[::-1])

    with server(Late) as late, a_wan(tmp_path, late, WanOptions()) as (_, address):
        assert exchange(address, b"abc") == b"cba"


def test_a_receiver_that_does_not_read_holds_its_sender_back(tmp_path: Path) -> None:
    options = WanOptions(timedelta(milliseconds=2), megabits=None)
    with (
        server(Deaf) as deaf,
        a_wan(tmp_path, deaf, options) as (wan, address),
        socket.create_connection(address, timeout=1) as line,
    ):
        with pytest.raises(TimeoutError):
            line.sendall(bytes(256 * MEBIBYTE))
        assert wan.traffic().sent_bytes < 64 * MEBIBYTE


def test_a_wan_that_stops_breaks_its_connections_and_may_start_again(tmp_path: Path) -> None:
    with server(Echo) as echo, a_wan(tmp_path, echo, WanOptions()) as (wan, address):
        with socket.create_connection(address, timeout=20) as line:
            line.sendall(b"?")
            assert line.recv(1) == b"?"
            wan.stop()
            assert not _answers(line)
        wan.start()
        assert exchange(address, b"again") == b"again"


def test_nobody_behind_the_wan_means_a_broken_connection(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with (
        a_wan(tmp_path, nobody, WanOptions()) as (_, address),
        socket.create_connection(address, timeout=20) as line,
    ):
        assert not _answers(line)


# TPC-DS


@pytest.mark.slow
def test_all_tables_of_tpcds_go_into_hdfs_and_into_a_bucket(
    hdfs: Hdfs, hdfs_directory: str, seaweed: Seaweed, bucket: str
) -> None:
    tables = table_files(tpcds_tables(0.01))
    assert len({table.table for table in tables}) == 24
    told: list[str] = []

    with hdfs.files() as files:
        put_into_hdfs(files, tables, hdfs_directory, lambda table: told.append(table.name))
        sales = files.ask("GET", f"{hdfs_directory}/store_sales", "LISTSTATUS")
        item = files.get(f"{hdfs_directory}/item/item.parquet")
    put_into_bucket(seaweed, bucket, tables)
    client = seaweed.client()
    listed = client.list_objects_v2(Bucket=bucket, Prefix="tpcds/")["Contents"]
    client.close()

    assert told == [table.name for table in tables]
    assert len(sales["FileStatuses"]["FileStatus"]) == 4
    assert item == next(table for table in tables if table.table == "item").source.read_bytes()
    assert {entry["Key"]: entry["Size"] for entry in listed} == {
        f"tpcds/{table.name}": table.source.stat().st_size for table in tables
    }


# Preparing, and the rule about skips


def test_preparing_says_what_it_found_and_refuses_what_it_does_not_know() -> None:
    known = _python("-m", "testbed.prepare", "test")
    unknown = _python("-m", "testbed.prepare", "everything")

    assert known.returncode == 0
    assert "SeaweedFS: " in known.stdout
    assert unknown.returncode == 2


def test_preparing_fails_where_something_is_missing(tmp_path: Path) -> None:
    # A search path without anything, and nowhere to install from.
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path), "JAVA_HOME": str(tmp_path)}
    prepared = _python("-m", "testbed.prepare", "hdfs", environment=bare)

    assert prepared.returncode == 1
    assert "Java: MISSING: " in prepared.stdout
    assert "default-jre-headless" in prepared.stdout


@pytest.mark.parametrize(("rule", "code"), [("1", 1), ("", 0)])
def test_a_skip_is_a_failure_where_the_environment_says_so(
    tmp_path: Path, rule: str, code: int
) -> None:
    left_out = "import pytest\n@pytest.mark.skip\ndef test_left_out(): pass\n"
    (tmp_path / "test_some.py").write_text(f"{left_out}def test_run(): pass\n")
    ran = _python(
        *("-m", "pytest", "-p", "testbed.no_skips", "-c", "/dev/null", "-p", "no:cacheprovider"),
        str(tmp_path),
        environment={**os.environ, "FOREBAY_NO_SKIPS": rule},
    )

    assert ran.returncode == code
    assert ("test_some.py::test_left_out" in ran.stdout) == (code == 1)


def _answers(line: socket.socket) -> bool:
    try:
        return line.recv(1) != b""
    except ConnectionError:
        return False


def _python(
    *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
