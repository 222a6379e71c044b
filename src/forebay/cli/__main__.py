"""`python -m forebay.cli`: the command line without its script."""

from forebay.cli.main import run

run()
