"""The command line: `forebay <command>`."""

from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer

from forebay.cli import configuration, doctor, fs, keys, node, report, sql
from forebay.cli.options import Invocation
from forebay.cli.screen import guarded, said

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One namespace over your data lake, with a verified cache beside the compute.",
    epilog="Begin with:  forebay up  |  forebay fs mount /onprem hdfs://namenode:8020/  |  "
    "forebay fs ls /onprem",
)
app.add_typer(fs.app, name="fs")
app.add_typer(keys.app, name="keys")
app.add_typer(configuration.app, name="config")
app.add_typer(report.app, name="fsadmin")
app.command()(node.up)
app.command()(node.status)
app.command()(node.down)
app.command()(doctor.doctor)
app.command()(sql.sql)
app.command()(report.why)


def _version(asked: bool) -> None:
    if asked:
        said(version_of("forebay"))
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="The configuration file.", envvar="FOREBAY_CONFIG"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="The node's data directory.", envvar="FOREBAY_DATA"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One namespace over your data lake, with a verified cache beside the compute."""
    del version  # its callback has answered
    context.obj = Invocation(config, data)


def run() -> None:
    """Run the command line of this process."""
    guarded(app)
