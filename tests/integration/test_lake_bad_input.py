"""Bad input at the S3 door of a whole node: refused by name, nothing changed, nobody held up."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from tests.doors.s3_door import Answer, Client
from tests.fakes.whole_node import WholeNode

pytestmark = pytest.mark.slow

BODY = b"inside the mount"
GOOD = "/guarded/d/a.txt"


@pytest.fixture(scope="module")
def guarded(whole_lake: WholeNode) -> Iterator[Path]:
    """A directory that is mounted at /guarded; beside it lies what nobody may see."""
    whole_lake.put("guarded-lake/outside.txt", b"outside the mount")
    whole_lake.put("guarded-lake/inside/d/a.txt", BODY)
    place = whole_lake.lake / "guarded-lake" / "inside"
    whole_lake.mount("/guarded", f"file://{place}", sync="10m")
    assert whole_lake.ask(GOOD).body == BODY
    yield place
    whole_lake.node.delete("/v1/mounts", path="/guarded")


@pytest.fixture(autouse=True)
def unharmed(whole_lake: WholeNode, guarded: Path) -> Iterator[None]:
    """Whatever was sent, the node is as it was."""

    def seen() -> tuple[object, ...]:
        files = {path: path.read_bytes() for path in guarded.parent.rglob("*") if path.is_file()}
        keys = whole_lake.node.get("/v1/keys")
        return files, whole_lake.mount_paths(), keys, whole_lake.pid

    before = seen()
    yield
    assert seen() == before
    assert whole_lake.ask(GOOD).body == BODY


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("/guarded/../outside.txt", "InvalidArgument"),
        ("/guarded/d/../../outside.txt", "InvalidArgument"),
        ("/guarded/%2e%2e/outside.txt", "InvalidArgument"),
        ("/guarded/%2E./outside.txt", "InvalidArgument"),
        ("/guarded/..%2foutside.txt", "InvalidArgument"),
        ("/guarded/./d/a.txt", "InvalidArgument"),
        ("/guarded//d/a.txt", "InvalidArgument"),
        ("/guarded/d/a.txt%00", "InvalidArgument"),
        ("/guarded/%00/../outside.txt", "InvalidArgument"),
        ("/guarded/d/a%01.txt", "InvalidArgument"),
        ("/guarded/d/%0d%0aX-Injected:%20yes", "InvalidArgument"),
        ("/guarded/d/%7f", "InvalidArgument"),
        ("/guarded/d/%c2%85", "InvalidArgument"),
        ("/guarded/.forebay/hold", "InvalidArgument"),
        ("/guarded/%2eforebay/hold", "InvalidArgument"),
        ("/guarded/d/.forebay/x", "InvalidArgument"),
        ("/lake/.forebay", "InvalidArgument"),
        ("/lake/guarded/../guarded/d/a.txt", "InvalidArgument"),
        ("/guarded/%ff", "InvalidURI"),
        ("/guarded/%c0%ae%c0%ae/outside.txt", "InvalidURI"),
        ("/guarded/%zz", "InvalidURI"),
        ("/guarded/a%2", "InvalidURI"),
        ("/..", "InvalidBucketName"),
        ("/%2e%2e/etc/passwd", "InvalidBucketName"),
        ("/guarded%5c..%5coutside.txt", "InvalidBucketName"),
        # Decoded once: a name like any other, which is not there.
        ("/guarded/%252e%252e/outside.txt", "NoSuchKey"),
        ("/guarded/..%5Coutside.txt", "NoSuchKey"),
    ],
)
def test_a_path_that_leaves_its_mount_or_is_no_text_is_refused(
    whole_lake: WholeNode, raw: str, code: str, method: str
) -> None:
    answer = whole_lake.ask("/unused", raw_path=raw, method=method)

    assert answer.status == (404 if code == "NoSuchKey" else 400)
    assert answer.code == ("" if method == "HEAD" else code)
    assert "x-injected" not in answer.headers
    assert answer.headers["x-amz-request-id"]


@pytest.mark.parametrize("prefix", ["../", "d/../../", "\x01", ".forebay/", "d/.forebay/"])
def test_a_prefix_that_no_key_can_have_is_refused_or_leads_nowhere(
    whole_lake: WholeNode, prefix: str
) -> None:
    answer = whole_lake.ask("/guarded", query={"list-type": "2", "prefix": prefix})

    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert b"outside.txt" not in answer.body


# --- who asks


def changed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Something of the request is changed after it was signed."""

    def change(request: bytes) -> bytes:
        assert old in request
        return request.replace(old, new, 1)

    return change


def other_signature(request: bytes) -> bytes:
    head, _, rest = request.partition(b"Signature=")
    first = b"0" if rest[:1] != b"0" else b"1"
    return head + b"Signature=" + first + rest[1:]


TAMPERED: Mapping[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "signature": (other_signature, 403, "SignatureDoesNotMatch"),
    "path": (changed(b"/d/a.txt HTTP", b"/d/b.txt HTTP"), 403, "SignatureDoesNotMatch"),
    "method": (changed(b"GET ", b"HEAD "), 403, ""),
    "query": (changed(b" HTTP/1.1", b"?versionId=x HTTP/1.1"), 403, "SignatureDoesNotMatch"),
    "host": (changed(b"host: 127.0.0.1", b"host: 127.0.0.2"), 403, "SignatureDoesNotMatch"),
    "service": (changed(b"/s3/aws4", b"/ec2/aws4"), 400, "AuthorizationHeaderMalformed"),
    "an unsigned header": (
        changed(b"\r\n\r\n", b"\r\nx-amz-checksum-mode: ENABLED\r\n\r\n"),
        403,
        "AccessDenied",
    ),
    "an unsigned token": (
        changed(b"\r\n\r\n", b"\r\nx-amz-security-token: forged\r\n\r\n"),
        400,
        "InvalidToken",
    ),
    "the header twice": (
        changed(b"\r\n\r\n", b"\r\nx-amz-date: 20200101T000000Z\r\n\r\n"),
        400,
        "InvalidArgument",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_after_signing_is_refused(whole_lake: WholeNode, what: str) -> None:
    change, status, code = TAMPERED[what]
    request = change(whole_lake.request(GOOD))

    with Client(whole_lake.port) as client:
        answer = client.send(request).answer(has_body=not request.startswith(b"HEAD"))

    assert (answer.status, answer.code) == (status, code)
    assert BODY not in answer.body


@pytest.mark.parametrize(
    ("wishes", "status", "code"),
    [
        ({"now": time.time() - 3600}, 403, "RequestTimeTooSkewed"),
        ({"now": time.time() + 3600}, 403, "RequestTimeTooSkewed"),
        ({"key": ("FBUNKNOWN", "x" * 40)}, 403, "InvalidAccessKeyId"),
        ({"payload_hash": hashlib.sha256(b"other").hexdigest()}, 400, "XAmzContentSHA256Mismatch"),
    ],
)
def test_expired_future_strange_and_wrongly_hashed_requests_are_refused(
    whole_lake: WholeNode, wishes: dict[str, Any], status: int, code: str
) -> None:
    answer = whole_lake.ask(GOOD, **wishes)

    assert (answer.status, answer.code) == (status, code)


def test_a_wrong_secret_and_no_signature_at_all_are_refused(whole_lake: WholeNode) -> None:
    key_id, secret = whole_lake.key()
    wrong = whole_lake.ask(GOOD, key=(key_id, secret[:-1] + ("A" if secret[-1] != "A" else "B")))
    assert (wrong.status, wrong.code) == (403, "SignatureDoesNotMatch")

    nobody = f"GET {GOOD} HTTP/1.1\r\nhost: 127.0.0.1:{whole_lake.port}\r\n\r\n".encode()
    with Client(whole_lake.port) as client:
        answer = client.send(nobody).answer()
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_a_presigned_address_ends_when_it_says(whole_lake: WholeNode) -> None:
    key_id, secret = whole_lake.key()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{whole_lake.port}",
        region_name="us-east-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )
    wanted = {"Bucket": "guarded", "Key": "d/a.txt"}
    short = client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=1)
    long = client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=60)
    client.close()
    assert fetched(whole_lake, long).body == BODY
    time.sleep(2.05)

    expired = fetched(whole_lake, short)
    assert (expired.status, expired.code) == (403, "AccessDenied")
    lengthened = fetched(whole_lake, short.replace("X-Amz-Expires=1&", "X-Amz-Expires=9999&"))
    assert (lengthened.status, lengthened.code) == (403, "SignatureDoesNotMatch")
    assert fetched(whole_lake, long).body == BODY


def fetched(node: WholeNode, url: str) -> Answer:
    parts = urlsplit(url)
    request = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n"
    with Client(node.port) as client:
        return client.send(request.encode()).answer()


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [
        ("PUT", 501, "NotImplemented"),
        ("DELETE", 501, "NotImplemented"),
        ("POST", 501, "NotImplemented"),
        ("PATCH", 405, "MethodNotAllowed"),
    ],
)
def test_what_would_change_something_is_refused(
    whole_lake: WholeNode, method: str, status: int, code: str
) -> None:
    answer = whole_lake.ask(GOOD, method=method)

    assert (answer.status, answer.code) == (status, code)


# --- connections


def test_a_head_that_is_too_large_or_no_http_is_refused(whole_lake: WholeNode) -> None:
    with Client(whole_lake.port) as client:
        large = f"GET {GOOD} HTTP/1.1\r\nhost: x\r\nx-large: {'x' * 70_000}\r\n\r\n".encode()
        answer = client.send(large).answer()
        assert (answer.status, answer.code) == (400, "RequestHeaderSectionTooLarge")
        assert client.is_closed()
    with Client(whole_lake.port) as client:
        answer = client.send(b"\x16\x03\x01\x02\x00 hello\r\n\r\n").answer()
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert client.is_closed()


def test_slow_and_half_open_connections_are_ended_and_hold_up_nobody(
    whole_lake: WholeNode,
) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(Client(whole_lake.port)) for _ in range(300)]
        begun = stack.enter_context(Client(whole_lake.port, timeout=30))
        slow = stack.enter_context(Client(whole_lake.port, timeout=30))
        # It promised a body, and does not send it.
        waiting = stack.enter_context(Client(whole_lake.port, timeout=60))
        head = whole_lake.request(GOOD)
        begun.send(head[:50])
        waiting.send(head.replace(b"\r\n\r\n", b"\r\ncontent-length: 10\r\n\r\n"))
        is_over = threading.Event()
        dripping = threading.Thread(target=drip, args=(slow, head, is_over))
        dripping.start()

        for _ in range(50):
            began = time.monotonic()
            assert whole_lake.ask(GOOD).body == BODY
            assert time.monotonic() - began < 5

        for client in (begun, slow):
            answer = client.answer()
            assert (answer.status, answer.code) == (400, "RequestTimeout")
            assert client.is_closed()
        is_over.set()
        dripping.join()
        late = waiting.answer()
        assert (late.status, late.code) == (400, "RequestTimeout")
        # Gone in the middle of it all: nobody is told, nobody waits.
        for client in silent[:100]:
            client.send(head[:20])
            client.socket.shutdown(socket.SHUT_WR)
        assert whole_lake.ask(GOOD).body == BODY


def drip(client: Client, head: bytes, is_over: threading.Event) -> None:
    """Send a byte now and then."""
    for at in range(len(head) - 1):
        if is_over.wait(0.2):
            return
        try:
            client.send(head[at : at + 1])
        except OSError:
            return


def test_a_client_that_reads_nothing_holds_up_nobody(whole_lake: WholeNode, guarded: Path) -> None:
    large = guarded / "large"
    large.write_bytes(b"L" * (16 << 20))
    try:
        with ExitStack() as stack:
            for _ in range(20):
                client = stack.enter_context(Client(whole_lake.port, receive_buffer=4096))
                client.send(whole_lake.request("/guarded/large"))
            for _ in range(20):
                assert whole_lake.ask(GOOD).body == BODY
    finally:
        large.unlink()
