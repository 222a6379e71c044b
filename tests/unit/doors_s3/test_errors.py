"""Every error of the tree has a code of S3's, and says whether to ask again."""

import pytest

from forebay.doors.s3.errors import STATUSES, Refusal, answer_to, code_of
from forebay.doors.s3.xml import error_document
from forebay.model.errors import (
    AccessDenied,
    FileMissing,
    ForebayError,
    StoreAway,
    StoreRefused,
    every_error,
)


@pytest.mark.parametrize("error", [e for e in every_error() if e.__module__.startswith("forebay.")])
def test_every_error_has_a_code_and_a_status(error: type[ForebayError]) -> None:
    answer = answer_to(error("/a/b", "because"))
    assert answer.code == code_of(error)
    assert STATUSES[answer.code] == answer.status
    assert answer.retry_after is None or answer.status == 503
    assert "because" in answer.message


def test_a_store_that_is_away_is_no_missing_key() -> None:
    answer = answer_to(StoreAway("/a"))
    assert (answer.code, answer.status, answer.retry_after) == ("SlowDown", 503, 1)


def test_trouble_of_the_mount_is_not_the_callers() -> None:
    assert answer_to(StoreRefused("s3://b")).status == 500
    assert answer_to(AccessDenied("/a")).status == 403
    assert answer_to(FileMissing("/a")).status == 404


def test_what_is_not_ours_tells_nothing() -> None:
    answer = answer_to(RuntimeError("secret detail"))
    assert (answer.code, answer.status) == ("InternalError", 500)
    assert "secret" not in answer.message


def test_the_document_survives_hostile_names() -> None:
    refusal = Refusal("NoSuchKey", "no", {"Key": "<&\x00\ud800>"})
    body = error_document(answer_to(refusal), "/b/%00<", "ID")
    assert b"<Key>&lt;&amp;??&gt;</Key>" in body
    assert b"<Resource>/b/%00&lt;</Resource><RequestId>ID</RequestId>" in body
