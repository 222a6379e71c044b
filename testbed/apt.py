"""Debian's packages: installed where we are root and Debian's tools are there."""

import os
import shutil
import subprocess


def install_package(package: str) -> bool:
    """Install a Debian package; False where this machine or this user cannot."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    surroundings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", package]
    for command in (install, ["apt-get", "update"], install):
        # The list of packages may be old or empty: after a failure, update it and try again.
        finished = subprocess.run(command, env=surroundings, capture_output=True, check=False)
        if command is install and finished.returncode == 0:
            return True
    return False
