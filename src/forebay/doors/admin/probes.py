"""Probes: whether the node lives, whether it can serve, and its numbers. No key is asked for."""

from fastapi import APIRouter, Request, Response

from forebay.doors.admin.audited import services_of

router = APIRouter(tags=["probes"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request, response: Response) -> dict[str, str]:
    """Reads can be served; 503 until then."""
    if services_of(request).is_ready():
        return {"status": "ready"}
    response.status_code = 503
    return {"status": "starting"}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """All numbers, in Prometheus's text format."""
    text = services_of(request).exposition.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
