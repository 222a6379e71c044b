"""The options of the cache: how much room it may take, and how it fetches."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """How much room the cache may take, and how it fetches.

    Attributes:
        quota_bytes: of disk, for segment files; a limit, never exceeded.
        free_bytes: of the disk, which the cache leaves free.
        range_bytes: the largest range that one request to a store fetches.
        flights: ranges of one file on their way at a time.
        store_flights: ranges of one store on their way at a time.
        ahead_bytes: the largest read-ahead of a file that is read forward.
        commit_seconds: how long blocks wait to be entered together.
        idle_seconds: how long an unused reader of a store is kept open.
        slow_seconds: how long a stream that is passed on uncached waits for its reader.
        full_seconds: how long nothing is cached after the disk refused a write.
        young_seconds: hits so soon after a fill belong to the same reading and do not count.
    """

    quota_bytes: int
    free_bytes: int = 1024 * MIB
    range_bytes: int = 4 * MIB
    flights: int = 8
    store_flights: int = 32
    ahead_bytes: int = 16 * MIB
    commit_seconds: float = 0.03
    idle_seconds: float = 10.0
    slow_seconds: float = 1.0
    full_seconds: float = 10.0
    young_seconds: float = 5.0
