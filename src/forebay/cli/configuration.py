"""`forebay config`: the settings in force, and where each comes from."""

from typing import Annotated

import typer

from forebay.cli.options import invocation
from forebay.cli.screen import JSON, as_json, table

app = typer.Typer(no_args_is_help=True, help="Show the configuration.")


@app.callback()
def config() -> None:
    """Show the configuration."""


@app.command(epilog="Example:  forebay config show --effective --origin")
def show(
    context: typer.Context,
    effective: Annotated[
        bool, typer.Option("--effective", help="All settings, not only those that were set.")
    ] = False,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value comes from.")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Show the settings; secrets are masked. No node need run."""
    shown = [
        setting
        for setting in invocation(context).settings().described()
        if effective or setting.origin != "default"
    ]
    if json:
        as_json(
            [
                {"name": s.name, "value": s.shown, **({"origin": s.origin} if origin else {})}
                for s in shown
            ]
        )
        return
    columns = ("setting", "value", "origin") if origin else ("setting", "value")
    table(columns, ((s.name, s.shown, s.origin)[: len(columns)] for s in shown))
