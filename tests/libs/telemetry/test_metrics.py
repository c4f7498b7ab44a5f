import pytest
from prometheus_client import REGISTRY

from libs.telemetry.metrics import counter, gauge, histogram, render_metrics, timed

EVENTS = counter("test_telemetry_events_total", "Events of this test", ["outcome"])
LEVEL = gauge("test_telemetry_level", "A level of this test")
SECONDS = histogram("test_telemetry_seconds", "Durations of this test", ["step"])


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
