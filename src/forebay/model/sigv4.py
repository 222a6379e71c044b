"""AWS Signature Version 4: the arithmetic of it, for whoever signs and whoever checks.

Source: "Signature Version 4 signing process" and "Authenticating Requests (AWS Signature
Version 4)" in the Amazon S3 API reference.
"""

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import quote

ALGORITHM: Final = "AWS4-HMAC-SHA256"
EMPTY_SHA256: Final = sha256(b"").hexdigest()
UNSIGNED: Final = "UNSIGNED-PAYLOAD"


def signing_key(secret: bytes, date: bytes, region: bytes) -> bytes:
    """The key that signs for `date` (YYYYMMDD) and `region`; it may be kept for the day."""
    key = b"AWS4" + secret
    for part in (date, region, b"s3", b"aws4_request"):
        key = hmac.digest(key, part, "sha256")
    return key


def signature(key: bytes, stamp: bytes, scope: bytes, canonical_request: bytes) -> bytes:
    """The signature in hex. `stamp` is YYYYMMDDTHHMMSSZ, `scope` date/region/s3/aws4_request."""
    digest = sha256(canonical_request).hexdigest().encode()
    text = b"AWS4-HMAC-SHA256\n" + stamp + b"\n" + scope + b"\n" + digest
    return hmac.digest(key, text, "sha256").hex().encode()


def escape(text: str | bytes, *, keep_slash: bool = True) -> str:
    """`text` escaped the way S3 canonicalises it: unreserved letters stay, all else is %XX."""
    return quote(text, safe="-_.~/" if keep_slash else "-_.~")


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """The decoded query `pairs`, escaped again and put in order."""
    escaped = sorted(
        (escape(name, keep_slash=False), escape(value, keep_slash=False)) for name, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in escaped)


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], payload_hash: str
) -> bytes:
    """The text that is signed. `path` and `query` are canonical, `headers` the signed ones."""
    names = sorted(headers)
    lines = [method, path, query]
    lines += [f"{name}:{' '.join(headers[name].split())}" for name in names]
    lines += ["", ";".join(names), payload_hash]
    return "\n".join(lines).encode()


def signed_headers(  # noqa: PLR0913 - a request has that many parts
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    key_id: str,
    secret: str,
    region: str,
    stamp: str,
    payload_hash: str = EMPTY_SHA256,
) -> dict[str, str]:
    """`headers` (lower-case names, `host` among them) and the ones that sign the request.

    `path` is escaped as on the wire; `query` is canonical; `stamp` is YYYYMMDDTHHMMSSZ.
    """
    signed = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash}
    date = stamp[:8]
    scope = f"{date}/{region}/s3/aws4_request"
    request = canonical_request(method, path, query, signed, payload_hash)
    key = signing_key(secret.encode(), date.encode(), region.encode())
    proof = signature(key, stamp.encode(), scope.encode(), request).decode()
    names = ";".join(sorted(signed))
    signed["authorization"] = (
        f"{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={proof}"
    )
    return signed
