"""The page docs/benchmarks.md, written from the JSON of the last run of each scenario."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.outcome import shown

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

INTRODUCTION = Path(__file__).with_name("introduction.md")


def write_page(out: Path) -> None:
    """Write the page from the files in `out`."""
    found = [json.loads(file.read_text()) for file in sorted(out.glob("*.json"))]
    PAGE.write_text("\n".join(line.rstrip() for line in lines(found)) + "\n")


def lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of the page."""
    yield from (INTRODUCTION.read_text().rstrip(), "")

    yield "## Targets"
    yield ""
    yield from table(
        ("target", "wanted", "measured", "lowest to highest", "met"),
        (_target(target) for scenario in found for target in scenario["targets"]),
    )
    yield ""
    yield "## Figures"
    for scenario in found:
        yield ""
        yield f"### {scenario['scenario']}"
        yield ""
        yield scenario["about"]
        yield from ("", *scenario["notes"]) if scenario["notes"] else ()
        yield ""
        yield f"Measured {scenario['at'][:10]} on {_machine(scenario)}."
        yield ""
        yield from table(
            ("figure", "median", "lowest", "highest", "rounds"),
            (_figure(name, figure) for name, figure in scenario["figures"].items()),
        )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown."""
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def _target(target: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        target["name"],
        target["wanted"],
        f"{shown(target['measured'])} {target['unit']}".rstrip(),
        f"{shown(target['low'])} to {shown(target['high'])}",
        "yes" if target["met"] else "**no**",
    )


def _figure(name: str, figure: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        name,
        f"{shown(figure['median'])} {figure['unit']}".rstrip(),
        shown(figure["low"]),
        shown(figure["high"]),
        str(len(figure["rounds"])),
    )


def _machine(scenario: Mapping[str, Any]) -> str:
    changed = ", with changes" if scenario["changed"] else ""
    return (
        f"{scenario['cores']} cores of {scenario['processor']}, {scenario['memory_gib']} GiB, "
        f"Linux {scenario['kernel'].partition('-')[0]}, Python {scenario['python']}; "
        f"commit {scenario['commit']}{changed}"
    )
