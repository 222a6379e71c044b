"""PostgreSQL: the real server, with a database for whoever asks."""

import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
import uuid
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from testbed.apt import install_package
from testbed.ports import free_port
from testbed.process import ComponentMissing, Process, Program, ServiceFailed

LOOPBACK = "127.0.0.1"
OWNER = "testbed"
PACKAGE = "postgresql"
START_SECONDS = 60.0

# Where the server may run when root starts it, in order of preference: it refuses root.
ACCOUNTS = ("postgres", "nobody")

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Lost processes are tested, not lost machines.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def binaries() -> Path | None:
    """The directory with `initdb` and `postgres`: Debian's newest, or the search path's."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda found: int(found.parts[-3]) if found.parts[-3].isdigit() else 0,
    )
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def install() -> Path:
    """Have the server's binaries: found, or installed as root from Debian's packages."""
    found = binaries()
    if found is None and install_package(PACKAGE):
        found = binaries()
    if found is None:
        message = f"PostgreSQL is missing: install Debian's package `{PACKAGE}` (as root)"
        raise ComponentMissing(message)
    return found


class Postgres:
    """A server under `directory`, running from entering until leaving the context."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.port = free_port()
        self.password = secrets.token_hex(12)
        self._account = _account()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The address of the first database, for SQLAlchemy with asyncpg."""
        return self.url_of("postgres")

    @property
    def process(self) -> Process:
        """The running server."""
        if self._process is None:
            message = "PostgreSQL is not running"
            raise ServiceFailed(message)
        return self._process

    def url_of(self, database: str) -> str:
        """The address of a database, for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://{self._place(database)}"

    def dsn_of(self, database: str) -> str:
        """The address of a database as PostgreSQL's own clients write it."""
        return f"postgresql://{self._place(database)}"

    def make_database(self) -> str:
        """Make a database with a fresh name; its name."""
        name = f"database_{uuid.uuid4().hex[:12]}"
        self._command(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, with whoever is still connected to it."""
        self._command(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not (self.directory / "data" / "PG_VERSION").is_file():
            self._initialise()
        command: list[str | Path] = [install() / "postgres", "-D", self.directory / "data"]
        for name, value in {**SETTINGS, "port": str(self.port)}.items():
            command += ["-c", f"{name}={value}"]
        program = Program(
            "postgres",
            command,
            self.directory,
            user=self._account,
            # "Fast": end the sessions rather than wait for them.
            stop_signal=Signals.SIGINT,
            orphan_signal=Signals.SIGQUIT,
        )
        self._process = Process(program)
        try:
            self.process.wait_until(self._is_up, seconds=START_SECONDS, what="answering")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait until it is gone."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """`kill -9` the server with all its sessions."""
        self.process.kill()
        self._process = None

    def freeze(self) -> None:
        """Let the server hang, sessions too."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.process.thaw()

    def _place(self, database: str) -> str:
        return f"{OWNER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def _is_up(self) -> bool:
        try:
            with psycopg.connect(self.dsn_of("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _command(self, command: sql.Composed) -> None:
        with psycopg.connect(self.dsn_of("postgres"), autocommit=True) as connection:
            connection.execute(command)

    def _initialise(self) -> None:
        tools = install()
        if self._account is not None:
            _open_for(self._account, self.directory)
        password = self.directory / "password"
        password.write_text(self.password)
        if self._account is not None:
            shutil.chown(password, self._account)
        command = [
            str(tools / "initdb"),
            f"--pgdata={self.directory / 'data'}",
            f"--username={OWNER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        finished = subprocess.run(
            command,
            user=self._account,
            group=_group(self._account),
            extra_groups=None if self._account is None else [],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        password.unlink()
        if finished.returncode != 0:
            message = f"initdb failed:\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}"
            raise ServiceFailed(message)

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


def _account() -> str | None:
    """The user to run as: None for who we are, unless we are root."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in ACCOUNTS if name in known)


def _group(account: str | None) -> int | None:
    return None if account is None else pwd.getpwnam(account).pw_gid


def _open_for(account: str, directory: Path) -> None:
    """Give `directory` to `account`, which must be able to reach it.

    Temporary directories, closed to others, are opened for passing through; nothing else is.
    """
    shutil.chown(directory, account)
    temporary = Path(tempfile.gettempdir()).resolve()
    for above in directory.parents:
        if above.stat().st_mode & stat.S_IXOTH:
            continue
        if not above.is_relative_to(temporary):
            message = f"PostgreSQL runs as {account}, who may not pass through {above}"
            raise ServiceFailed(message)
        above.chmod(above.stat().st_mode | stat.S_IXOTH)
