"""The processor time of processes, and the cores they may use."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# The clock of a process counts all its threads, also those that have ended.
_SCHEDULED = 2


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def seconds(pids: Iterable[int]) -> float:
    """The processor time that the processes have taken, in user and kernel mode."""
    return sum(time.clock_gettime((~pid << 3) | _SCHEDULED) for pid in pids)


def cores() -> tuple[set[int], set[int]]:
    """The core for the server, and those for the load; the same if this machine has only one."""
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, set(usable[1:]) or {usable[0]}


def pin(pids: Iterable[int], allowed: set[int]) -> None:
    """Let the processes, with all their threads, run on these cores only."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), allowed)


def memory(pid: int) -> dict[str, int]:
    """The bytes of memory of a process (0: this one), by the kernel's names, such as RssAnon."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid or 'self'}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            sizes[name] = int(words[0]) << 10
    return sizes
