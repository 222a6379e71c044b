"""The table of metric families: every number that a node shows to Prometheus."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Shape(StrEnum):
    """How a number behaves over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One family: its name, its shape, its labels, and what it tells."""

    name: str
    shape: Shape
    labels: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a family; `labels` are in the order of the family's."""

    family: str
    labels: tuple[str, ...]
    value: float


FAMILIES: Final = (
    Family(
        "forebay_requests_total",
        Shape.COUNTER,
        ("door", "operation", "status"),
        "Requests answered, by class of status (2xx, 3xx, 4xx, 5xx).",
    ),
    Family(
        "forebay_request_seconds",
        Shape.HISTOGRAM,
        ("door", "operation"),
        "Time from a request's last header byte to the last byte of its answer.",
    ),
    Family(
        "forebay_reads_total",
        Shape.COUNTER,
        ("door", "operation", "cache"),
        "Reads that sent content, by where it came from: hit (all cached), partial, miss.",
    ),
    Family(
        "forebay_served_bytes_total",
        Shape.COUNTER,
        ("door", "operation", "source"),
        "Bytes of content sent, by source: cache or store.",
    ),
    Family(
        "forebay_mount_asked_bytes_total",
        Shape.COUNTER,
        ("mount",),
        "Bytes of content that readers asked for below the mount.",
    ),
    Family(
        "forebay_mount_cached_bytes_total",
        Shape.COUNTER,
        ("mount",),
        "Bytes of those that were in the cache when asked for.",
    ),
    Family(
        "forebay_mount_hit_ratio",
        Shape.GAUGE,
        ("mount",),
        "Cached bytes divided by asked bytes since the node started.",
    ),
    Family(
        "forebay_store_requests_total",
        Shape.COUNTER,
        ("mount", "verb", "result"),
        "Requests to the mount's store, by verb and result (ok, or the code of the error).",
    ),
    Family(
        "forebay_store_request_seconds_total",
        Shape.COUNTER,
        ("mount", "verb"),
        "Time spent waiting for the mount's store.",
    ),
    Family(
        "forebay_store_fetched_bytes_total",
        Shape.COUNTER,
        ("mount",),
        "Bytes of content read from the mount's store.",
    ),
    Family(
        "forebay_store_written_bytes_total",
        Shape.COUNTER,
        ("mount",),
        "Bytes of content written to the mount's store.",
    ),
    Family(
        "forebay_cache_quota_bytes",
        Shape.GAUGE,
        ("tier",),
        "Most bytes the tier may hold.",
    ),
    Family(
        "forebay_cache_held_bytes",
        Shape.GAUGE,
        ("tier", "state"),
        "Bytes that count against the quota: entered, unlinked (but still open), reserved.",
    ),
    Family(
        "forebay_cache_segments_count",
        Shape.GAUGE,
        ("tier",),
        "Segments the tier holds.",
    ),
    Family(
        "forebay_cache_evictions_total",
        Shape.COUNTER,
        ("tier",),
        "Segments evicted to make room.",
    ),
    Family(
        "forebay_names_bytes",
        Shape.GAUGE,
        (),
        "Bytes that remembered statuses take on disk.",
    ),
    Family(
        "forebay_access_log_records_total",
        Shape.COUNTER,
        ("outcome",),
        "Records of the access log: written, or dropped because the disk could not keep up.",
    ),
    Family(
        "forebay_node_start_seconds",
        Shape.GAUGE,
        ("version",),
        "When the node started, in seconds since 1970.",
    ),
)
