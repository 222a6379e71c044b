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
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import msgspec

from forebay.doors.s3.address import must_be_escaped_right
from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.keyring import Holder, KeyRing
from forebay.model.errors import AccessDenied, KeyUnknown, RequestExpired, SignatureWrong
from forebay.model.sigv4 import ALGORITHM, EMPTY_SHA256, UNSIGNED

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
_MOST_KEPT: Final = 1024
_MOST_DIGITS: Final = 10
_HMAC_BLOCK: Final = 64

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


class Parts(msgspec.Struct, frozen=True, gc=False):
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


class _Prover:
    """HMAC-SHA256 with one key, whose own part of the work is done once: a third of the time."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_HMAC_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def proof(self, text: bytes) -> bytes:
        """The HMAC of `text`, in hex."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest().encode()


class Signing:
    """How requests of one `Authorization` header, but for its signature, are signed.

    A client keeps it for a day: what is made of it once serves thousands of requests.
    """

    __slots__ = ("_names", "_names_set", "_provers", "_scope", "_template", "date", "holder")

    def __init__(self, claim: Claim, holder: Holder) -> None:
        names = claim.signed_names.split(b";")
        if b"host" not in names:
            _unsigned([b"host"])
        self.holder = holder
        self.date = claim.date
        self._names = names
        self._names_set = frozenset(names)
        keys = holder.signing_keys(claim.date, claim.region)
        self._provers = [_Prover(key) for key in keys]
        self._scope = b"\n%b/%b/s3/aws4_request\n" % (claim.date, claim.region)
        # Method, path and query; a line a header; the names and the payload's hash.
        lines = [name.replace(b"%", b"%%") + b":%b\n" for name in names]
        signed_names = claim.signed_names.replace(b"%", b"%%")
        self._template = b"%b\n%b\n%b\n" + b"".join(lines) + b"\n" + signed_names + b"\n%b"

    def must_be_right(self, proof: bytes, stamp: bytes, parts: Parts, payload: bytes) -> None:
        """Let a request pass whose signature is `proof`.

        Raises:
            Refusal: a header is not signed that must be.
            SignatureWrong: it is another request, or another secret.
        """
        headers, signed = parts.headers, self._names_set
        for name in headers:
            if name[:6] == b"x-amz-" and name not in signed:
                _unsigned([name])
        try:
            values = [headers[name] for name in self._names]
        except KeyError as missing:
            raise SignatureWrong("", f"The signed header {missing} is missing") from None
        canonical = self._canonical(parts, values, payload)
        if b"  " in canonical:
            values = [b" ".join(value.split()) for value in values]
            canonical = self._canonical(parts, values, payload)
        digest = sha256(canonical).hexdigest().encode()
        text = b"AWS4-HMAC-SHA256\n" + stamp + self._scope + digest
        for prover in self._provers:
            if compare_digest(prover.proof(text), proof):
                return
        raise SignatureWrong(
            "", "The signature does not match the one calculated from the request and the secret"
        )

    def _canonical(self, parts: Parts, values: list[bytes], payload: bytes) -> bytes:
        return self._template % (parts.method, parts.path, parts.query, *values, payload)


class Signatures:
    """Checks the signatures of requests against a key ring.

    Args:
        ring: the keys.
        now: the time, in seconds since 1970.
    """

    def __init__(self, ring: KeyRing, now: Callable[[], float]) -> None:
        self._ring = ring
        self._now = now
        self._edition = ring.edition
        self._kept: dict[bytes, Signing] = {}

    def by_header(self, parts: Parts) -> Holder:
        """Who signed the request in its `Authorization` header.

        Raises:
            Refusal, KeyUnknown, SignatureWrong, RequestExpired, AccessDenied: nobody we know did.
        """
        headers = parts.headers
        given = headers.get(b"authorization")
        if given is None:
            raise AccessDenied("", "Anonymous access is forbidden: sign the request")
        head, _, proof = given.rpartition(b"Signature=")
        signing = self._kept.get(head) if self._edition is self._ring.edition else None
        if signing is None:
            claim = _claim_of(given)
            signing, proof = Signing(claim, self._holder(claim.key_id)), claim.signature
        stamp = headers.get(b"x-amz-date") or _stamp_of_date(headers)
        self._must_be_of_now(stamp, signing.date)
        payload = headers.get(b"x-amz-content-sha256")
        if payload not in NO_BODY:
            _must_be_a_payload_hash(payload)
        signing.must_be_right(proof, stamp, parts, payload or b"")
        self._keep(head, signing)
        return signing.holder

    def _holder(self, key_id: bytes) -> Holder:
        holder = self._ring.holder(key_id)
        if holder is None:
            raise KeyUnknown("", "The access key you provided does not exist")
        return holder

    def _keep(self, head: bytes, signing: Signing) -> None:
        """Keep what was made of a header that turned out to be right."""
        if self._edition is not self._ring.edition or len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
            self._edition = self._ring.edition
        self._kept[head] = signing

    def _must_be_of_now(self, stamp: bytes, date: bytes) -> None:
        moment = _moment_of(stamp)
        if moment is None:
            raise AccessDenied("", "A valid Date or x-amz-date header is required")
        if not -SKEW_SECONDS <= self._now() - moment <= SKEW_SECONDS:
            raise RequestExpired("", "The request's time and the server's are too far apart")
        if date != stamp[:8]:
            _malformed("The credential's date is not that of the request.")

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
        signing = Signing(claim, self._holder(claim.key_id))
        signed = Parts(parts.method, parts.path, query, parts.headers)
        signing.must_be_right(claim.signature, stamp, signed, payload)
        return signing.holder

    def _must_be_valid_now(self, stamp: bytes, expires: str) -> None:
        """Let a presigned URL pass whose time has come and is not over."""
        start = _moment_of(stamp)
        if start is None:
            _bad_query("X-Amz-Date must be in the ISO8601 Long Format yyyyMMdd'T'HHmmss'Z'")
        if not (expires.isascii() and expires.isdigit()):
            _bad_query("X-Amz-Expires should be a number")
        if len(expires) > _MOST_DIGITS or int(expires) > LONGEST_EXPIRY_SECONDS:
            _bad_query("X-Amz-Expires must be less than a week (in seconds)")
        now = self._now()
        if start - now > SKEW_SECONDS:
            raise AccessDenied("", "Request is not yet valid")
        if now > start + int(expires):
            raise AccessDenied("", "Request has expired")


def _must_be_a_payload_hash(payload: bytes | None) -> None:
    if payload is None:
        raise Refusal(
            "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
        )
    if _PAYLOAD_HASH.fullmatch(payload) is None:
        raise Refusal(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-… or a SHA-256.",
        )


def _stamp_of_date(headers: Mapping[bytes, bytes]) -> bytes:
    """The time in the Date header as YYYYMMDDTHHMMSSZ; empty where there is none."""
    try:
        moment = parsedate_to_datetime(headers.get(b"date", b"").decode("latin-1"))
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment.timestamp())).encode()
    except (ValueError, OverflowError):
        return b""


def _claim_of(authorization: bytes) -> Claim:
    """The claim in an `Authorization` header.

    Raises:
        Refusal: there is none, or one that is not understood.
    """
    match = _CLAIM.fullmatch(authorization)
    if match is not None:
        return Claim(*match.groups())
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
