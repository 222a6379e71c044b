"""Audited verbs: what is done through the admin door is written down, with its result."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from starlette.requests import Request

from forebay.doors.admin.services import AdminServices
from forebay.metrics.audit_log import AuditRecord
from forebay.model.errors import ForebayError
from forebay.model.grants import Caller


def caller_of(request: Request) -> Caller:
    """The caller, as the door has let them in."""
    caller: Caller = request.state.caller
    return caller


def services_of(request: Request) -> AdminServices:
    """What the door was handed."""
    services: AdminServices = request.app.state.services
    return services


@asynccontextmanager
async def audited(
    request: Request, what: str, target: str, facts: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Write down the change that happens inside, and whether it came about."""
    result = "cancelled"
    try:
        yield
        result = "ok"
    except ForebayError as error:
        result = error.code
        raise
    finally:
        await note(request, what, target, result, facts)


async def note(
    request: Request, what: str, target: str, result: str, facts: Mapping[str, str] | None = None
) -> None:
    """Write one line into the audit log."""
    peer = request.client
    caller = getattr(request.state, "caller", None)
    await services_of(request).audit.note(
        AuditRecord(
            at=datetime.now(UTC),
            who="-" if caller is None else caller.key_id,
            what=what,
            target=target,
            origin="admin" if peer is None else f"admin {peer.host}:{peer.port}",
            result=result,
            request_id=request.state.request_id,
            facts={} if facts is None else facts,
        )
    )
