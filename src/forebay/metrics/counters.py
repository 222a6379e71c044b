"""Counters: what the doors did, kept as plain integers because the hot path bumps them.

Everything here belongs to the thread of one event loop; nothing is locked.
"""

from collections.abc import Iterator
from typing import Final

from forebay.metrics.families import Sample

BUCKET_COUNT: Final = 28
"""Latency buckets: number n counts answers of less than 2^n microseconds, the last all others."""


class OperationCounters:
    """What one door did for one operation."""

    __slots__ = (
        "bytes_from_cache",
        "bytes_from_store",
        "door",
        "hits",
        "latencies",
        "misses",
        "operation",
        "partials",
        "seconds",
        "statuses",
    )

    def __init__(self, door: str, operation: str) -> None:
        self.door = door
        self.operation = operation
        self.statuses = [0] * 10
        self.latencies = [0] * BUCKET_COUNT
        self.seconds = 0.0
        self.bytes_from_cache = 0
        self.bytes_from_store = 0
        self.hits = 0
        self.partials = 0
        self.misses = 0

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer that sent no content of a file."""
        self.statuses[status // 100] += 1
        self.seconds += seconds
        bucket = int(seconds * 1_000_000).bit_length()
        self.latencies[bucket if bucket < BUCKET_COUNT else -1] += 1

    def hit(self, status: int, seconds: float, from_cache: int) -> None:
        """Count an answer whose content was all cached."""
        self.statuses[status // 100] += 1
        self.seconds += seconds
        bucket = int(seconds * 1_000_000).bit_length()
        self.latencies[bucket if bucket < BUCKET_COUNT else -1] += 1
        self.hits += 1
        self.bytes_from_cache += from_cache

    def read(self, status: int, seconds: float, from_cache: int, from_store: int) -> None:
        """Count an answer whose content came from the cache, the store, or both."""
        if from_store == 0:
            self.hit(status, seconds, from_cache)
            return
        self.answered(status, seconds)
        self.bytes_from_cache += from_cache
        self.bytes_from_store += from_store
        if from_cache == 0:
            self.misses += 1
        else:
            self.partials += 1


class MountCounters:
    """What was read below one mount."""

    __slots__ = ("bytes_from_cache", "bytes_from_store", "mount")

    def __init__(self, mount: str) -> None:
        self.mount = mount
        self.bytes_from_cache = 0
        self.bytes_from_store = 0

    @property
    def bytes_asked(self) -> int:
        """Bytes that readers asked for and got."""
        return self.bytes_from_cache + self.bytes_from_store

    @property
    def hit_ratio(self) -> float:
        """The share of them that was cached; 0 before the first read."""
        return self.bytes_from_cache / self.bytes_asked if self.bytes_asked else 0.0


class Counters:
    """All counters of one process."""

    def __init__(self) -> None:
        self._operations: dict[tuple[str, str], OperationCounters] = {}
        self._mounts: dict[str, MountCounters] = {}

    def operation(self, door: str, operation: str) -> OperationCounters:
        """The counters of one operation; keep them, do not look them up for each request."""
        key = (door, operation)
        found = self._operations.get(key)
        if found is None:
            found = self._operations[key] = OperationCounters(door, operation)
        return found

    def mount(self, path: str) -> MountCounters:
        """The counters of the mount at the lake path `path`."""
        found = self._mounts.get(path)
        if found is None:
            found = self._mounts[path] = MountCounters(path)
        return found

    def mount_of(self, path: str) -> MountCounters | None:
        """The counters of the nearest known mount at or above the lake path `path`."""
        mounts = self._mounts
        found = mounts.get(path)
        while found is None and path:
            path = path[: path.rfind("/")]
            found = mounts.get(path)
        return mounts.get("/") if found is None else found

    def forget_mount(self, path: str) -> None:
        """Let go of an unmounted mount's counters."""
        self._mounts.pop(path, None)

    def operations(self) -> list[OperationCounters]:
        """The counters of every operation, by door and name."""
        return [self._operations[key] for key in sorted(self._operations)]

    def mounts(self) -> list[MountCounters]:
        """The counters of every mount, by path."""
        return [self._mounts[path] for path in sorted(self._mounts)]

    def samples(self) -> Iterator[Sample]:
        """All values but the latencies, as samples of `FAMILIES`."""
        for counters in self.operations():
            yield from _samples_of_operation(counters)
        for mount in self.mounts():
            labels = (mount.mount,)
            yield Sample("forebay_mount_asked_bytes_total", labels, mount.bytes_asked)
            yield Sample("forebay_mount_cached_bytes_total", labels, mount.bytes_from_cache)
            yield Sample("forebay_mount_hit_ratio", labels, mount.hit_ratio)


def _samples_of_operation(counters: OperationCounters) -> Iterator[Sample]:
    place = (counters.door, counters.operation)
    for hundreds, count in enumerate(counters.statuses):
        if count:
            yield Sample("forebay_requests_total", (*place, f"{hundreds}xx"), count)
    for result, count in (
        ("hit", counters.hits),
        ("partial", counters.partials),
        ("miss", counters.misses),
    ):
        yield Sample("forebay_reads_total", (*place, result), count)
    for source, count in (
        ("cache", counters.bytes_from_cache),
        ("store", counters.bytes_from_store),
    ):
        yield Sample("forebay_served_bytes_total", (*place, source), count)


def bucket_bounds() -> list[str]:
    """The upper bounds of the latency buckets, in seconds."""
    return [repr((1 << number) / 1_000_000) for number in range(BUCKET_COUNT - 1)] + ["+Inf"]


def quantile(counters: OperationCounters, share: float) -> float:
    """The latency in seconds that `share` of the answers stayed below; 0 before the first."""
    wanted = share * sum(counters.latencies)
    seen = 0
    for number, count in enumerate(counters.latencies):
        seen += count
        if count and seen >= wanted:
            return (1 << number) / 1_000_000
    return 0.0
