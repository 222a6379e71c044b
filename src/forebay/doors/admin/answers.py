"""Answers of the admin door: errors as JSON with the HTTP status that fits."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from forebay.model.errors import (
    AccessDenied,
    BadInput,
    BadKey,
    ConditionFailed,
    FileMissing,
    FileTrouble,
    ForebayError,
    GenerationGone,
    HostTrouble,
    KeyUnknown,
    MountExists,
    MountMissing,
    Refused,
    StoreBusy,
    StoreTrouble,
    Unsupported,
)

# The first kind that fits decides, so the narrow ones stand first.
_STATUS: Final[tuple[tuple[type[ForebayError], int], ...]] = (
    (KeyUnknown, 401),
    (AccessDenied, 403),
    (Refused, 403),
    (FileMissing, 404),
    (MountMissing, 404),
    (BadKey, 404),
    (MountExists, 409),
    (ConditionFailed, 412),
    (GenerationGone, 412),
    (Unsupported, 501),
    (FileTrouble, 409),
    (BadInput, 400),
    (StoreBusy, 503),
    (StoreTrouble, 502),
    (HostTrouble, 503),
    (ForebayError, 500),
)


def status_of(error: ForebayError) -> int:
    """The HTTP status of an error."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


async def told(_request: Request, error: Exception) -> JSONResponse:
    """The answer that tells the error."""
    if not isinstance(error, ForebayError):
        error = ForebayError("admin", "an error without a name; the node's log has it")
    headers = {"www-authenticate": 'Basic realm="forebay"'} if status_of(error) == 401 else {}  # noqa: PLR2004
    return JSONResponse({"error": dict(error.facts())}, status_of(error), headers)
