"""Conditions and ranges are decided as RFC 9110 and S3 say."""

import pytest

from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.wishes import failed_condition, range_still_holds, wanted_bytes

ETAG = b'"abc-1"'
MODIFIED = 1_792_567_680
AT = b"Wed, 21 Oct 2026 07:28:00 GMT"
BEFORE = b"Wed, 21 Oct 2026 07:27:59 GMT"
AFTER = b"Wed, 21 Oct 2026 07:28:01 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({b"if-match": ETAG}, None),
        ({b"if-match": b"abc-1"}, None),
        ({b"if-match": b"*"}, None),
        ({b"if-match": b'"x", "abc-1"'}, None),
        ({b"if-match": b'"x"'}, 412),
        ({b"if-none-match": ETAG}, 304),
        ({b"if-none-match": b"*"}, 304),
        ({b"if-none-match": b'W/"abc-1"'}, 304),
        ({b"if-none-match": b'"x"'}, None),
        ({b"if-modified-since": AT}, 304),
        ({b"if-modified-since": AFTER}, 304),
        ({b"if-modified-since": BEFORE}, None),
        ({b"if-modified-since": b"nonsense"}, None),
        ({b"if-unmodified-since": AT}, None),
        ({b"if-unmodified-since": BEFORE}, 412),
        ({b"if-unmodified-since": b"nonsense"}, None),
        # The entity tag decides where both are given.
        ({b"if-match": ETAG, b"if-unmodified-since": BEFORE}, None),
        ({b"if-none-match": b'"x"', b"if-modified-since": AT}, None),
        ({b"if-match": b'"x"', b"if-none-match": ETAG}, 412),
    ],
)
def test_conditions(headers: dict[bytes, bytes], status: int | None) -> None:
    assert failed_condition(headers, ETAG, MODIFIED) == status


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=0-99", (0, 10)),
        (b"bytes=3-", (3, 10)),
        (b"bytes=-4", (6, 10)),
        (b"bytes=-99", (0, 10)),
        (b"bytes=9-9", (9, 10)),
        (b"bytes=5-4", None),
        (b"bytes=-", None),
        (b"bytes=0-1,3-4", None),
        (b"lines=1-2", None),
        (b"bytes=a-b", None),
    ],
)
def test_ranges(value: bytes, wanted: tuple[int, int] | None) -> None:
    assert wanted_bytes(value, 10) == wanted


@pytest.mark.parametrize("value", [b"bytes=10-", b"bytes=10-20", b"bytes=-0"])
def test_ranges_that_the_file_does_not_have(value: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        wanted_bytes(value, 10)
    assert caught.value.code == "InvalidRange"


def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(Refusal):
        wanted_bytes(b"bytes=0-", 0)


def test_a_range_holds_for_the_same_content_only() -> None:
    assert range_still_holds(ETAG, ETAG, MODIFIED)
    assert range_still_holds(AT, ETAG, MODIFIED)
    assert not range_still_holds(b'"x"', ETAG, MODIFIED)
    assert not range_still_holds(AFTER, ETAG, MODIFIED)
    assert not range_still_holds(b'W/"abc-1"', ETAG, MODIFIED)
