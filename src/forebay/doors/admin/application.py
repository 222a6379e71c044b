"""The application of the admin door."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from forebay.doors.admin import files, keys, mounts, node, probes
from forebay.doors.admin.answers import told
from forebay.doors.admin.audited import note
from forebay.doors.admin.services import AdminServices
from forebay.model.errors import BadInput, ForebayError, Refused

OPEN_TO_ALL: Final = frozenset({"/healthz", "/readyz", "/metrics"})
LONGEST_BODY: Final = 1 << 20


def admin_application(services: AdminServices) -> FastAPI:
    """The admin API; it speaks of the services that it is handed, and of nothing else."""
    app = FastAPI(
        title="Forebay",
        version=version("forebay"),
        description="The API of a Forebay node. Sign in with an admin key (HTTP Basic).",
        # No pages of its own: they would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    for router in (probes.router, node.router, mounts.router, files.router, keys.router):
        app.include_router(router)
    app.add_exception_handler(ForebayError, told)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _no_such_verb)

    @app.middleware("http")
    async def guard(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
        return await _guarded(services, request, follow)

    return app


async def _guarded(
    services: AdminServices,
    request: Request,
    follow: Callable[[Request], Awaitable[Response]],
) -> Response:
    """Let in who may; say no before anything else is looked at."""
    request.state.request_id = services.request_id()
    try:
        if request.url.path not in OPEN_TO_ALL:
            request.state.caller = services.access.caller(request)
        if "transfer-encoding" in request.headers:
            # Its end is not known: it would be gathered in memory, however long it is.
            raise BadInput(request.url.path, "its body has no Content-Length")
        if int(request.headers.get("content-length", "0")) > LONGEST_BODY:
            raise BadInput(request.url.path, f"its body is larger than {LONGEST_BODY} bytes")
        answer = await follow(request)
    except Refused as error:
        await note(request, "enter", request.url.path, error.code)
        answer = await told(request, error)
    except ForebayError as error:
        answer = await told(request, error)
    except ValueError:
        answer = await told(request, BadInput(request.url.path, "its Content-Length is no number"))
    answer.headers["x-forebay-request-id"] = request.state.request_id
    return answer


async def _bad_request(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [f"{'.'.join(map(str, f['loc'][1:]))} {f['msg'].lower()}" for f in error.errors()]
    return await told(request, BadInput(request.url.path, "; ".join(faults)))


async def _no_such_verb(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    answer = await told(request, BadInput(request.url.path, str(error.detail).lower()))
    answer.status_code = error.status_code
    return answer
