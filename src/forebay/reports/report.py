"""A report: a title, facts and tables, each with its value and how a person reads it.

The CLI draws it, the admin door returns it as JSON; neither has logic of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One named value."""

    name: str
    value: Value
    shown: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: the values, and what a person reads."""

    values: tuple[Value, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Columns whose name ends with '>' hold numbers, aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What one section has to say."""

    title: str
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()

    def described(self) -> dict[str, Any]:
        """It as plain values, for JSON."""
        return {
            "title": self.title,
            "facts": [
                {"name": fact.name, "value": fact.value, "shown": fact.shown} for fact in self.facts
            ],
            "tables": [
                {
                    "title": table.title,
                    "columns": list(table.columns),
                    "rows": [
                        {"values": list(row.values), "shown": list(row.shown)} for row in table.rows
                    ],
                }
                for table in self.tables
            ],
        }


def fact(name: str, value: Value, shown: str | None = None) -> Fact:
    """A fact; without `shown` a person reads the value itself."""
    return Fact(name, value, ("-" if value is None else str(value)) if shown is None else shown)


def row(*cells: Value | tuple[Value, str]) -> Row:
    """A row; a cell is a value, or a value and what a person reads."""
    pairs: Sequence[tuple[Value, str]] = [
        cell if isinstance(cell, tuple) else (cell, "-" if cell is None else str(cell))
        for cell in cells
    ]
    return Row(tuple(value for value, _ in pairs), tuple(shown for _, shown in pairs))
