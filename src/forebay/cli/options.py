"""What every command may be given: which node, which configuration."""

from dataclasses import dataclass
from pathlib import Path

import typer

from forebay.cli.connection import Node
from forebay.config.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Invocation:
    """The options before the command."""

    config: Path | None
    data: Path | None

    def settings(self) -> Settings:
        """The settings in force, from file and environment."""
        return load_settings(self.config, data=self.data)

    def node(self) -> Node:
        """The node of the data directory in force."""
        return Node(self.settings().data)


def invocation(context: typer.Context) -> Invocation:
    """The invocation that the command belongs to."""
    given = context.find_root().obj
    if not isinstance(given, Invocation):
        raise TypeError("the root command did not run")
    return given
