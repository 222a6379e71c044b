"""Jobs: what runs, and what became of the last ones."""

from datetime import UTC, datetime

import pytest

from forebay.model.errors import StoreAway
from forebay.reports.jobs import RUNNING, Jobs


def now() -> datetime:
    return datetime(2026, 11, 24, tzinfo=UTC)


def test_a_job_runs_and_ends_with_its_result() -> None:
    jobs = Jobs(now)

    with jobs.running("load", "/a", "node") as job:
        assert jobs.all()[0].result == RUNNING
        job.done_bytes = 5

    assert [(j.kind, j.result, j.done_bytes) for j in jobs.all()] == [("load", "ok", 5)]


def test_a_job_that_fails_keeps_the_code() -> None:
    jobs = Jobs(now)

    with pytest.raises(StoreAway), jobs.running("load", "/a", "node"):
        raise StoreAway("s3://b")

    assert jobs.all()[0].result == "store-away"


def test_only_the_last_hundred_that_ended_are_kept() -> None:
    jobs = Jobs(now)
    for number in range(150):
        with jobs.running("load", f"/{number}", "node"):
            pass

    assert len(jobs.all()) == 100
    assert jobs.all()[0].path == "/149"
