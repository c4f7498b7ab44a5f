"""Metrics over prometheus_client's default registry. Names follow Prometheus' rules: base units, `_total`, few labels.

A label never holds an organization, a request or a key: its values must be few.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds; from a local transaction to a slow platform."""
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
