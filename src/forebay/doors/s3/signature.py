"""The signature check: who asks, proved by AWS Signature Version 4, in headers or in the query.

Source: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API reference. Any
region is accepted: the signature decides.
"""

import calendar
import re
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hmac import compare_digest
from typing import Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from forebay.doors.s3.address import must_be_escaped_right
from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.keyring import Holder, KeyRing
from forebay.model.errors import AccessDenied, KeyUnknown, RequestExpired, SignatureWrong
from forebay.model.sigv4 import ALGORITHM, EMPTY_SHA256, UNSIGNED, signature

SKEW_SECONDS: Final = 15 * 60
LONGEST_EXPIRY_SECONDS: Final = 7 * 24 * 3600

NO_BODY: Final = frozenset({EMPTY_SHA256.encode(), UNSIGNED.encode()})
"""Payload hashes that a request without a body may claim."""

_CLAIM: Final = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/s3/aws4_request, ?"
    rb"SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})"
)
_PLAIN_PATH: Final = re.compile(rb"[A-Za-z0-9._~/-]*")
_PAYLOAD_HASH: Final = re.compile(rb"[0-9a-f]{64}|UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+")
_STAMP: Final = re.compile(rb"\d{8}T\d{6}Z")
_CREDENTIAL_PARTS: Final = 5

_QUERY_NAMES: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)


class Claim(NamedTuple):
    """What a request says of its own signature."""

    key_id: bytes
    date: bytes
    region: bytes
    signed_names: bytes
    signature: bytes


class Parts(NamedTuple):
    """The parts of a request that are signed. Header names are in lower case."""

    method: bytes
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]


def canonical_path(raw: bytes) -> bytes:
    """The path as it is signed: decoded once and escaped again, however the client escaped it."""
    if _PLAIN_PATH.fullmatch(raw) is not None:
        return raw
    return quote(unquote_to_bytes(raw), safe="/-_.~").encode()


def query_pairs(raw: bytes) -> list[tuple[str, str]]:
    """The decoded names and values of a query, in its order.

    Raises:
        Refusal: it is not UTF-8, or an escape is broken.
    """
    must_be_escaped_right(raw)
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Refusal("InvalidURI", "Couldn't parse the specified URI.") from None


def canonical_query(pairs: Sequence[tuple[str, str]]) -> bytes:
    """The query as it is signed."""
    escaped = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in escaped).encode()


def one_of_each(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name, repeated ones joined by commas.

    Raises:
        Refusal: one is repeated that decides who asks, or for what.
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in found:
            found[name] = value
        elif name in _SINGLE:
            shown = name.decode("latin-1")
            raise Refusal("InvalidArgument", f"The header {shown} is given more than once.")
        else:
            found[name] += b"," + value
    return found


_SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-length",
        b"date",
        b"host",
        b"if-range",
        b"range",
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-security-token",
    }
)


@lru_cache(maxsize=4096)
def _moment_of(stamp: bytes) -> int | None:
    """Seconds since 1970 of a YYYYMMDDTHHMMSSZ; None: it is none."""
    if _STAMP.fullmatch(stamp) is None:
        return None
    try:
        return calendar.timegm(time.strptime(stamp.decode(), "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _names(signed: bytes) -> tuple[tuple[bytes, ...], frozenset[bytes]]:
    """The names of a SignedHeaders list, in order and as a set."""
    names = tuple(signed.split(b";"))
    return names, frozenset(names)


class Signatures:
    """Checks the signatures of requests against a key ring.

    Args:
        ring: the keys.
        now: the time, in seconds since 1970.
    """

    def __init__(self, ring: KeyRing, now: Callable[[], float]) -> None:
        self._ring = ring
        self._now = now

    def by_header(self, parts: Parts) -> Holder:
        """Who signed the request in its `Authorization` header.

        Raises:
            Refusal, KeyUnknown, SignatureWrong, RequestExpired, AccessDenied: nobody we know did.
        """
        headers = parts.headers
        given = headers.get(b"authorization")
        if given is None:
            raise AccessDenied("", "Anonymous access is forbidden: sign the request")
        match = _CLAIM.fullmatch(given)
        claim = Claim(*match.groups()) if match is not None else _claim_of(given)
        stamp = _stamp_of(headers)
        moment = _moment_of(stamp)
        if moment is None:
            raise AccessDenied("", "A valid Date or x-amz-date header is required")
        if abs(self._now() - moment) > SKEW_SECONDS:
            raise RequestExpired("", "The request's time and the server's are too far apart")
        if claim.date != stamp[:8]:
            _malformed("The credential's date is not that of the request.")
        payload = headers.get(b"x-amz-content-sha256")
        if payload is None:
            raise Refusal(
                "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
            )
        if _PAYLOAD_HASH.fullmatch(payload) is None:
            raise Refusal(
                "InvalidArgument",
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-… or a SHA-256.",
            )
        return self._proved(claim, stamp, parts, payload)

    def by_query(self, parts: Parts, pairs: Sequence[tuple[str, str]]) -> Holder:
        """Who signed the URL (a presigned one). `parts.query` is not looked at; `pairs` is it.

        Raises:
            Refusal, KeyUnknown, SignatureWrong, AccessDenied: nobody we know did.
        """
        given = _presigned(pairs)
        claim = Claim(
            *_scope_of(given["X-Amz-Credential"].encode(), _bad_query),
            given["X-Amz-SignedHeaders"].encode(),
            given["X-Amz-Signature"].encode(),
        )
        stamp = given["X-Amz-Date"].encode()
        self._must_be_valid_now(stamp, given["X-Amz-Expires"])
        if claim.date != stamp[:8]:
            _bad_query("The credential's date is not that of X-Amz-Date.")
        query = canonical_query([pair for pair in pairs if pair[0] != "X-Amz-Signature"])
        payload = parts.headers.get(b"x-amz-content-sha256", UNSIGNED.encode())
        return self._proved(claim, stamp, parts._replace(query=query), payload)

    def _must_be_valid_now(self, stamp: bytes, expires: str) -> None:
        """Let a presigned URL pass whose time has come and is not over."""
        start = _moment_of(stamp)
        if start is None:
            _bad_query("X-Amz-Date must be in the ISO8601 Long Format yyyyMMdd'T'HHmmss'Z'")
        if not (expires.isascii() and expires.isdigit()):
            _bad_query("X-Amz-Expires should be a number")
        if int(expires) > LONGEST_EXPIRY_SECONDS:
            _bad_query("X-Amz-Expires must be less than a week (in seconds)")
        now = self._now()
        if start - now > SKEW_SECONDS:
            raise AccessDenied("", "Request is not yet valid")
        if now > start + int(expires):
            raise AccessDenied("", "Request has expired")

    def _proved(self, claim: Claim, stamp: bytes, parts: Parts, payload: bytes) -> Holder:
        """The holder of the key, if the signature is right."""
        holder = self._ring.holder(claim.key_id)
        if holder is None:
            raise KeyUnknown("", "The access key you provided does not exist")
        names, name_set = _names(claim.signed_names)
        headers = parts.headers
        unsigned = [name for name in headers if name[:6] == b"x-amz-" and name not in name_set]
        if unsigned or b"host" not in name_set:
            _unsigned(unsigned or [b"host"])
        lines = [parts.method, parts.path, parts.query]
        for name in names:
            value = headers.get(name)
            if value is None:
                raise SignatureWrong("", f"The signed header {name.decode('latin-1')!r} is missing")
            lines.append(name + b":" + (value if b"  " not in value else b" ".join(value.split())))
        lines += (b"", claim.signed_names, payload)
        canonical = b"\n".join(lines)
        scope = b"%b/%b/s3/aws4_request" % (claim.date, claim.region)
        for key in holder.signing_keys(claim.date, claim.region):
            if compare_digest(signature(key, stamp, scope, canonical), claim.signature):
                return holder
        raise SignatureWrong(
            "", "The signature does not match the one calculated from the request and the secret"
        )


def _stamp_of(headers: Mapping[bytes, bytes]) -> bytes:
    """The request's time as YYYYMMDDTHHMMSSZ; empty where there is none."""
    stamp = headers.get(b"x-amz-date")
    if stamp is not None:
        return stamp
    try:
        moment = parsedate_to_datetime(headers.get(b"date", b"").decode("latin-1"))
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment.timestamp())).encode()
    except (ValueError, OverflowError):
        return b""


def _claim_of(authorization: bytes) -> Claim:
    """The claim in an `Authorization` header that is not in the usual form."""
    algorithm, _, rest = authorization.strip().partition(b" ")
    if algorithm != ALGORITHM.encode():
        raise Refusal(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. "
            "Please use AWS4-HMAC-SHA256.",
        )
    fields: dict[bytes, bytes] = {}
    for part in rest.split(b","):
        name, equals, value = part.strip().partition(b"=")
        if not equals or name in fields:
            _malformed("It is no list of Credential, SignedHeaders and Signature.")
        fields[name] = value
    if fields.keys() != {b"Credential", b"SignedHeaders", b"Signature"}:
        _malformed("Credential, SignedHeaders and Signature are required, and nothing else.")
    scope = _scope_of(fields[b"Credential"], _malformed)
    return Claim(*scope, fields[b"SignedHeaders"], fields[b"Signature"])


def _scope_of(credential: bytes, refuse: Callable[[str], NoReturn]) -> tuple[bytes, bytes, bytes]:
    """Key id, date and region of a credential `<key id>/<date>/<region>/s3/aws4_request`."""
    parts = credential.split(b"/")
    if len(parts) != _CREDENTIAL_PARTS or not all(parts):
        refuse("The Credential must be <key id>/YYYYMMDD/<region>/s3/aws4_request.")
    key_id, date, region, service, terminal = parts
    if service != b"s3":
        refuse(f"Incorrect service {service.decode('latin-1')!r}; it must be 's3'.")
    if terminal != b"aws4_request":
        refuse(f"Incorrect terminal {terminal.decode('latin-1')!r}; it must be 'aws4_request'.")
    return key_id, date, region


def _presigned(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters of a presigned URL that make up its signature, each given once."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            _bad_query(f"{name} is given more than once.")
        if name in _QUERY_NAMES:
            given[name] = value
        elif name == "X-Amz-Security-Token":
            raise Refusal("InvalidToken", "This door gives out no security tokens.")
    missing = [name for name in _QUERY_NAMES if name not in given]
    if missing:
        _bad_query(f"Query-string authentication requires {', '.join(missing)}.")
    if given["X-Amz-Algorithm"] != ALGORITHM:
        _bad_query(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    return given


def _malformed(reason: str) -> NoReturn:
    raise Refusal(
        "AuthorizationHeaderMalformed", f"The authorization header is malformed; {reason}"
    )


def _bad_query(reason: str) -> NoReturn:
    raise Refusal("AuthorizationQueryParametersError", reason)


def _unsigned(names: Sequence[bytes]) -> NoReturn:
    raise Refusal(
        "AccessDenied",
        "There were headers present in the request which were not signed",
        {"HeadersNotSigned": ", ".join(name.decode("latin-1") for name in names)},
    )


def is_presigned(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the query says that the URL is signed."""
    return any(name in _QUERY_NAMES for name, _ in pairs)


def signer(signatures: Signatures, parts: Parts, pairs: Sequence[tuple[str, str]]) -> Holder:
    """Who signed the request, in whichever of the two ways.

    Raises:
        Refusal, KeyUnknown, SignatureWrong, RequestExpired, AccessDenied: nobody we know did.
    """
    if b"x-amz-security-token" in parts.headers:
        raise Refusal("InvalidToken", "This door gives out no security tokens.")
    names = {name for name, _ in pairs}
    if "AWSAccessKeyId" in names and "Signature" in names:
        raise Refusal(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. "
            "Please use AWS4-HMAC-SHA256.",
        )
    if not is_presigned(pairs):
        return signatures.by_header(parts)
    if b"authorization" in parts.headers:
        raise Refusal(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the "
            "Authorization header should be specified",
        )
    return signatures.by_query(parts, pairs)
