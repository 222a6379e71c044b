"""The application: every request that is no hit, from its first look to its line in the log."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from forebay.doors.s3.address import address_of
from forebay.doors.s3.answer import SERVER
from forebay.doors.s3.asked import Asked, query_of
from forebay.doors.s3.body import FileResponse
from forebay.doors.s3.buckets import Buckets, xml_response
from forebay.doors.s3.errors import Refusal, answer_to
from forebay.doors.s3.keyring import Holder
from forebay.doors.s3.lake import Lake
from forebay.doors.s3.ledger import DOOR, Ledger, Line
from forebay.doors.s3.objects import get_object, head_object, tagged_object
from forebay.doors.s3.operation import Operation, operation_of
from forebay.doors.s3.payload import is_cut_off, must_be_as_signed
from forebay.doors.s3.signature import (
    Parts,
    Signatures,
    canonical_path,
    canonical_query,
    one_of_each,
    query_pairs,
    signer,
)
from forebay.doors.s3.token import Tokens
from forebay.doors.s3.xml import branch, document, error_document
from forebay.metrics.audit_log import AuditRecord
from forebay.metrics.request_ids import RequestIds
from forebay.model.errors import HostTrouble

_log = logging.getLogger(__name__)

_DENIALS: Final = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "RequestTimeTooSkewed", "SignatureDoesNotMatch"}
)
"""Codes of answers that the audit log is told."""

_UNSUPPORTED: Final[Mapping[bytes, tuple[str, str]]] = {
    b"x-amz-expected-bucket-owner": ("AccessDenied", "The bucket has no owner with an account id."),
    **dict.fromkeys(
        (
            b"x-amz-server-side-encryption-customer-algorithm",
            b"x-amz-server-side-encryption-customer-key",
            b"x-amz-server-side-encryption-customer-key-md5",
        ),
        ("NotImplemented", "No object here is encrypted with a key of the client's."),
    ),
}
"""Headers that change what is asked, and are not heeded here."""


class Audit(Protocol):
    """Takes records of denials."""

    async def note(self, record: AuditRecord) -> None:
        """Write the record."""
        ...


@dataclass(frozen=True, slots=True)
class S3Parts:
    """What the application is made of.

    Attributes:
        lake: the verbs of `files`.
        signatures: who may come in.
        tokens: continuation tokens.
        ledger: counters and access log.
        audit: the audit log.
        request_ids: names for the requests.
        now: the time, in seconds since 1970.
        region: the one in which all buckets are said to be.
        ahead_bytes: how far beyond a range may be fetched, of a file that is read forward.
    """

    lake: Lake
    signatures: Signatures
    tokens: Tokens
    ledger: Ledger
    audit: Audit
    request_ids: RequestIds
    now: Callable[[], float]
    region: str = "us-east-1"
    ahead_bytes: int = 0


def s3_application(parts: S3Parts) -> ASGIApp:
    """The ASGI application of the S3 door."""
    return _Application(parts)


class _Application:
    """Answers requests."""

    def __init__(self, parts: S3Parts) -> None:
        self._parts = parts
        buckets = Buckets(parts.lake, parts.tokens, parts.region)
        self._operations: Mapping[Operation, Callable[[Asked], Awaitable[Response]]] = {
            Operation.LIST_BUCKETS: buckets.list_buckets,
            Operation.HEAD_BUCKET: buckets.head_bucket,
            Operation.GET_BUCKET_LOCATION: buckets.location,
            Operation.GET_BUCKET_SETTING: buckets.setting,
            Operation.LIST_OBJECTS: buckets.list_objects,
            Operation.LIST_OBJECTS_V2: buckets.list_objects,
            Operation.GET_OBJECT: self._get_object,
            Operation.HEAD_OBJECT: self._head_object,
            Operation.GET_OBJECT_TAGGING: self._get_tagging,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        parts = self._parts
        request = Request(scope, receive)
        raw_path: bytes = scope["raw_path"]
        line = Line(parts.now(), parts.request_ids.next(), raw_path.decode("latin-1"))
        try:
            response = await self._response(request, line)
        except Exception as error:  # noqa: BLE001 - the border: nothing of ours leaves it
            response = await self._error_response(error, request, line)
        response.headers["x-amz-request-id"] = line.request_id
        response.headers["server"] = SERVER.decode()
        line.status = response.status_code
        try:
            await response(scope, receive, send)
        finally:
            if isinstance(response, FileResponse):
                _enter(response, line)
            parts.ledger.answered(line)

    async def _response(self, request: Request, line: Line) -> Response:
        # The path is judged before anything else looks at it.
        raw_path: bytes = request.scope["raw_path"]
        address = address_of(raw_path)
        line.path = address.path.text
        pairs = query_pairs(request.scope["query_string"])
        headers = one_of_each(request.scope["headers"])
        holder = self._holder(request, raw_path, pairs, headers)
        line.key_id = holder.key_id
        query = query_of(pairs)
        line.operation = operation = operation_of(request.method, address, query)
        for name, (code, message) in _UNSUPPORTED.items():
            if name in headers:
                raise Refusal(code, message, {"Header": name.decode()})
        await must_be_as_signed(request, headers)
        asked = Asked(operation, address, query, headers, holder.caller)
        return await self._operations[operation](asked)

    def _holder(
        self,
        request: Request,
        raw_path: bytes,
        pairs: list[tuple[str, str]],
        headers: Mapping[bytes, bytes],
    ) -> Holder:
        parts = Parts(
            request.method.encode(), canonical_path(raw_path), canonical_query(pairs), headers
        )
        return signer(self._parts.signatures, parts, pairs)

    async def _get_object(self, asked: Asked) -> Response:
        return await get_object(self._parts.lake, asked, self._parts.ahead_bytes)

    async def _head_object(self, asked: Asked) -> Response:
        return await head_object(self._parts.lake, asked)

    async def _get_tagging(self, asked: Asked) -> Response:
        entry = await tagged_object(self._parts.lake, asked)
        return xml_response(document("Tagging", branch("TagSet")), entry.age)

    async def _error_response(self, error: Exception, request: Request, line: Line) -> Response:
        answer = answer_to(error)
        if answer.code == "InternalError":
            facts = {"request_id": line.request_id, "path": line.path}
            _log.error("request_failed", extra={"facts": facts}, exc_info=error)
        if answer.code in _DENIALS:
            await self._audit(answer.code, request, line)
        resource = request.scope["raw_path"].decode("latin-1")
        body = error_document(answer, resource, line.request_id)
        headers = {"x-forebay-cache": "miss", "x-forebay-age": "0"}
        if answer.retry_after is not None:
            headers["retry-after"] = str(answer.retry_after)
        if answer.code == "MethodNotAllowed":
            headers["allow"] = "GET, HEAD"
        if is_cut_off(dict(request.scope["headers"])):
            headers["connection"] = "close"
        content = None if request.method == "HEAD" else body
        return Response(content, answer.status, headers, media_type="application/xml")

    async def _audit(self, code: str, request: Request, line: Line) -> None:
        client = request.client
        origin = DOOR if client is None else f"{DOOR} {client.host}:{client.port}"
        at = datetime.fromtimestamp(line.begun, UTC)
        what = f"{DOOR}.{line.operation}"
        record = AuditRecord(at, line.key_id, what, line.path, origin, code, line.request_id)
        # The denial stands, whether or not the disk takes the record of it.
        with suppress(HostTrouble):
            await self._parts.audit.note(record)


def _enter(response: FileResponse, line: Line) -> None:
    """Write down what a response sent of a file."""
    line.start, line.end = response.span.start, response.span.end
    line.from_cache, line.from_store = response.file.from_cache, response.file.from_store
    if response.error is not None:
        about = {"request_id": line.request_id, "path": line.path, **response.error.facts()}
        _log.warning("answer_cut", extra={"facts": about})
