"""Addresses are judged before anything else looks at them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.doors.s3.address import address_of, is_bucket_name, key_of_path, lake_text, path_of_key
from forebay.doors.s3.errors import Refusal, answer_to
from forebay.model.errors import BadPath
from forebay.model.sigv4 import escape


@pytest.mark.parametrize(
    ("url", "bucket", "key", "path"),
    [
        (b"/", "", "", "/"),
        (b"/lake", "lake", "", "/"),
        (b"/lake/", "lake", "", "/"),
        (b"/lake/onprem/a.parquet", "lake", "onprem/a.parquet", "/onprem/a.parquet"),
        (b"/onprem", "onprem", "", "/onprem"),
        (b"/onprem/a.parquet", "onprem", "a.parquet", "/onprem/a.parquet"),
        (b"/onprem/dir/", "onprem", "dir/", "/onprem/dir"),
        (b"/onprem/a%20b%2Bc%25", "onprem", "a b+c%", "/onprem/a b+c%"),
        (b"/onprem/a+b", "onprem", "a+b", "/onprem/a+b"),
        (b"/onprem/%C3%A4", "onprem", "ä", "/onprem/ä"),
        # Encoded twice: it is a name with percent signs in it.
        (b"/onprem/%252e%252e/x", "onprem", "%2e%2e/x", "/onprem/%2e%2e/x"),
        (b"/lake/lake/x", "lake", "lake/x", "/lake/x"),
    ],
)
def test_urls_name_buckets_keys_and_lake_paths(
    url: bytes, bucket: str, key: str, path: str
) -> None:
    address = address_of(url)
    assert (address.bucket, address.key, address.path.text) == (bucket, key, path)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (b"/onprem/../etc/passwd", "InvalidArgument"),
        (b"/onprem/%2e%2e/x", "InvalidArgument"),
        (b"/onprem/%2E./x", "InvalidArgument"),
        (b"/onprem/a/..", "InvalidArgument"),
        (b"/onprem/./x", "InvalidArgument"),
        (b"/onprem/a//b", "InvalidArgument"),
        (b"/onprem//", "InvalidArgument"),
        (b"/lake//", "InvalidArgument"),
        (b"/lake//x", "InvalidArgument"),
        (b"/onprem/a%00b", "InvalidArgument"),
        (b"/onprem/a%0Ab", "InvalidArgument"),
        (b"/onprem/a%7F", "InvalidArgument"),
        (b"/onprem/%C2%85", "InvalidArgument"),
        (b"/onprem/.forebay/hold/x", "InvalidArgument"),
        (b"/onprem/a/.forebay", "InvalidArgument"),
        (b"/lake/.forebay", "InvalidArgument"),
        (b"/onprem/" + b"n" * 481, "InvalidArgument"),
        (b"/onprem/%zz", "InvalidURI"),
        (b"/onprem/%2", "InvalidURI"),
        (b"/onprem/%ff", "InvalidURI"),
        (b"/onprem/%ed%a0%80", "InvalidURI"),
        (b"onprem/x", "InvalidURI"),
        (b"*", "InvalidURI"),
        (b"/Upper/x", "InvalidBucketName"),
        (b"/ab/x", "InvalidBucketName"),
        (b"/.forebay/x", "InvalidBucketName"),
        (b"/../x", "InvalidBucketName"),
        (b"//x", "InvalidBucketName"),
        (b"/10.0.0.1/x", "InvalidBucketName"),
        (b"/a%00b/x", "InvalidBucketName"),
    ],
)
def test_bad_paths_are_refused_in_the_words_of_s3(url: bytes, code: str) -> None:
    with pytest.raises((Refusal, BadPath)) as caught:
        address_of(url)
    assert answer_to(caught.value).code == code
    assert answer_to(caught.value).status == 400
    assert lake_text(url) is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("abc", True),
        ("a-b.c", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("-ab", False),
        ("ab-", False),
        ("a..b", False),
        ("a_b", False),
        ("1.2.3.4", False),
        ("1.2.3", True),
    ],
)
def test_bucket_names_are_those_of_s3(name: str, is_one: bool) -> None:
    assert is_bucket_name(name) is is_one


def test_the_shelf_is_asked_only_for_keys_that_can_be_files() -> None:
    assert lake_text(b"/onprem/a%20b") == "/onprem/a b"
    assert lake_text(b"/lake/onprem/a") == "/onprem/a"
    for url in (b"/", b"/onprem", b"/onprem/dir/"):
        assert lake_text(url) is None


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from(["lake", "onprem"]))
def test_a_key_that_is_accepted_is_shown_again_as_it_was(key: str, bucket: str) -> None:
    try:
        address = address_of(f"/{bucket}/{escape(key)}".encode())
    except (Refusal, BadPath):
        return
    assert address.key == key
    if key:
        assert key_of_path(bucket, address.path) == key.removesuffix("/")
        assert path_of_key(bucket, key) == address.path
