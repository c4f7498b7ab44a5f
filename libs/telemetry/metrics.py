"""Metrics over prometheus_client's default registry. Names follow Prometheus' rules: base units, `_total`, few labels.

A label never holds an organization, a request or a key: its values must be few.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds; from a local transaction to a slow platform."""
DELAY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)
"""Seconds that data may be under way, from at once to after an outage."""
SIZE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
"""Rows, records or items handled together."""


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    """Declare a counter, once, at module level; its name ends in `_total`."""
    return Counter(name, meaning, tuple(labels))


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    """Declare a gauge, once, at module level."""
    return Gauge(name, meaning, tuple(labels))


def histogram(
    name: str, meaning: str, labels: Sequence[str] = (), buckets: Sequence[float] = DURATION_BUCKETS
) -> Histogram:
    """Declare a histogram, once, at module level; durations are seconds."""
    return Histogram(name, meaning, tuple(labels), buckets=tuple(buckets))


class BulkHistogram(Collector):
    """A histogram with one label that takes many values at a time, cheaper than `observe` takes each.

    For a poll of 2,000 records, of which benchmarks/consumer.py counts every millisecond.
    """

    def __init__(self, name: str, meaning: str, label: str, buckets: Sequence[float] = DELAY_BUCKETS) -> None:
        """Declare it, once, at module level; durations are seconds."""
        self._name, self._meaning, self._label = name, meaning, label
        self._buckets = tuple(buckets)
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        REGISTRY.register(self)

    def observe_all(self, label: str, values: Sequence[float], *, weight: int = 1) -> None:
        """Add values of one label; each stands for `weight` of them."""
        counts = self._counts.setdefault(label, [0] * (len(self._buckets) + 1))
        for value in values:
            counts[bisect_left(self._buckets, value)] += weight
        self._sums[label] = self._sums.get(label, 0.0) + weight * sum(values)

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Tell the registry the name."""
        yield HistogramMetricFamily(self._name, self._meaning, labels=[self._label])

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Give what was observed."""
        family = HistogramMetricFamily(self._name, self._meaning, labels=[self._label])
        bounds = [*(str(float(bound)) for bound in self._buckets), "+Inf"]
        for label, counts in list(self._counts.items()):
            cumulated = [(bound, float(count)) for bound, count in zip(bounds, accumulate(counts), strict=True)]
            family.add_metric([label], buckets=cumulated, sum_value=self._sums[label])
        yield family


@contextmanager
def timed(metric: Histogram, *labels: str) -> Iterator[None]:
    """Observe how long the block takes, also when it fails."""
    started = time.perf_counter()
    try:
        yield
    finally:
        (metric.labels(*labels) if labels else metric).observe(time.perf_counter() - started)


def render_metrics() -> tuple[bytes, str]:
    """Give what `/metrics` answers: body and content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
