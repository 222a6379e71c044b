"""nginx: the peer that file serving is compared with."""

import shutil
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

from testbed.apt import install_package
from testbed.ports import free_port, is_free
from testbed.process import ComponentMissing, Process, Program, ServiceFailed

LOOPBACK = "127.0.0.1"
PACKAGE = "nginx-light"
START_SECONDS = 20.0

CONFIGURATION = """\
daemon off;
worker_processes {workers};
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    types {{ }}
    default_type application/octet-stream;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {address}:{port} backlog=4096;
{snippet}
    }}
}}
"""


def binary() -> Path | None:
    """The nginx program, if this machine has one."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin")
    found = shutil.which("nginx") if found is None else found
    return Path(found) if found else None


def install() -> Path:
    """Have nginx: found, or installed as root from Debian's packages."""
    found = binary()
    if found is None and install_package(PACKAGE):
        found = binary()
    if found is None:
        message = f"nginx is missing: install Debian's package `{PACKAGE}` (as root)"
        raise ComponentMissing(message)
    return found


class Nginx:
    """A server with `snippet` inside its server block, running while in the context."""

    def __init__(self, directory: Path, snippet: str, workers: int = 1) -> None:
        self.directory = directory.resolve()
        self.snippet = snippet
        self.workers = workers
        self.port = free_port()
        self._process: Process | None = None

    @property
    def address(self) -> str:
        """The address of the server."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def process(self) -> Process:
        """The running master process; the workers are in its group."""
        if self._process is None:
            message = "nginx is not running"
            raise ServiceFailed(message)
        return self._process

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                workers=self.workers,
                directory=self.directory,
                address=LOOPBACK,
                port=self.port,
                snippet=self.snippet,
            )
        )
        # `-e`: the log named in the binary is root's.
        command: list[str | Path] = [install(), "-p", self.directory, "-c", configuration]
        command += ["-e", "stderr"]
        program = Program("nginx", command, self.directory, orphan_signal=Signals.SIGTERM)
        self._process = Process(program)
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
