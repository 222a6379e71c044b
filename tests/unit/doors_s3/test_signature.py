"""Signatures are checked to the letter, and refused in the words of S3."""

import calendar
import time
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from forebay.doors.s3.errors import Refusal, answer_to
from forebay.doors.s3.keyring import AccessKey, Holder, KeyRing
from forebay.doors.s3.signature import (
    Parts,
    Signatures,
    canonical_path,
    canonical_query,
    one_of_each,
    query_pairs,
    signer,
)
from forebay.model.errors import ForebayError, KeyUnknown, SignatureWrong
from forebay.model.grants import Caller, Grant, Right
from forebay.model.paths import ROOT, LakePath
from forebay.model.sigv4 import (
    EMPTY_SHA256,
    UNSIGNED,
    canonical_request,
    signature,
    signed_headers,
    signing_key,
)

NOW = calendar.timegm((2013, 5, 24, 0, 0, 0))
"""The moment of the examples in the S3 API reference."""

EXAMPLE = AccessKey(
    Caller("AKIAIOSFODNN7EXAMPLE", (Grant(ROOT, Right.READ),)),
    ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",),
)


def checker(now: float = NOW, *keys: AccessKey) -> Signatures:
    return Signatures(KeyRing(keys or [EXAMPLE]), lambda: now)


def signed(
    *,
    method: str = "GET",
    path: str = "/bucket/key",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    secret: str = EXAMPLE.secrets[0],
    key_id: str = "AKIAIOSFODNN7EXAMPLE",
    region: str = "eu-central-1",
    stamp: str = "20130524T000000Z",
    payload_hash: str = EMPTY_SHA256,
) -> Parts:
    """A request as a client signs it."""
    found = signed_headers(
        method,
        path,
        query,
        {"host": "door", **(headers or {})},
        key_id=key_id,
        secret=secret,
        region=region,
        stamp=stamp,
        payload_hash=payload_hash,
    )
    wire = {name.encode(): value.encode() for name, value in found.items()}
    return Parts(method.encode(), path.encode(), query.encode(), wire)


def without(parts: Parts, name: bytes) -> Parts:
    return replace(parts, headers={k: v for k, v in parts.headers.items() if k != name})


def having(parts: Parts, name: bytes, value: bytes) -> Parts:
    return replace(parts, headers={**parts.headers, name: value})


def refusal(parts: Parts, query: bytes = b"", now: float = NOW) -> tuple[str, int, str]:
    """Code, status and message of the refusal."""
    with pytest.raises((Refusal, ForebayError)) as caught:
        signer(checker(now), parts, query_pairs(query))
    answer = answer_to(caught.value)
    return answer.code, answer.status, answer.message


def test_the_example_of_the_reference_is_accepted() -> None:
    parts = Parts(
        b"GET",
        b"/test.txt",
        b"",
        {
            b"host": b"examplebucket.s3.amazonaws.com",
            b"range": b"bytes=0-9",
            b"x-amz-content-sha256": EMPTY_SHA256.encode(),
            b"x-amz-date": b"20130524T000000Z",
            b"authorization": (
                b"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                b"aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature="
                b"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
            ),
        },
    )

    assert checker().by_header(parts).key_id == "AKIAIOSFODNN7EXAMPLE"


PRESIGNED = (
    b"X-Amz-Algorithm=AWS4-HMAC-SHA256"
    b"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    b"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)
EXAMPLE_URL = Parts(b"GET", b"/test.txt", b"", {b"host": b"examplebucket.s3.amazonaws.com"})


def test_the_presigned_example_of_the_reference_is_accepted_until_it_expires() -> None:
    pairs = query_pairs(PRESIGNED)

    for now in (NOW - 899, NOW, NOW + 86400):
        assert signer(checker(now), EXAMPLE_URL, pairs).key_id == "AKIAIOSFODNN7EXAMPLE"
    assert refusal(EXAMPLE_URL, PRESIGNED, NOW + 86401) == (
        "AccessDenied",
        403,
        "Request has expired",
    )
    assert refusal(EXAMPLE_URL, PRESIGNED, NOW - 901)[2] == "Request is not yet valid"


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "auto", "anything"])
def test_any_region_is_accepted(region: str) -> None:
    checker().by_header(signed(region=region))


def test_a_changed_part_of_the_request_is_refused() -> None:
    right = signed(query="a=b", headers={"x-amz-extra": "1"})
    signer(checker(), right, [("a", "b")])
    for wrong in (
        replace(right, method=b"HEAD"),
        replace(right, path=b"/bucket/other"),
        replace(right, query=b"a=c"),
        having(right, b"host", b"elsewhere"),
        having(right, b"x-amz-extra", b"2"),
        having(right, b"x-amz-content-sha256", UNSIGNED.encode()),
        without(right, b"x-amz-extra"),
    ):
        assert refusal(wrong)[:2] == ("SignatureDoesNotMatch", 403)


def test_a_wrong_secret_is_refused() -> None:
    assert refusal(signed(secret="guess"))[0] == "SignatureDoesNotMatch"


def test_an_unknown_key_is_refused_by_name() -> None:
    assert refusal(signed(key_id="AKIANOBODY"))[:2] == ("InvalidAccessKeyId", 403)


@pytest.mark.parametrize(
    ("seconds", "passes"), [(-901, False), (-899, True), (899, True), (901, False)]
)
def test_fifteen_minutes_are_allowed(seconds: int, passes: bool) -> None:
    if passes:
        checker(NOW + seconds).by_header(signed())
    else:
        assert refusal(signed(), now=NOW + seconds)[:2] == ("RequestTimeTooSkewed", 403)


def test_the_scope_must_be_of_the_day_of_the_request() -> None:
    parts = signed(stamp="20130523T235959Z")
    code, _, message = refusal(having(parts, b"x-amz-date", b"20130524T000000Z"))
    assert code == "AuthorizationHeaderMalformed"
    assert "date" in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"/s3/", b"/sts/"),
        (b"aws4_request", b"aws5_request"),
        (b"Credential=", b"Credentials="),
        (b"SignedHeaders=host", b"SignedHeaders=host,SignedHeaders=host"),
        (b"AKIAIOSFODNN7EXAMPLE/", b""),
    ],
)
def test_a_malformed_header_is_refused_as_such(old: bytes, new: bytes) -> None:
    parts = signed()
    header = parts.headers[b"authorization"].replace(old, new)
    assert refusal(having(parts, b"authorization", header))[:2] == (
        "AuthorizationHeaderMalformed",
        400,
    )


@pytest.mark.parametrize(
    "header", [b"AWS AKID:signature", b"Basic Zm9v", b"AWS4-ECDSA-P256-SHA256 x", b""]
)
def test_other_mechanisms_are_refused(header: bytes) -> None:
    assert refusal(having(signed(), b"authorization", header))[0] == "InvalidRequest"


def test_the_old_presigned_urls_are_refused() -> None:
    query = b"AWSAccessKeyId=AKID&Expires=1&Signature=abc"
    assert refusal(EXAMPLE_URL, query)[0] == "InvalidRequest"


def test_spaces_and_another_order_in_the_header_are_no_reason_to_refuse() -> None:
    parts = signed()
    scope, names, proof = parts.headers[b"authorization"].partition(b" ")[2].split(b", ")
    header = b"AWS4-HMAC-SHA256  " + b" ,  ".join((proof, scope, names))
    checker().by_header(having(parts, b"authorization", header))


def test_an_unsigned_header_of_amazons_is_refused() -> None:
    code, status, _ = refusal(having(signed(), b"x-amz-acl", b"public-read"))
    assert (code, status) == ("AccessDenied", 403)


def test_the_host_must_be_signed() -> None:
    stamp, scope = "20130524T000000Z", "20130524/r/s3/aws4_request"
    headers = {"x-amz-date": stamp, "x-amz-content-sha256": EMPTY_SHA256}
    request = canonical_request("GET", "/b/k", "", headers, EMPTY_SHA256)
    key = signing_key(EXAMPLE.secrets[0].encode(), b"20130524", b"r")
    proof = signature(key, stamp.encode(), scope.encode(), request).decode()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{scope}, "
        f"SignedHeaders=x-amz-content-sha256;x-amz-date, Signature={proof}"
    )
    wire = {name.encode(): value.encode() for name, value in headers.items()}
    parts = Parts(
        b"GET", b"/b/k", b"", {**wire, b"authorization": authorization.encode(), b"host": b"x"}
    )
    assert refusal(parts)[0] == "AccessDenied"


def test_without_a_payload_hash_or_a_date_nobody_comes_in() -> None:
    assert refusal(without(signed(), b"x-amz-content-sha256"))[0] == "InvalidRequest"
    assert refusal(having(signed(), b"x-amz-content-sha256", b"nonsense"))[0] == "InvalidArgument"
    assert refusal(without(signed(), b"x-amz-date"))[0] == "AccessDenied"
    assert refusal(having(signed(), b"x-amz-date", b"20131324T000000Z"))[0] == "AccessDenied"


def test_the_date_header_may_stand_for_x_amz_date() -> None:
    stamp, scope = "20130524T000000Z", "20130524/r/s3/aws4_request"
    headers = {
        "host": "x",
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-content-sha256": UNSIGNED,
    }
    request = canonical_request("GET", "/b/k", "", headers, UNSIGNED)
    key = signing_key(EXAMPLE.secrets[0].encode(), b"20130524", b"r")
    proof = signature(key, stamp.encode(), scope.encode(), request).decode()
    names = ";".join(sorted(headers))
    wire = {name.encode(): value.encode() for name, value in headers.items()}
    wire[b"authorization"] = (
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{scope}, "
        f"SignedHeaders={names}, Signature={proof}"
    ).encode()
    checker().by_header(Parts(b"GET", b"/b/k", b"", wire))


def test_anonymous_requests_are_denied() -> None:
    assert refusal(Parts(b"GET", b"/b/k", b"", {b"host": b"x"}))[:2] == ("AccessDenied", 403)


def test_two_ways_of_signing_at_once_are_refused() -> None:
    assert refusal(having(EXAMPLE_URL, b"authorization", b"x"), PRESIGNED)[0] == "InvalidArgument"


def test_security_tokens_are_refused() -> None:
    parts = signed(headers={"x-amz-security-token": "t"})
    assert refusal(parts)[0] == "InvalidToken"
    assert refusal(EXAMPLE_URL, PRESIGNED + b"&X-Amz-Security-Token=t")[0] == "InvalidToken"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"X-Amz-Expires=86400", b"X-Amz-Expires=604801"),
        (b"X-Amz-Expires=86400", b"X-Amz-Expires=-1"),
        (b"X-Amz-Expires=86400", b"X-Amz-Expires=" + b"9" * 5000),
        (b"X-Amz-Expires=86400", b"X-Amz-Expires=soon"),
        (b"&X-Amz-Expires=86400", b""),
        (b"&X-Amz-SignedHeaders=host", b""),
        (b"X-Amz-Date=20130524T000000Z", b"X-Amz-Date=20130523T235959Z"),
        (b"X-Amz-Date=20130524T000000Z", b"X-Amz-Date=yesterday"),
        (b"HMAC-SHA256&", b"HMAC-SHA1&"),
        (b"%2Fs3%2F", b"%2Fec2%2F"),
        (b"&X-Amz-SignedHeaders=host", b"&X-Amz-SignedHeaders=host&X-Amz-SignedHeaders=host"),
    ],
)
def test_bad_parameters_of_presigned_urls_are_refused_as_such(old: bytes, new: bytes) -> None:
    assert refusal(EXAMPLE_URL, PRESIGNED.replace(old, new), NOW + 10)[0] == (
        "AuthorizationQueryParametersError"
    )


def test_a_changed_presigned_url_is_refused() -> None:
    assert refusal(EXAMPLE_URL, PRESIGNED + b"&response-content-type=text/html")[0] == (
        "SignatureDoesNotMatch"
    )
    assert refusal(EXAMPLE_URL, PRESIGNED.replace(b"86400", b"86401"))[0] == "SignatureDoesNotMatch"
    unsigned = having(EXAMPLE_URL, b"x-amz-request-payer", b"requester")
    assert refusal(unsigned, PRESIGNED)[0] == "AccessDenied"


def test_repeated_headers_that_decide_are_refused_and_others_joined() -> None:
    with pytest.raises(Refusal):
        one_of_each([(b"authorization", b"a"), (b"authorization", b"b")])
    with pytest.raises(Refusal):
        one_of_each([(b"x-amz-date", b"a"), (b"x-amz-date", b"a")])
    assert one_of_each([(b"x-amz-meta", b"a"), (b"x-amz-meta", b"b")]) == {b"x-amz-meta": b"a,b"}


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"/b/plain-._~", b"/b/plain-._~"),
        (b"/b/date=2025/a%20b", b"/b/date%3D2025/a%20b"),
        (b"/b/%7E%2d%2F", b"/b/~-/"),
        (b"/b/%c3%a4+", b"/b/%C3%A4%2B"),
        (b"/b/%2500", b"/b/%2500"),
    ],
)
def test_paths_are_signed_as_s3_escapes_them(raw: bytes, canonical: bytes) -> None:
    assert canonical_path(raw) == canonical


def test_queries_are_signed_decoded_escaped_and_in_order() -> None:
    assert canonical_query(query_pairs(b"b=2&a=x%20y+z&c&a=%2F")) == b"a=%2F&a=x%20y%20z&b=2&c="
    with pytest.raises(Refusal):
        query_pairs(b"a=%zz")
    with pytest.raises(Refusal):
        query_pairs(b"a=%ff")


def test_a_rotated_key_opens_with_both_secrets_and_a_revoked_one_with_none() -> None:
    ring = KeyRing([AccessKey(EXAMPLE.caller, ("new", "old"))])
    door = Signatures(ring, lambda: NOW)
    door.by_header(signed(secret="new"))
    door.by_header(signed(secret="old"))

    ring.replace([AccessKey(EXAMPLE.caller, ("new",))])
    with pytest.raises(SignatureWrong):
        door.by_header(signed(secret="old"))

    ring.replace([])
    with pytest.raises(KeyUnknown):
        door.by_header(signed(secret="new"))


def test_kept_signing_keys_are_bounded() -> None:
    holder = Holder(EXAMPLE)
    for number in range(1000):
        holder.signing_keys(b"20130524", b"%d" % number)
    assert len(holder._signing_keys) <= 64


@pytest.mark.parametrize(
    "path",
    ["/", "/sales", "/sales/a", "/salesmen", "/sal", "/other/x", "/other", "/top", "/sales/"],
)
@pytest.mark.parametrize(
    "grants",
    [
        (),
        (Grant(ROOT, Right.READ),),
        (Grant(LakePath("/sales"), Right.READ), Grant(LakePath("/other/x"), Right.WRITE)),
    ],
)
def test_compiled_grants_say_what_grants_say(path: str, grants: tuple[Grant, ...]) -> None:
    caller = Caller("k", grants)
    holder = Holder(AccessKey(caller, ("s",)))
    lake_path = LakePath(path.rstrip("/") or "/")
    assert holder.may_read(lake_path.text) == caller.may(Right.READ, lake_path)


def test_the_clock_is_an_argument() -> None:
    assert abs(time.time() - NOW) > 900
    checker().by_header(signed())
