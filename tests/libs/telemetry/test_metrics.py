import pytest
from prometheus_client import REGISTRY

from libs.telemetry.metrics import BulkHistogram, counter, gauge, histogram, render_metrics, timed

EVENTS = counter("test_telemetry_events_total", "Events of this test", ["outcome"])
LEVEL = gauge("test_telemetry_level", "A level of this test")
SECONDS = histogram("test_telemetry_seconds", "Durations of this test", ["step"])

DELAYS = BulkHistogram("test_telemetry_delay_seconds", "Delays of this test", "type", (0.1, 1.0))


def test_values_reach_the_metrics_page() -> None:
    EVENTS.labels("done").inc(2)
    LEVEL.set(7)
    body, content_type = render_metrics()
    assert content_type.startswith("text/plain")
    assert 'test_telemetry_events_total{outcome="done"} 2.0' in body.decode()
    assert "test_telemetry_level 7.0" in body.decode()


def test_a_block_is_timed_also_when_it_fails() -> None:
    with pytest.raises(ValueError, match="x"), timed(SECONDS, "failing"):
        raise ValueError("x")
    assert REGISTRY.get_sample_value("test_telemetry_seconds_count", {"step": "failing"}) == 1


def test_many_values_at_once_count_as_single_ones_would() -> None:
    DELAYS.observe_all("a", [0.05, 0.1, 0.5])
    DELAYS.observe_all("a", [7.0])
    DELAYS.observe_all("weighed", [0.5, 2.0], weight=3)
    found = {
        bound: REGISTRY.get_sample_value("test_telemetry_delay_seconds_bucket", {"type": "a", "le": bound})
        for bound in ("0.1", "1.0", "+Inf")
    }
    assert found == {"0.1": 2, "1.0": 3, "+Inf": 4}
    assert REGISTRY.get_sample_value("test_telemetry_delay_seconds_count", {"type": "a"}) == 4
    assert REGISTRY.get_sample_value("test_telemetry_delay_seconds_sum", {"type": "a"}) == 7.65
    assert REGISTRY.get_sample_value("test_telemetry_delay_seconds_count", {"type": "weighed"}) == 6
    assert REGISTRY.get_sample_value("test_telemetry_delay_seconds_sum", {"type": "weighed"}) == 7.5
