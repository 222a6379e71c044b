"""`python -m bench`: runs the scenarios, prints the table of targets, writes JSON to bench/out/."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.cold_read import cold_read
from bench.hot_get import hot_get
from bench.index_memory import index_memory
from bench.listing import listing
from bench.load import OUT
from bench.machine import machine
from bench.outcome import Outcome
from bench.page import write_page
from bench.projection import projection
from bench.short_circuit import short_circuit
from bench.start import start
from bench.table import as_text

SCENARIOS: Final[Mapping[str, Callable[..., Outcome]]] = {
    "hot_get": hot_get,
    "cold_read": cold_read,
    "short_circuit": short_circuit,
    "projection": projection,
    "listing": listing,
    "index_memory": index_memory,
    "start": start,
}


def main(words: Sequence[str]) -> int:
    """Run what is asked for; 0 when all of it ran, whether the targets are met or not."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help="default: all")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--write-docs", action="store_true", help="rewrite docs/benchmarks.md")
    given = parser.parse_args(words)
    OUT.mkdir(exist_ok=True)
    # Asked to end, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    about: dict[str, Any] = {**machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    outcomes = []
    for name in given.scenario or SCENARIOS:
        begin = time.monotonic()
        outcome = run(name, quick=given.quick)
        write_json(outcome, about)
        outcomes.append(outcome)
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    print()
    print(as_text(outcomes))
    if given.write_docs:
        write_page(OUT)
    return 0


def run(name: str, *, quick: bool) -> Outcome:
    """Run one scenario in a directory of its own, which is gone afterwards."""
    work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=OUT))
    work.chmod(0o755)  # nginx's worker is another user
    try:
        return SCENARIOS[name](work, quick=quick)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_json(outcome: Outcome, about: Mapping[str, Any]) -> None:
    """Write the outcome to a file of its own, which the next run replaces."""
    place = OUT / f"{outcome.scenario}.json"
    place.write_text(json.dumps({**about, **outcome.as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
