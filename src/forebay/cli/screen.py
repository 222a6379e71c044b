"""The screen: tables, JSON, progress and errors, the same way in every command."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from forebay.model.errors import ForebayError

if TYPE_CHECKING:
    from rich.progress import Progress

UNFOLDED: Final = 10_000
"""Columns of a terminal that is none: what a program reads is not folded."""


def _console(*, is_terminal: bool, stderr: bool = False) -> Console:
    width = None if is_terminal else UNFOLDED
    return Console(stderr=stderr, highlight=False, width=width)


OUT: Final = _console(is_terminal=sys.stdout.isatty())
ERR: Final = _console(is_terminal=sys.stderr.isatty(), stderr=True)

JSON = typer.Option("--json", help="Print JSON instead of a table.")


def as_json(value: Any) -> None:  # noqa: ANN401 - whatever a command has to show
    """Print `value` as JSON, one document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print a table; columns whose name ends with '>' are aligned to the right."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.endswith(">")
        drawn.add_column(
            column.removesuffix(">"), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        drawn.add_row(*(_plain(cell) for cell in row))
    OUT.print(drawn)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line."""
    drawn = Table(show_header=False, box=None, pad_edge=False)
    drawn.add_column(style="bold")
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        drawn.add_row(name, _plain("-" if value is None else str(value)))
    OUT.print(drawn)


def said(sentence: str) -> None:
    """Print one plain line."""
    OUT.print(_plain(sentence), soft_wrap=True)


def warned(sentence: str) -> None:
    """Print one line beside the output."""
    ERR.print(f"[yellow]note:[/] {_plain(sentence)}", soft_wrap=True)


def failed(error: ForebayError, *, in_json: bool) -> None:
    """Print an error: what happened, its code, what to do."""
    if in_json:
        as_json({"error": dict(error.facts())})
        return
    ERR.print(f"[bold red]error[/] ({error.code}): {_plain(str(error))}", soft_wrap=True)
    ERR.print(f"  {_plain(error.advice)}", soft_wrap=True)


def progress() -> "Progress":
    """A progress bar with bytes, rate and time left; silent where nobody watches."""
    from rich.progress import (  # noqa: PLC0415 - only long work shows one
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=ERR,
        disable=not ERR.is_terminal,
        transient=True,
    )


def guarded(command: Callable[[], None]) -> None:
    """Run the command line; an error of ours ends it with 1 and a sentence, never a traceback."""
    try:
        command()
    except ForebayError as error:
        failed(error, in_json="--json" in sys.argv)
        raise SystemExit(1) from None
    except BrokenPipeError:
        # The reader (`| head`) has had enough: no error, and nothing more may be written.
        sys.stderr.close()
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        ERR.print("stopped")
        raise SystemExit(130) from None


def _plain(text: str) -> str:
    # Names from a store must not speak rich's markup, nor to the terminal.
    shown = (
        text
        if text.isprintable()
        else "".join(
            letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1]
            for letter in text
        )
    )
    return shown.replace("[", "\\[")
