"""The exposition: all numbers of a node in Prometheus's text format."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from forebay.metrics.counters import Counters, bucket_bounds
from forebay.metrics.families import FAMILIES, Family, Sample, Shape

SampleSource = Callable[[], Iterable[Sample]]
"""Tells the present values of somebody else's numbers (stores, the cache, the logs)."""


class Exposition(Collector):
    """Gathers what the counters and the sources tell, whenever it is asked.

    Args:
        counters: the counters of the doors.
        sources: the numbers of other rooms; each sample names one of `FAMILIES`.
    """

    def __init__(self, counters: Counters, sources: Sequence[SampleSource] = ()) -> None:
        self._counters = counters
        self._sources = (counters.samples, *sources)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The answer to a scrape."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """The families without values: they are known beforehand."""
        yield from (_metric(family, ()) for family in FAMILIES)

    def collect(self) -> Iterator[Metric]:
        """Every family of the table, with the values it has now."""
        values: defaultdict[str, list[Sample]] = defaultdict(list)
        for source in self._sources:
            for sample in source():
                values[sample.family].append(sample)
        for family in FAMILIES:
            if family.shape is Shape.HISTOGRAM:
                yield self._latencies(family)
            else:
                yield _metric(family, values.pop(family.name, ()))
        if values:
            # A number that nobody can look up is a mistake of ours.
            raise KeyError(f"no such metric family: {', '.join(sorted(values))}")

    def _latencies(self, family: Family) -> HistogramMetricFamily:
        metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
        bounds = bucket_bounds()
        for counters in self._counters.operations():
            metric.add_metric(
                (counters.door, counters.operation),
                buckets=list(zip(bounds, accumulate(counters.latencies), strict=True)),
                sum_value=counters.seconds,
            )
        return metric


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    metric: CounterMetricFamily | GaugeMetricFamily
    match family.shape:
        case Shape.COUNTER:
            metric = CounterMetricFamily(family.name, family.meaning, labels=family.labels)
        case Shape.GAUGE:
            metric = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
        case Shape.HISTOGRAM:
            return HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    for sample in samples:
        metric.add_metric(sample.labels, sample.value)
    return metric
