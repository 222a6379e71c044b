"""The start: how soon a node answers, how soon the client is imported, what an idle node takes."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from bench import cpu
from bench.node import Node
from bench.outcome import Outcome

ABOUT = "`forebay up` until its doors answer, on a new and on a known data directory; idle memory."
ROUNDS: Final = 5
SETTLE_SECONDS: Final = 2.0
IMPORT: Final = (
    "import time; begin = time.perf_counter(); import {module}; "
    "print((time.perf_counter() - begin) * 1e3)"
)


def start(work: Path, *, quick: bool) -> Outcome:
    """Run the scenario below `work`."""
    outcome = Outcome("start", ABOUT)
    new: list[float] = []
    known: list[float] = []
    idle: list[float] = []
    for number in range(1 if quick else ROUNDS):
        node = Node(work / str(number))
        for times in (new, known):
            with node:
                times.append(node.started_in)
                if times is known:
                    time.sleep(SETTLE_SECONDS)
                    idle.append(cpu.memory(node.pid)["VmRSS"] / (1 << 20))
    outcome.add("`forebay up`, new data directory", "s", new)
    outcome.at_most("`forebay up` until it answers", 1.5, outcome.add("`forebay up`", "s", known))
    rounds = 1 if quick else 2 * ROUNDS
    imports = [import_ms("forebay.client.filesystem") for _ in range(rounds)]
    figure = outcome.add("import of the client, with fsspec", "ms", imports)
    outcome.at_most("import of the client", 150, figure)
    outcome.add("import of fsspec alone", "ms", [import_ms("fsspec") for _ in range(rounds)])
    figure = outcome.add("an idle node: resident memory", "MiB", idle)
    outcome.at_most("idle node", 150, figure)
    return outcome


def import_ms(module: str) -> float:
    """What importing takes in a process that has imported nothing, its bytecode at hand."""
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
