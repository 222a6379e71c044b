"""The node over the admin API: its facts, its reports, its settings."""

from typing import Any

from fastapi import APIRouter, Request

from forebay.doors.admin.audited import services_of

router = APIRouter(prefix="/v1", tags=["node"])


@router.get("/node")
async def node(request: Request) -> dict[str, Any]:
    """Which node this is, and where its doors are."""
    return dict(services_of(request).node())


@router.get("/report/{section}")
async def report(request: Request, section: str) -> dict[str, Any]:
    """One section of the report: summary, capacity, ufs, metrics or jobs."""
    return services_of(request).reports.section(section).described()


@router.get("/why")
async def why(request: Request, subject: str) -> dict[str, Any]:
    """What is known of a lake path, or of a request by its id."""
    return (await services_of(request).reports.why(subject)).described()


@router.get("/doctor")
async def doctor(request: Request) -> dict[str, Any]:
    """What is well, what is not, and what to do."""
    findings = await services_of(request).reports.doctor()
    return {"findings": [finding.described() for finding in findings]}


@router.get("/configuration")
async def configuration(request: Request) -> dict[str, Any]:
    """The settings that the node runs with; secrets are masked."""
    return {"settings": [dict(setting) for setting in services_of(request).settings()]}
