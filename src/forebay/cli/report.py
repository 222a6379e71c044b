"""`forebay fsadmin` and `forebay why`: what is there, what happens, and why."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from forebay.cli.options import invocation
from forebay.cli.screen import JSON, as_json, facts, said, table

app = typer.Typer(no_args_is_help=True, help="Reports for operators.")
Json = Annotated[bool, JSON]


class Section(StrEnum):
    """A part of the report."""

    SUMMARY = "summary"
    CAPACITY = "capacity"
    UFS = "ufs"
    METRICS = "metrics"
    JOBS = "jobs"


@app.callback()
def fsadmin() -> None:
    """Reports for operators."""


@app.command(epilog="Example:  forebay fsadmin report ufs")
def report(
    context: typer.Context,
    section: Annotated[Section, typer.Argument(help="Which part.")] = Section.SUMMARY,
    json: Json = False,
) -> None:
    """Report on the node: summary, capacity, stores (ufs), metrics, running jobs."""
    answer = invocation(context).node().get(f"/v1/report/{section.value}")
    as_json(answer) if json else show(answer)


def why(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="A lake path, or the id of a request.")],
    json: Json = False,
) -> None:
    """Explain a path (placement, generation, age, cached share, last error) or a request."""
    answer = invocation(context).node().get("/v1/why", subject=subject)
    as_json(answer) if json else show(answer)


def show(answer: Mapping[str, Any]) -> None:
    """Print a report: its title, its facts, its tables."""
    said(str(answer["title"]))
    facts((fact["name"], fact["shown"]) for fact in answer["facts"])
    for drawn in answer["tables"]:
        said("")
        table(drawn["columns"], [row["shown"] for row in drawn["rows"]], drawn["title"])
