"""The reports of a node: gathered from its rooms, worded nowhere else."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from forebay.cache.keeper import Keeper
from forebay.files.files import Files
from forebay.metrics.access_log import AccessLog, AccessRecord, find
from forebay.metrics.counters import Counters, quantile
from forebay.metrics.families import Sample
from forebay.model.amounts import shown_bytes, shown_seconds, shown_share
from forebay.model.errors import BadInput, BadPath, FileMissing, ForebayError
from forebay.model.grants import NODE_USER
from forebay.model.paths import LakePath, lake_path
from forebay.namespace.mounts import Mount
from forebay.namespace.registry import Finding as StoreFinding
from forebay.namespace.registry import Namespace
from forebay.reports.doctor import Finding, examine_store
from forebay.reports.jobs import RUNNING, Jobs
from forebay.reports.report import Report, Table, fact, row
from forebay.shelf.tallies import Amount, Tallies
from forebay.stores.contract import Store
from forebay.stores.measured import StoreFigures
from forebay.stores.wrapped import Verb

SECTIONS: Final = ("summary", "capacity", "ufs", "metrics", "jobs")

# Verbs that ask for statuses and not for content.
_STATUS_VERBS: Final = (Verb.STAT, Verb.LIST, Verb.OPEN, Verb.VERIFY)
_NOTHING: Final = Amount(0, 0)
_TIER: Final = "disk"


@dataclass(frozen=True, slots=True)
class MountFigures:
    """What happened below one mount since the node started."""

    mount: Mount
    asked: int
    from_cache: int
    store: StoreFigures

    @property
    def status_requests(self) -> int:
        """Requests for statuses and listings."""
        return sum(self.store.requests.get(verb, 0) for verb in _STATUS_VERBS)

    @property
    def reads(self) -> int:
        """Requests for content."""
        return self.store.requests.get(Verb.READ, 0)

    @property
    def errors(self) -> int:
        """Requests that failed."""
        return sum(self.store.errors.values())


@dataclass(frozen=True, slots=True)
class NodeReports:
    """Gathers and words the reports.

    Attributes:
        files: the lake.
        namespace: the mounts.
        keeper: the cache.
        counters: what the doors did.
        figures_of: what was counted for a store.
        tallies: what other processes of this host read by themselves.
        access_log: the access log.
        jobs: the long work.
        node: facts of the node.
        clock: the time now.
    """

    files: Files
    namespace: Namespace
    keeper: Keeper
    counters: Counters
    figures_of: Callable[[Store], StoreFigures]
    tallies: Tallies
    access_log: AccessLog
    jobs: Jobs
    node: Callable[[], Mapping[str, Any]]
    clock: Callable[[], datetime]

    def section(self, name: str) -> Report:
        """One section of the report.

        Raises:
            BadInput: there is none of that name.
        """
        match name:
            case "summary":
                return self._summary()
            case "capacity":
                return self._capacity()
            case "ufs":
                return self._ufs()
            case "metrics":
                return self._metrics()
            case "jobs":
                return self._jobs()
            case _:
                raise BadInput(
                    name, f"is no section of the report; there are {', '.join(SECTIONS)}"
                )

    def fetched_bytes(self) -> int:
        """Bytes fetched into the cache since the node started."""
        return self.keeper.usage().fetched

    async def why(self, subject: str) -> Report:
        """What is known of a lake path, or, by its id, of a request.

        Raises:
            FileMissing: it is no path, and no request of that id is in the log.
        """
        if subject.startswith("/"):
            return await self._why_path(lake_path(subject))
        # What was answered a moment ago may wait to be written.
        await self.access_log.flush()
        record = await asyncio.to_thread(find, self.access_log.path, subject)
        if record is None:
            raise FileMissing(subject, "is no lake path, and no such request is in the access log")
        about = _about_request(record)
        try:
            path = await self._why_path(lake_path(record.path))
        except BadPath:
            return about
        return Report(about.title, about.facts + path.facts)

    async def doctor(self) -> Sequence[Finding]:
        """Each mount, asked now."""
        findings: list[Finding] = []
        for seen in await self.namespace.check_all():
            findings += await self._examine(seen)
        usage = self.keeper.usage()
        if usage.is_full:
            advice = "Make room on the disk; reads go on uncached meanwhile."
            findings.append(Finding("cache", "wrong", "the disk refuses writes", advice))
        if usage.damaged_blocks:
            seen_blocks = f"{usage.damaged_blocks} damaged blocks were dropped and fetched again"
            advice = "Once is no harm; if it grows, look at the disk (smartctl)."
            findings.append(Finding("cache", "doubtful", seen_blocks, advice))
        return findings

    def samples(self) -> Iterator[Sample]:
        """The numbers of stores and cache, for the exposition."""
        for figures in self.mounts():
            yield from _store_samples(figures)
        usage = self.keeper.usage()
        yield Sample("forebay_cache_quota_bytes", (_TIER,), usage.quota)
        for state, value in (
            ("entered", usage.entered),
            ("unlinked", usage.unlinked_open),
            ("reserved", usage.reserved),
        ):
            yield Sample("forebay_cache_held_bytes", (_TIER, state), value)
        yield Sample("forebay_cache_segments_count", (_TIER,), usage.segments)
        yield Sample("forebay_cache_evictions_total", (_TIER,), usage.evictions)

    def mounts(self) -> list[MountFigures]:
        """What happened below each mount; reads past the doors included."""
        tallied = self.tallies.totals()
        found = []
        for mount in self.namespace.mounts():
            counted = self.counters.mount(mount.path.text)
            short = tallied.get(mount.path.text, _NOTHING)
            store = self.namespace.resolve(mount.path).store
            found.append(
                MountFigures(
                    mount,
                    counted.bytes_asked + short.size,
                    counted.bytes_from_cache + short.size,
                    self.figures_of(store),
                )
            )
        return found

    def _summary(self) -> Report:
        node = self.node()
        usage = self.keeper.usage()
        mounts = self.mounts()
        asked = sum(figures.asked for figures in mounts)
        cached = sum(figures.from_cache for figures in mounts)
        return Report(
            "Forebay summary",
            (
                fact("node", node["node_id"]),
                fact("version", node["version"]),
                fact("started", node["started_at"]),
                fact("up", node["uptime_seconds"], shown_seconds(node["uptime_seconds"])),
                *(fact(f"{door['name']} door", door["url"]) for door in node["doors"]),
                fact("mounts", len(mounts)),
                fact("cache", usage.entered, _of(usage.entered, usage.quota)),
                fact("cached files open", usage.open_files),
                fact("bytes asked", asked, shown_bytes(asked)),
                fact(
                    "served from cache", cached, f"{shown_bytes(cached)} ({_share(cached, asked)})"
                ),
                fact("fetched from stores", usage.fetched, shown_bytes(usage.fetched)),
                fact("errors of stores", sum(figures.errors for figures in mounts)),
            ),
        )

    def _capacity(self) -> Report:
        usage = self.keeper.usage()
        free = usage.quota - usage.entered - usage.reserved - usage.unlinked_open
        cells = row(
            _TIER,
            (usage.quota, shown_bytes(usage.quota)),
            (usage.entered, shown_bytes(usage.entered)),
            (usage.reserved, shown_bytes(usage.reserved)),
            (usage.unlinked_open, shown_bytes(usage.unlinked_open)),
            (free, shown_bytes(free)),
            _share(usage.entered, usage.quota),
            usage.segments,
        )
        columns = (
            "tier", "quota>", "held>", "reserved>", "evicted, still open>", "free>", "used>",
            "segments>",
        )  # fmt: skip
        return Report(
            "Capacity of the cache",
            (
                fact("evicted", usage.evicted_bytes, f"{shown_bytes(usage.evicted_bytes)} in "
                     f"{usage.evictions} segments"),
                fact("damaged blocks", usage.damaged_blocks),
                fact("disk refuses writes", usage.is_full, "yes" if usage.is_full else "no"),
            ),
            (Table("tiers", columns, (cells,)),),
        )  # fmt: skip

    def _ufs(self) -> Report:
        columns = (
            "mount", "uri", "mode", "sync", "asked>", "from cache>", "hit rate>", "fetched>",
            "reads>", "status requests>", "errors>",
        )  # fmt: skip
        rows = tuple(
            row(
                figures.mount.path.text,
                figures.mount.uri,
                "read-only" if figures.mount.readonly else "read-write",
                str(figures.mount.sync),
                (figures.asked, shown_bytes(figures.asked)),
                (figures.from_cache, shown_bytes(figures.from_cache)),
                _share(figures.from_cache, figures.asked),
                (figures.store.bytes_read, shown_bytes(figures.store.bytes_read)),
                figures.reads,
                figures.status_requests,
                figures.errors,
            )
            for figures in self.mounts()
        )
        return Report("Stores, by mount", tables=(Table("", columns, rows),))

    def _metrics(self) -> Report:
        columns = (
            "door", "operation", "answers>", "errors>", "from cache>", "from store>",
            "p50>", "p99>",
        )  # fmt: skip
        rows = tuple(
            row(
                counted.door,
                counted.operation,
                sum(counted.statuses),
                sum(counted.statuses[4:]),
                (counted.bytes_from_cache, shown_bytes(counted.bytes_from_cache)),
                (counted.bytes_from_store, shown_bytes(counted.bytes_from_store)),
                _latency(quantile(counted, 0.5)),
                _latency(quantile(counted, 0.99)),
            )
            for counted in self.counters.operations()
            if any(counted.statuses)
        )
        short = sum((amount.reads for amount in self.tallies.totals().values()), 0)
        return Report(
            "Requests at the doors",
            (fact("reads past the doors (same host, same user)", short),),
            (Table("operations", columns, rows),),
        )

    def _jobs(self) -> Report:
        columns = ("job>", "what", "path", "by", "begun", "result", "done>", "of>")
        rows = tuple(
            row(
                job.number,
                job.kind,
                job.path,
                job.caller,
                job.begun_at.isoformat(timespec="seconds"),
                job.result,
                (job.done_bytes, shown_bytes(job.done_bytes)),
                (job.total_bytes, shown_bytes(job.total_bytes)),
            )
            for job in self.jobs.all()
        )
        running = sum(job.result == RUNNING for job in self.jobs.all())
        return Report("Jobs", (fact("running", running),), (Table("last jobs", columns, rows),))

    async def _why_path(self, path: LakePath) -> Report:
        why = await self.files.why(NODE_USER, path)
        status = why.status
        error = why.last_error
        return Report(
            f"Why {path} is answered as it is",
            (
                fact("existence", why.existence.value),
                fact("placement", why.placement),
                fact("store", why.store),
                fact("store key", None if why.store_key is None else why.store_key.text),
                fact("generation", _text(status and status.generation)),
                fact("fingerprint", _text(status and status.fingerprint)),
                fact("etag", status.etag if status else None),
                fact("sync", why.sync),
                fact("age", why.age.total_seconds(), shown_seconds(why.age.total_seconds()))
                if why.age is not None
                else fact("age", None),
                fact(
                    "fresh", why.is_fresh, "yes" if why.is_fresh else "no: the store is asked first"
                ),
                fact(
                    "cached",
                    why.cached_bytes,
                    f"{shown_bytes(why.cached_bytes)} ({100 * why.cached_share:.1f} %)",
                ),
                fact("last error", None if error is None else f"{error.code}: {error.sentence}"),
            ),
        )

    async def _examine(self, seen: StoreFinding) -> list[Finding]:
        name = seen.mount.path.text
        if seen.error is not None:
            return examine_store(name, seen.error, None, self.clock())
        try:
            clock = await self.namespace.resolve(seen.mount.path).store.now()
        except ForebayError:
            clock = None
        return examine_store(name, seen.facts or {}, clock, self.clock())


def _about_request(record: AccessRecord) -> Report:
    asked = max(0, record.end - record.start)
    return Report(
        f"Request {record.request_id}",
        (
            fact("at", record.at.isoformat()),
            fact("door", record.door),
            fact("key", record.key_id),
            fact("operation", record.operation),
            fact("path", record.path),
            fact("bytes asked", asked, f"{asked} (from {record.start} to {record.end})"),
            fact("status", record.status),
            fact("from cache", record.bytes_from_cache, shown_bytes(record.bytes_from_cache)),
            fact("from store", record.bytes_from_store, shown_bytes(record.bytes_from_store)),
            fact("took", record.seconds, _latency(record.seconds)),
        ),
    )


def _store_samples(figures: MountFigures) -> Iterator[Sample]:
    mount = figures.mount.path.text
    failed: dict[Verb, int] = {}
    for (verb, code), count in figures.store.errors.items():
        failed[verb] = failed.get(verb, 0) + count
        yield Sample("forebay_store_requests_total", (mount, verb, code), count)
    for verb, count in figures.store.requests.items():
        well = count - failed.get(verb, 0)
        yield Sample("forebay_store_requests_total", (mount, verb, "ok"), well)
    for verb, seconds in figures.store.seconds.items():
        yield Sample("forebay_store_request_seconds_total", (mount, verb), seconds)
    yield Sample("forebay_store_fetched_bytes_total", (mount,), figures.store.bytes_read)
    yield Sample("forebay_store_written_bytes_total", (mount,), figures.store.bytes_written)


def _of(part: int, whole: int) -> str:
    return f"{shown_bytes(part)} of {shown_bytes(whole)}"


def _share(part: int, whole: int) -> str:
    return shown_share(part, whole)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _latency(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
