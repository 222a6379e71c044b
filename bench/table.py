"""The table of targets: what was wanted, what was measured, met or not."""

from collections.abc import Sequence

from bench.outcome import Outcome, Target, shown


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, str, str, str, str]]:
    """A row for each target: name, wanted, measured, spread, met."""
    return [_row(target) for outcome in outcomes for target in outcome.targets]


def _row(target: Target) -> tuple[str, str, str, str, str]:
    figure = target.figure
    spread = f"{shown(figure.low)} to {shown(figure.high)}"
    measured = f"{shown(figure.median)} {figure.unit}".rstrip()
    return target.name, target.wanted, measured, spread, "met" if target.is_met else "NOT MET"


HEAD = ("target", "wanted", "measured", "spread", "")


def as_text(outcomes: Sequence[Outcome]) -> str:
    """The table for a terminal."""
    lines = [HEAD, *rows(outcomes)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
