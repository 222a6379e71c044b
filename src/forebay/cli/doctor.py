"""`forebay doctor`: what is wrong, and what to do."""

from pathlib import Path
from typing import Annotated, Any

import typer

from forebay.cli.options import Invocation, invocation
from forebay.cli.screen import JSON, OUT, as_json, said
from forebay.model.errors import NodeAway
from forebay.reports.doctor import (
    Finding,
    examine_credentials,
    examine_host,
    examine_port,
)


def doctor(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Write a support bundle, without secrets.")
    ] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Check stores, credentials, clocks, disk and ports; say what is wrong and what to do.

    Ends with 1 if something is wrong. Works without a running node, with less to see.
    """
    call = invocation(context)
    findings = [finding.described() for finding in _host(call)]
    try:
        findings += call.node().get("/v1/doctor")["findings"]
    except NodeAway as away:
        findings.append(Finding("node", "wrong", str(away), away.advice).described())
        findings += [finding.described() for finding in _ports(call)]
    if bundle is not None:
        from forebay.reports.bundle import write_bundle  # noqa: PLC0415 - seldom wanted

        settings = call.settings()
        write_bundle(bundle, findings, settings.described(), settings.logs.directory)
        said(f"wrote {bundle}")
    as_json(findings) if json else _show(findings)
    if any(finding["verdict"] == "wrong" for finding in findings):
        raise typer.Exit(1)


def _host(call: Invocation) -> list[Finding]:
    settings = call.settings()
    cache = settings.cache
    return [
        *examine_host(settings.data, cache.directory, cache.reserve_bytes),
        examine_credentials(settings.credentials),
    ]


def _ports(call: Invocation) -> list[Finding]:
    doors = call.settings().doors
    return [
        examine_port(name, door.host, door.port)
        for name, door in (("s3", doors.s3), ("admin", doors.admin))
    ]


def _show(findings: list[dict[str, Any]]) -> None:
    marks = {"good": "[green]ok[/]   ", "doubtful": "[yellow]note[/] ", "wrong": "[red]WRONG[/]"}
    for finding in findings:
        subject, seen = (str(finding[k]).replace("[", "\\[") for k in ("subject", "seen"))
        OUT.print(f"{marks[finding['verdict']]} [bold]{subject}[/]: {seen}")
        if finding["verdict"] != "good":
            OUT.print(f"      {str(finding['advice']).replace('[', chr(92) + '[')}")
