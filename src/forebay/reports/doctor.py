"""Findings: what was looked at, whether it is well, and what to do if not."""

import os
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from forebay.model.amounts import shown_bytes
from forebay.model.errors import ForebayError

Verdict = Literal["good", "doubtful", "wrong"]

CLOCK_MAY_DIFFER: Final = timedelta(minutes=5)
"""Signatures allow fifteen minutes; a third of it is worth a word."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    seen: str
    advice: str = ""

    def described(self) -> dict[str, Any]:
        """It as plain values, for JSON."""
        return {
            "subject": self.subject,
            "verdict": self.verdict,
            "seen": self.seen,
            "advice": self.advice,
        }


def examine_host(data: Path, cache: Path, reserve: int) -> list[Finding]:
    """The directories of this host: there, writable, private, with room."""
    findings = [_directory("data", data), _directory("cache", cache)]
    findings.append(_room(cache, reserve))
    return findings


def examine_port(door: str, host: str, port: int) -> Finding:
    """The port of a door of a node that does not run: whether it could listen there."""
    subject = f"{door} door"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            seen = f"{host}:{port} cannot be listened on: {os.strerror(error.errno or 0).lower()}"
            advice = f"Stop the process that has it, or set another `doors.{door}.port`."
            return Finding(subject, "wrong", seen, advice)
    return Finding(subject, "good", f"{host}:{port} is free" if port else "takes any free port")


def examine_credentials(file: Path) -> Finding:
    """The credentials file: there, and for its owner alone."""
    if not file.exists():
        return Finding("credentials", "doubtful", f"{file} is not there", "`forebay up` makes it.")
    if file.stat().st_mode & 0o077:
        return Finding(
            "credentials", "wrong", f"{file} can be read by other users", f"chmod 600 {file}"
        )
    return Finding("credentials", "good", f"{file} is private")


def examine_store(
    mount: str, outcome: Mapping[str, str] | ForebayError, clock: datetime | None, now: datetime
) -> list[Finding]:
    """One mount: whether its store answers, with what rights, and what time it has."""
    subject = f"mount {mount}"
    if isinstance(outcome, ForebayError):
        return [Finding(subject, "wrong", f"{outcome.code}: {outcome}", outcome.advice)]
    seen = ", ".join(f"{name} {value}" for name, value in outcome.items())
    findings = [Finding(subject, "good", seen or "answers")]
    if clock is not None:
        findings.append(_clock(subject, clock, now))
    return findings


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict of all."""
    verdicts = {finding.verdict for finding in findings}
    if "wrong" in verdicts:
        return "wrong"
    return "doubtful" if "doubtful" in verdicts else "good"


def _clock(subject: str, clock: datetime, now: datetime) -> Finding:
    difference = abs(clock - now)
    seen = f"its clock differs by {difference.total_seconds():.0f} s"
    if difference > CLOCK_MAY_DIFFER:
        return Finding(
            subject, "doubtful", seen, "Set the clocks right (NTP): ages and signatures need it."
        )
    return Finding(subject, "good", seen)


def _directory(name: str, place: Path) -> Finding:
    subject = f"{name} directory"
    if not place.exists():
        return Finding(subject, "doubtful", f"{place} is not there yet", "`forebay up` makes it.")
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding(
            subject, "wrong", f"{place} cannot be written", "Give it to the user of the node."
        )
    if place.stat().st_mode & 0o077:
        return Finding(subject, "doubtful", f"{place} is open to other users", f"chmod 700 {place}")
    return Finding(subject, "good", f"{place} is writable and private")


def _room(cache: Path, reserve: int) -> Finding:
    there = cache
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    seen = f"{shown_bytes(free)} free at {there}"
    if free < reserve:
        return Finding(
            "disk",
            "wrong",
            f"{seen}, less than the reserve of {shown_bytes(reserve)}",
            "Make room, or lower `cache.reserve`: nothing is cached meanwhile, reads go on.",
        )
    return Finding("disk", "good", seen)
