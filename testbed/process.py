"""A server process: started, awaited, frozen, killed and stopped by its own process id."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

TETHER = Path(__file__).with_name("tether.py")
LOG_TAIL_LINES = 40
POLL_SECONDS = 0.05


class ServiceFailed(Exception):
    """A server did not start, died, or did not do in time what was asked of it."""


class ComponentMissing(Exception):
    """Something that has to be installed is not; the message says what and how."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: the command, its surroundings, and how it is told to end."""

    name: str
    command: Sequence[str | Path]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: Signals = Signals.SIGTERM
    orphan_signal: Signals = Signals.SIGKILL

    @property
    def log(self) -> Path:
        """Where the program's output goes."""
        return self.directory / f"{self.name}.log"


class Process:
    """One running program; it ends when stopped, or when the thread that started it ends.

    Start servers from a thread that outlives them: the kernel counts the starting *thread*
    as the parent.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._group_gone = False
        program.directory.mkdir(parents=True, exist_ok=True)
        with program.log.open("ab") as log:
            self._running = subprocess.Popen(
                [*_tether(program), *program.command],
                cwd=program.directory,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C in the terminal is for the one that started it.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._running.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Ask `ready` until it says yes.

        Raises ServiceFailed, with the end of the server's log, when the process dies or
        `seconds` have passed.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                reason = f"ended with status {self._running.returncode} before {what}"
                raise ServiceFailed(self._story(reason))
            if time.monotonic() > deadline:
                raise ServiceFailed(self._story(f"not {what} within {seconds:g} s"))
            time.sleep(POLL_SECONDS)

    def freeze(self) -> None:
        """Stop it where it stands: connections stay open and nothing answers."""
        self._signal_all(Signals.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal_all(Signals.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait until it is gone."""
        self._signal_all(Signals.SIGKILL)
        self._running.wait()
        self._group_gone = True

    def stop(self, patience: float = 10.0) -> None:
        """Ask it to end, insist after `patience` seconds, and wait until it is gone."""
        if self.alive:
            # A frozen process would not hear the request.
            self.thaw()
            self._running.send_signal(self.program.stop_signal)
            try:
                self._running.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()
        # Children of a server that itself ended badly.
        self._signal_group(Signals.SIGKILL)
        self._group_gone = True

    def _signal_all(self, number: Signals) -> None:
        """Signal the group and those children that left it, as PostgreSQL's do."""
        # Held still first, so that no child is born, or orphaned, while they are counted.
        self._signal_group(Signals.SIGSTOP)
        for child in _descendants(self.pid):
            with suppress(ProcessLookupError):
                os.kill(child, number)
        self._signal_group(number)

    def _signal_group(self, number: Signals) -> None:
        if self._group_gone:
            # The number may belong to a stranger by now.
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def _story(self, reason: str) -> str:
        log = self.program.log
        lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"{self.program.name}: {reason}; the end of {log}:", *lines])


def _descendants(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(word) for word in text.split()]
    return children + [below for child in children for below in _descendants(child)]


def _tether(program: Program) -> list[str]:
    user, group = -1, -1
    if program.user is not None:
        account = pwd.getpwnam(program.user)
        user, group = account.pw_uid, account.pw_gid
    numbers = [os.getpid(), int(program.orphan_signal), user, group]
    return [sys.executable, "-I", "-S", str(TETHER), *map(str, numbers)]
