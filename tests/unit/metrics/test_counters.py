"""Counters, and how Prometheus sees them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from forebay.metrics.counters import Counters, quantile
from forebay.metrics.exposition import Exposition
from forebay.metrics.families import FAMILIES, Family, Sample

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


def scraped(exposition: Exposition) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What Prometheus makes of a scrape: (name, labels) -> value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition.text().decode())
        for sample in family.samples
    }


def labels(**given: str) -> frozenset[tuple[str, str]]:
    return frozenset(given.items())


def test_answers_are_counted_by_class_of_status() -> None:
    counters = Counters()
    gets = counters.operation("s3", "get")
    gets.answered(304, 0.001)
    gets.answered(403, 0.001)
    gets.answered(404, 0.001)

    seen = scraped(Exposition(counters))

    of = ("s3", "get")
    assert seen["forebay_requests_total", labels(door=of[0], operation=of[1], status="4xx")] == 2
    assert seen["forebay_requests_total", labels(door=of[0], operation=of[1], status="3xx")] == 1


def test_a_read_is_a_hit_a_partial_or_a_miss_by_where_its_bytes_came_from() -> None:
    counters = Counters()
    gets = counters.operation("s3", "get")
    gets.hit(200, 0.00002, 100)
    gets.read(206, 0.00002, 100, 0)
    gets.read(200, 0.02, 10, 90)
    gets.read(200, 0.02, 0, 50)

    seen = scraped(Exposition(counters))

    results = {
        result: seen["forebay_reads_total", labels(door="s3", operation="get", cache=result)]
        for result in ("hit", "partial", "miss")
    }
    assert results == {"hit": 2, "partial": 1, "miss": 1}
    served = {
        source: seen[
            "forebay_served_bytes_total", labels(door="s3", operation="get", source=source)
        ]
        for source in ("cache", "store")
    }
    assert served == {"cache": 210, "store": 140}


def test_latencies_are_a_cumulative_histogram() -> None:
    counters = Counters()
    gets = counters.operation("s3", "get")
    for seconds in (0.00002, 0.00002, 0.003, 1_000.0):
        gets.answered(200, seconds)

    seen = scraped(Exposition(counters))

    def below(bound: str) -> float:
        return seen["forebay_request_seconds_bucket", labels(door="s3", operation="get", le=bound)]

    assert below("1.6e-05") == 0
    assert below("3.2e-05") == 2
    assert below("0.004096") == 3
    assert below("+Inf") == 4
    assert seen["forebay_request_seconds_count", labels(door="s3", operation="get")] == 4
    assert quantile(gets, 0.5) == 3.2e-05


def test_the_hit_ratio_of_a_mount_is_cached_over_asked() -> None:
    counters = Counters()
    onprem = counters.mount("/onprem")
    counters.mount("/")
    onprem.bytes_from_cache += 300
    onprem.bytes_from_store += 100

    seen = scraped(Exposition(counters))

    assert seen["forebay_mount_asked_bytes_total", labels(mount="/onprem")] == 400
    assert seen["forebay_mount_hit_ratio", labels(mount="/onprem")] == 0.75
    assert seen["forebay_mount_hit_ratio", labels(mount="/")] == 0


def test_bytes_belong_to_the_nearest_mount() -> None:
    counters = Counters()
    outer, inner = counters.mount("/a"), counters.mount("/a/b")

    assert counters.mount_of("/a/b/c/d") is inner
    assert counters.mount_of("/a/bc") is outer
    assert counters.mount_of("/other") is None
    root = counters.mount("/")
    assert counters.mount_of("/other") is root


def test_other_rooms_bring_their_own_numbers() -> None:
    def store_numbers() -> Iterator[Sample]:
        yield Sample("forebay_store_requests_total", ("/onprem", "stat", "ok"), 7)

    seen = scraped(Exposition(Counters(), [store_numbers]))

    wanted = labels(mount="/onprem", verb="stat", result="ok")
    assert seen["forebay_store_requests_total", wanted] == 7


def test_a_number_without_a_family_is_refused() -> None:
    with pytest.raises(KeyError, match="forebay_secret_total"):
        Exposition(Counters(), [lambda: [Sample("forebay_secret_total", (), 1)]]).text()


def test_every_family_is_scraped_even_before_its_first_value() -> None:
    text = Exposition(Counters()).text().decode()

    for family in FAMILIES:
        assert f"# HELP {family.name} " in text


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_in_the_reference(family: Family) -> None:
    facts = (f"`{family.name}`", family.shape.value, ", ".join(family.labels), family.meaning)
    row = f"| {' | '.join(facts)} |"
    assert row in REFERENCE.read_text(encoding="utf-8")
