"""The outcome of a scenario: named figures with their spread, and how they stand to the targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure, taken in several rounds."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.rounds)

    @property
    def low(self) -> float:
        """The lowest round."""
        return min(self.rounds)

    @property
    def high(self) -> float:
        """The highest round."""
        return max(self.rounds)


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that is to be at least, or at most, so much."""

    name: str
    figure: Figure
    bound: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        """Whether the median holds to the bound."""
        measured = self.figure.median
        return measured >= self.bound if self.at_least else measured <= self.bound

    @property
    def wanted(self) -> str:
        """The bound as people write it."""
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {shown(self.bound)} {self.figure.unit}".rstrip()


@dataclass(slots=True)
class Outcome:
    """What a scenario found."""

    scenario: str
    about: str
    figures: list[Figure] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, unit: str, rounds: Sequence[float]) -> Figure:
        """Take a figure in."""
        figure = Figure(name, unit, tuple(rounds))
        self.figures.append(figure)
        return figure

    def at_least(self, name: str, bound: float, figure: Figure) -> None:
        """Hold a figure to a lower bound."""
        self.targets.append(Target(name, figure, bound, at_least=True))

    def at_most(self, name: str, bound: float, figure: Figure) -> None:
        """Hold a figure to an upper bound."""
        self.targets.append(Target(name, figure, bound, at_least=False))

    def as_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {
            "scenario": self.scenario,
            "about": self.about,
            "figures": {figure.name: _figure(figure) for figure in self.figures},
            "targets": [
                {
                    "name": target.name,
                    "wanted": target.wanted,
                    "unit": target.figure.unit,
                    "measured": target.figure.median,
                    "low": target.figure.low,
                    "high": target.figure.high,
                    "met": target.is_met,
                }
                for target in self.targets
            ],
            "notes": self.notes,
        }


def _figure(figure: Figure) -> Mapping[str, Any]:
    return {
        "unit": figure.unit,
        "median": figure.median,
        "low": figure.low,
        "high": figure.high,
        "rounds": figure.rounds,
    }


def ratios(name: str, above: Figure, below: Figure) -> Figure:
    """The ratio of two figures, round by round: what disturbed a round disturbed both."""
    return Figure(name, "", tuple(a / b for a, b in zip(above.rounds, below.rounds, strict=True)))


def shown(value: float) -> str:
    """A number with about three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"
