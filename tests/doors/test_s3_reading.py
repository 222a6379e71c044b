"""Reading through the S3 door, request by request: statuses, headers, documents."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from forebay.doors.s3.keyring import AccessKey
from forebay.model.errors import GenerationGone, StoreAway, StoreBusy, StoreLied
from forebay.model.grants import Caller, Grant, Right
from forebay.model.paths import LakePath
from tests.doors.s3_door import ADMIN, Client, Door, eventually

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture
def door(s3_door: Door) -> Iterator[Door]:
    """The door, open."""
    with s3_door.serving() as door:
        yield door


def test_buckets_are_the_whole_lake_and_its_top_directories(door: Door) -> None:
    door.lake.directories |= {"/Upper", "/under_score"}

    answer = door.ask("/")

    root = ET.fromstring(answer.body)  # noqa: S314 - our own
    assert root.tag == f"{NAMESPACE}ListAllMyBucketsResult"
    assert answer.texts("Name") == ["cold", "lake", "onprem"]
    assert door.ask("/", query={"prefix": "l"}).texts("Name") == ["lake"]


def test_buckets_come_in_pages_when_asked(door: Door) -> None:
    first = door.ask("/", query={"max-buckets": "2"})
    (token,) = first.texts("ContinuationToken")
    second = door.ask("/", query={"max-buckets": "2", "continuation-token": token})

    assert first.texts("Name") == ["cold", "lake"]
    assert second.texts("Name") == ["onprem"]
    assert second.texts("ContinuationToken") == []


def test_a_bucket_says_that_it_is_there_and_where(door: Door) -> None:
    head = door.ask("/onprem", method="HEAD")
    assert (head.status, head.headers["x-amz-bucket-region"]) == (200, "us-east-1")
    assert door.ask("/nothing", method="HEAD").status == 404
    location = door.ask("/onprem", query={"location": ""})
    assert location.body.endswith(
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>'
    )
    assert door.ask("/nothing", query={"location": ""}).code == "NoSuchBucket"


def test_a_file_is_read_with_all_that_s3_says_of_it(door: Door) -> None:
    answer = door.ask("/onprem/a.txt")

    assert (answer.status, answer.body) == (200, b"hello")
    headers = answer.headers
    assert headers["etag"] == door.lake.entry(LakePath("/onprem/a.txt")).etag
    assert headers["last-modified"] == "Wed, 21 Oct 2026 07:28:00 GMT"
    assert headers["content-type"] == "binary/octet-stream"
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-forebay-age"] == "3"
    assert headers["x-forebay-cache"] == "miss"
    assert headers["server"] == "Forebay"
    assert len(headers["x-amz-request-id"]) == 16


def test_the_same_file_has_two_addresses(door: Door) -> None:
    assert door.ask("/lake/onprem/a.txt").body == b"hello"
    assert door.ask("/lake/onprem/odd name+ä%.txt").body == b"odd"
    assert door.ask("/onprem/odd name+ä%.txt").body == b"odd"


def test_a_path_may_be_escaped_in_another_way_than_s3_escapes_it(door: Door) -> None:
    # The client signs the canonical form, and sends another one of the same name.
    door.lake.contents["/onprem/date=1"] = b"day"
    request = door.signed("/onprem/date=1").replace(b"date%3D1", b"date=1")
    with Client(door.port) as client:
        assert client.send(request).answer().body == b"day"


def test_head_tells_the_length_and_sends_nothing(door: Door) -> None:
    answer = door.ask("/onprem/sales/2025/q1.parquet", method="HEAD")

    assert (answer.status, answer.headers["content-length"]) == (200, "100000")
    assert door.lake.calls["open"] == 0


def test_ranges(door: Door) -> None:
    path = "/onprem/a.txt"
    part = door.ask(path, headers={"range": "bytes=1-3"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"ell", "bytes 1-3/5")
    assert door.ask(path, headers={"range": "bytes=-2"}).body == b"lo"
    assert door.ask(path, headers={"range": "bytes=0-1,3-4"}).body == b"hello"
    beyond = door.ask(path, headers={"range": "bytes=5-"})
    assert (beyond.status, beyond.code) == (416, "InvalidRange")
    assert beyond.texts("ActualObjectSize") == ["5"]
    head = door.ask(path, method="HEAD", headers={"range": "bytes=1-3"})
    assert (head.status, head.headers["content-length"]) == (206, "3")
    assert door.ask("/onprem/empty", headers={"range": "bytes=0-"}).status == 416


def test_conditions(door: Door) -> None:
    path = "/onprem/a.txt"
    etag = door.ask(path).headers["etag"]

    unchanged = door.ask(path, headers={"if-none-match": etag})
    assert (unchanged.status, unchanged.headers["etag"], unchanged.body) == (304, etag, b"")
    changed = door.ask(path, headers={"if-match": '"x"'})
    assert (changed.status, changed.code) == (412, "PreconditionFailed")
    since = {"if-modified-since": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert door.ask(path, headers=since).status == 304
    assert door.ask(path, method="HEAD", headers={"if-match": '"x"'}).status == 412
    stale = {"if-range": '"x"', "range": "bytes=0-1"}
    assert door.ask(path, headers=stale).body == b"hello"
    assert door.ask(path, headers={**stale, "if-range": etag}).body == b"he"
    assert all(file.is_closed for file in door.lake.opened)


def test_parts_and_versions_are_those_of_an_object_with_one_of_each(door: Door) -> None:
    path = "/onprem/a.txt"
    part = door.ask(path, query={"partNumber": "1"})
    assert (part.status, part.body, part.headers["x-amz-mp-parts-count"]) == (206, b"hello", "1")
    assert door.ask(path, query={"partNumber": "2"}).code == "InvalidPartNumber"
    assert door.ask(path, query={"partNumber": "x"}).code == "InvalidArgument"
    assert door.ask(path, query={"versionId": "null"}).body == b"hello"
    missing = door.ask(path, query={"versionId": "abc"})
    assert (missing.status, missing.code) == (404, "NoSuchVersion")
    assert door.ask(path, query={"versionId": ""}).code == "InvalidArgument"


def test_a_client_may_choose_headers_of_the_answer(door: Door) -> None:
    query = {
        "response-content-type": "text/csv",
        "response-content-disposition": 'attachment; filename="a b.txt"',
        "response-cache-control": "no-cache",
    }
    answer = door.ask("/onprem/a.txt", query=query)
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["content-disposition"] == 'attachment; filename="a b.txt"'
    assert answer.headers["cache-control"] == "no-cache"
    hostile = door.ask("/onprem/a.txt", query={"response-content-type": "a\r\nx-evil: 1"})
    assert (hostile.status, hostile.code) == (400, "InvalidArgument")


def test_content_types_are_the_stores(door: Door) -> None:
    door.lake.content_types["/onprem/a.txt"] = "text/plain"
    door.lake.content_types["/onprem/empty"] = "bad\r\nx: y"
    assert door.ask("/onprem/a.txt").headers["content-type"] == "text/plain"
    assert door.ask("/onprem/empty").headers["content-type"] == "binary/octet-stream"


def test_directories_answer_to_a_slash_only(door: Door) -> None:
    for path in ("/onprem/void/", "/onprem/sales/"):
        for method in ("GET", "HEAD"):
            answer = door.ask(path, method=method)
            assert (answer.status, answer.headers["content-length"]) == (200, "0")
            assert answer.headers["content-type"] == "application/x-directory"
    for path in ("/onprem/void", "/onprem/sales", "/onprem/a.txt/"):
        assert door.ask(path).code == "NoSuchKey"
        assert door.ask(path, method="HEAD").status == 404


def test_what_is_missing_is_named(door: Door) -> None:
    key = door.ask("/onprem/nothing/here")
    assert (key.status, key.code, key.texts("Key")) == (404, "NoSuchKey", ["nothing/here"])
    assert key.texts("RequestId") == [key.headers["x-amz-request-id"]]
    assert key.texts("Resource") == ["/onprem/nothing/here"]
    bucket = door.ask("/nothing/here")
    assert (bucket.status, bucket.code) == (404, "NoSuchBucket")
    head = door.ask("/onprem/nothing", method="HEAD")
    assert (head.status, head.body) == (404, b"")


def test_a_listing_has_the_shape_of_s3s(door: Door) -> None:
    answer = door.ask("/onprem", query={"list-type": "2", "prefix": "sales/", "delimiter": "/"})

    root = ET.fromstring(answer.body)  # noqa: S314 - our own
    names = [child.tag.removeprefix(NAMESPACE) for child in root]
    assert root.tag == f"{NAMESPACE}ListBucketResult"
    assert names == [
        "Name",
        "Prefix",
        "KeyCount",
        "MaxKeys",
        "Delimiter",
        "IsTruncated",
        "CommonPrefixes",
        "CommonPrefixes",
    ]
    (entry,) = door.ask("/onprem", query={"list-type": "2", "prefix": "a.txt"}).texts("Contents")
    etag = door.lake.entry(LakePath("/onprem/a.txt")).etag.replace('"', "&quot;")
    assert entry == (
        f"<Key>a.txt</Key><LastModified>2026-10-21T07:28:00.250Z</LastModified><ETag>{etag}</ETag>"
        "<Size>5</Size><StorageClass>STANDARD</StorageClass>"
    )


def test_a_listing_goes_on_with_its_token(door: Door) -> None:
    query = {"list-type": "2", "max-keys": "2"}
    keys: list[str] = []
    while True:
        answer = door.ask("/onprem", query=query)
        keys += answer.texts("Key")
        if answer.texts("IsTruncated") == ["false"]:
            break
        query["continuation-token"] = answer.texts("NextContinuationToken")[0]

    assert keys == [
        "a.txt",
        "empty",
        "odd name+ä%.txt",
        "sales/2025/q1.parquet",
        "sales/2025/q2.parquet",
        "sales/2026/q1.parquet",
        "void/",
    ]
    assert door.ask("/cold", query=query).code == "InvalidArgument"


def test_the_first_version_of_listings_goes_on_with_a_marker(door: Door) -> None:
    first = door.ask("/onprem", query={"delimiter": "/", "max-keys": "4"})
    (marker,) = first.texts("NextMarker")
    second = door.ask("/onprem", query={"delimiter": "/", "marker": marker})

    assert marker == "sales/"
    assert first.texts("Owner")
    assert second.texts("CommonPrefixes") == ["<Prefix>void/</Prefix>"]


def test_keys_are_escaped_when_asked(door: Door) -> None:
    query = {"list-type": "2", "prefix": "odd ", "encoding-type": "url", "start-after": "o p"}
    answer = door.ask("/onprem", query={**query, "start-after": "a b"})
    assert answer.texts("Key") == ["odd%20name%2B%C3%A4%25.txt"]
    assert answer.texts("Prefix") == ["odd%20"]
    assert answer.texts("StartAfter") == ["a%20b"]
    assert answer.texts("EncodingType") == ["url"]


@pytest.mark.parametrize(
    "query",
    [
        {"max-keys": "-1"},
        {"max-keys": "many"},
        {"max-keys": "99999999999"},
        {"encoding-type": "base64"},
        {"list-type": "3"},
        {"list-type": "2", "continuation-token": "x"},
        {"prefix": "../"},
        {"prefix": ".forebay/"},
        {"acl": "", "policy": ""},
    ],
)
def test_bad_parameters_are_refused(door: Door, query: dict[str, str]) -> None:
    answer = door.ask("/onprem", query=query)
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_a_parameter_that_is_given_twice_is_refused(door: Door) -> None:
    request = door.signed("/onprem", query={"prefix": "a"}).replace(
        b"?prefix=a", b"?prefix=a&prefix=a"
    )
    with Client(door.port) as client:
        # The signature is of one; but with it right, two would be refused all the same.
        assert client.send(request).answer().code == "SignatureDoesNotMatch"


def test_more_than_a_thousand_keys_are_never_shown_at_once(door: Door) -> None:
    door.lake.contents |= {f"/onprem/n/{number:05}": b"" for number in range(1500)}
    answer = door.ask("/onprem", query={"list-type": "2", "prefix": "n/", "max-keys": "5000"})
    assert answer.texts("KeyCount") == ["1000"]
    assert answer.texts("MaxKeys") == ["1000"]
    assert answer.texts("IsTruncated") == ["true"]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"versioning": ""}, 200, "<VersioningConfiguration xmlns="),
        ({"logging": ""}, 200, "<BucketLoggingStatus xmlns="),
        ({"notification": ""}, 200, "<NotificationConfiguration xmlns="),
        ({"accelerate": ""}, 200, "<AccelerateConfiguration xmlns="),
        ({"requestPayment": ""}, 200, "<Payer>BucketOwner</Payer>"),
        ({"policy": ""}, 404, "NoSuchBucketPolicy"),
        ({"cors": ""}, 404, "NoSuchCORSConfiguration"),
        ({"tagging": ""}, 404, "NoSuchTagSet"),
        ({"lifecycle": ""}, 404, "NoSuchLifecycleConfiguration"),
        ({"object-lock": ""}, 404, "ObjectLockConfigurationNotFoundError"),
        ({"encryption": ""}, 404, "ServerSideEncryptionConfigurationNotFoundError"),
        ({"acl": ""}, 501, "NotImplemented"),
        ({"uploads": ""}, 501, "NotImplemented"),
        ({"versions": ""}, 501, "NotImplemented"),
    ],
)
def test_settings_of_a_bucket(door: Door, query: dict[str, str], status: int, text: str) -> None:
    answer = door.ask("/onprem", query=query)
    assert answer.status == status
    assert text in answer.body.decode()


def test_settings_of_an_object(door: Door) -> None:
    tags = door.ask("/onprem/a.txt", query={"tagging": ""})
    assert tags.status == 200
    assert tags.body.endswith(b"<TagSet></TagSet></Tagging>")
    assert door.ask("/onprem/nothing", query={"tagging": ""}).code == "NoSuchKey"
    for name in ("acl", "retention", "legal-hold", "attributes", "uploadId"):
        answer = door.ask("/onprem/a.txt", query={name: ""})
        assert (answer.status, answer.code) == (501, "NotImplemented")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/onprem", "/onprem/a.txt", "/"])
def test_changes_are_refused_and_nothing_is_changed(door: Door, method: str, path: str) -> None:
    answer = door.ask(path, method=method, body=b"new", payload_hash="UNSIGNED-PAYLOAD")
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert door.lake.contents["/onprem/a.txt"] == b"hello"


def test_methods_that_s3_does_not_have_are_refused(door: Door) -> None:
    answer = door.ask("/onprem/a.txt", method="PATCH")
    assert (answer.status, answer.code, answer.headers["allow"]) == (
        405,
        "MethodNotAllowed",
        "GET, HEAD",
    )
    assert door.ask("/", method="HEAD").status == 405


def test_a_client_that_waits_to_send_its_body_is_refused_at_once(door: Door) -> None:
    request = door.signed(
        "/onprem/x",
        method="PUT",
        payload_hash="UNSIGNED-PAYLOAD",
        headers={"expect": "100-continue", "content-length": "5000000"},
    )
    with Client(door.port) as client:
        answer = client.send(request).answer()
        assert (answer.status, answer.headers["connection"]) == (501, "close")
        assert client.is_closed()


def test_a_body_must_be_the_one_that_was_signed(door: Door) -> None:
    wrong = door.ask("/onprem/a.txt", body=b"surprise")
    assert (wrong.status, wrong.code) == (400, "XAmzContentSHA256Mismatch")
    missing = door.ask("/onprem/a.txt", payload_hash="0" * 64)
    assert missing.code == "XAmzContentSHA256Mismatch"
    unsigned = door.ask("/onprem/a.txt", body=b"ignored", payload_hash="UNSIGNED-PAYLOAD")
    assert unsigned.body == b"hello"
    long = door.ask("/onprem/a.txt", body=b"x" * 1_100_000, payload_hash="UNSIGNED-PAYLOAD")
    assert long.code == "MaxMessageLengthExceeded"


def test_without_a_key_nobody_comes_in(door: Door) -> None:
    for target in ("/", "/onprem", "/onprem/a.txt", "/nothing"):
        with Client(door.port) as client:
            client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = client.answer()
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert sum(door.lake.calls.values()) == 0


def test_denials_are_audited_and_logged(door: Door) -> None:
    answer = door.ask("/onprem/a.txt", key=("AKIDEXAMPLE", "guess"))

    assert answer.code == "SignatureDoesNotMatch"
    assert eventually(lambda: len(door.log.rows) == 1)
    (record,) = door.audit.records
    assert (record.result, record.target) == ("SignatureDoesNotMatch", "/onprem/a.txt")
    assert record.request_id == answer.headers["x-amz-request-id"]
    assert door.log.rows[-1][7] == 403


def test_grants_decide_before_existence_does(s3_door: Door) -> None:
    sales = Caller("SALES", (Grant(LakePath("/onprem/sales"), Right.READ),))
    s3_door.ring.replace([ADMIN, AccessKey(sales, ("s",))])
    key = ("SALES", "s")
    s3_door.shelf.put("/onprem/a.txt", "/onprem/a.txt", b"hello")
    with s3_door.serving() as door:
        assert door.ask("/onprem/sales/2026/q1.parquet", key=key).body == b"new"
        assert door.ask("/onprem/sales/nothing", key=key).code == "NoSuchKey"
        for path in ("/onprem/a.txt", "/onprem/nothing", "/cold/z", "/cold/nothing", "/nothing/x"):
            denied = door.ask(path, key=key)
            assert (denied.status, denied.code) == (403, "AccessDenied")
        assert door.ask("/cold", key=key).status == 403
        assert door.ask("/", key=key).texts("Name") == ["lake", "onprem"]
        listing = {"list-type": "2", "delimiter": "/"}
        assert door.ask("/onprem", key=key, query=listing).texts("Key") == []
        assert door.ask("/onprem/a.txt").is_hot


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreAway("/onprem", "no answer"), 503, "SlowDown"),
        (StoreBusy("/onprem"), 503, "SlowDown"),
        (StoreLied("/onprem"), 503, "ServiceUnavailable"),
        (RuntimeError("secret"), 500, "InternalError"),
    ],
)
def test_trouble_is_worded(door: Door, error: Exception, status: int, code: str) -> None:
    door.lake.trouble = error
    for path in ("/onprem/a.txt", "/onprem", "/"):
        answer = door.ask(path)
        assert (answer.status, answer.code) == (status, code)
        assert ("retry-after" in answer.headers) is (status == 503)
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body


@pytest.mark.parametrize("as_files", [True, False])
def test_a_file_comes_in_pieces_of_either_kind(door: Door, tmp_path: Path, as_files: bool) -> None:
    content = bytes(range(256)) * 20_000
    door.lake.contents["/onprem/big"] = content
    door.lake.root = tmp_path if as_files else None

    answer = door.ask("/onprem/big")
    part = door.ask("/onprem/big", headers={"range": "bytes=99999-4000000"})

    assert answer.body == content
    assert part.body == content[99999:4000001]
    assert answer.headers["x-forebay-cache"] == ("hit" if as_files else "miss")
    assert eventually(lambda: len(door.log.rows) == 2)
    row = door.log.rows[-1]
    sent = len(part.body)
    assert row[5:10] == (99999, 4000001, 206, *((sent, 0) if as_files else (0, sent)))
    assert all(file.is_closed for file in door.lake.opened)


def test_an_answer_says_how_much_of_it_is_cached(door: Door) -> None:
    door.lake.present = 2
    assert door.ask("/onprem/a.txt").headers["x-forebay-cache"] == "partial"


@pytest.mark.parametrize("as_files", [True, False])
def test_an_error_after_the_first_byte_cuts_the_answer(
    door: Door, tmp_path: Path, as_files: bool
) -> None:
    door.lake.contents["/onprem/big"] = bytes(1_000_000)
    door.lake.root = tmp_path if as_files else None
    door.lake.fails_at, door.lake.failure = 500_000, StoreLied("/onprem/big")
    with Client(door.port) as client:
        client.send(door.signed("/onprem/big"))

        with pytest.raises((EOFError, ConnectionError)):
            client.answer()
    assert all(file.is_closed for file in door.lake.opened)


@pytest.mark.parametrize(
    ("error", "status"), [(StoreAway("/x"), 503), (GenerationGone("/x", "changed"), 412)]
)
def test_an_error_before_the_first_byte_is_worded(
    door: Door, error: Exception, status: int
) -> None:
    door.lake.fails_at = 0
    door.lake.failure = error  # type: ignore[assignment]
    assert door.ask("/onprem/a.txt").status == status
    assert all(file.is_closed for file in door.lake.opened)


def test_a_file_that_has_become_another_is_answered_as_the_one_it_is(door: Door) -> None:
    before = door.ask("/onprem/a.txt").headers["etag"]
    door.lake.becomes = b"another content"

    answer = door.ask("/onprem/a.txt", headers={"range": "bytes=-7"})

    assert answer.body == b"content"
    assert answer.headers["etag"] != before
    assert answer.headers["content-range"] == "bytes 8-14/15"


def test_a_slow_reader_of_a_miss_gets_it_all(door: Door, tmp_path: Path) -> None:
    content = bytes(range(256)) * 30_000
    door.lake.contents["/onprem/big"] = content
    for root in (tmp_path, None):
        door.lake.root = root
        with Client(door.port, receive_buffer=16384) as client:
            client.send(door.signed("/onprem/big") + door.signed("/onprem/a.txt"))
            assert client.answer(pause=0.0002).body == content
            assert client.answer().body == b"hello"


def test_a_client_that_vanishes_during_a_miss_leaves_nothing_open(
    door: Door, tmp_path: Path
) -> None:
    door.lake.contents["/onprem/big"] = bytes(20_000_000)
    door.lake.root = tmp_path
    with Client(door.port, receive_buffer=16384) as client:
        client.send(door.signed("/onprem/big"))
        client.head()
    door.shut()
    door.thread.join(10)
    assert not door.thread.is_alive()
    assert all(file.is_closed for file in door.lake.opened)


def test_what_cannot_be_kept_is_fetched_for_nobody_when_the_client_is_gone(door: Door) -> None:
    door.lake.contents["/onprem/big"] = bytes(50_000_000)
    with Client(door.port, receive_buffer=16384) as client:
        client.send(door.signed("/onprem/big"))
        client.head()
    assert eventually(lambda: door.lake.opened[0].is_closed)
    assert door.lake.opened[0].from_store < 20_000_000


def test_a_range_of_absurd_numbers_is_no_trouble(door: Door) -> None:
    digits = "9" * 5000
    whole = door.ask("/onprem/a.txt", headers={"range": f"bytes=0-{digits}"})
    assert (whole.status, whole.body) == (206, b"hello")
    assert door.ask("/onprem/a.txt", headers={"range": f"bytes={digits}-"}).status == 416


def test_unsupported_headers_are_refused_not_overlooked(door: Door) -> None:
    owner = door.ask("/onprem/a.txt", headers={"x-amz-expected-bucket-owner": "111122223333"})
    assert owner.code == "AccessDenied"
    name = "x-amz-server-side-encryption-customer-algorithm"
    assert door.ask("/onprem/a.txt", headers={name: "AES256"}).code == "NotImplemented"


def test_keys_change_with_the_ring(door: Door) -> None:
    assert door.ask("/onprem/a.txt").status == 200
    door.ring.replace([])
    assert door.ask("/onprem/a.txt").code == "InvalidAccessKeyId"


def test_the_doors_clock_decides_what_is_fresh(door: Door) -> None:
    request = door.signed("/onprem/a.txt")
    door.shift = 1000
    with Client(door.port) as client:
        assert client.send(request).answer().code == "RequestTimeTooSkewed"


def test_old_knowledge_says_so(door: Door) -> None:
    door.lake.age = timedelta(minutes=5)
    assert door.ask("/onprem/a.txt", method="HEAD").headers["x-forebay-age"] == "300"
    assert door.ask("/onprem/a.txt").headers["x-forebay-age"] == "300"
    assert door.ask("/onprem/a.txt", method="HEAD").headers["x-forebay-cache"] == "hit"


@pytest.mark.parametrize(
    "target", ["/onprem/../cold/z", "/onprem/%2e%2e/cold/z", "/onprem/a%00", "/lake/.forebay/x"]
)
def test_bad_paths_are_refused_at_the_door(door: Door, target: str) -> None:
    with Client(door.port) as client:
        answer = client.send(door.signed("", raw_path=target)).answer()
        assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert sum(door.lake.calls.values()) == 0
