"""What the batcher measures; labels are platforms and words of ours, never organizations, connections or reads."""

from typing import Final

from libs.telemetry.metrics import DURATION_BUCKETS, SIZE_BUCKETS, counter, gauge, histogram

ASKS_QUEUED: Final = counter("batcher_asks_queued_total", "Asks taken in", ("platform",))
ASKS_ENDED: Final = counter("batcher_asks_ended_total", "Asks ended, by how", ("platform", "outcome"))
CALLS_SETTLED: Final = counter(
    "batcher_calls_settled_total", "Claimed calls, by what became of them", ("platform", "outcome")
)
HTTP_CALLS: Final = counter("batcher_http_calls_total", "Bulk calls made", ("platform", "outcome"))
HTTP_CALLS_ASKED: Final = counter(
    "batcher_http_calls_asked_total", "HTTP calls that the answered asks would have cost one by one", ("platform",)
)
QUOTA_UNITS: Final = counter("batcher_quota_units_total", "Units that the bulk calls cost", ("platform",))
QUOTA_UNITS_ASKED: Final = counter(
    "batcher_quota_units_asked_total", "Units that the asks of those calls would have cost one by one", ("platform",)
)
LEASES_LOST: Final = counter("batcher_leases_lost_total", "Calls whose outcome came after their lease", ("platform",))
BATCH_SIZE: Final = histogram("batcher_batch_size", "Calls in one bulk call", ("platform",), SIZE_BUCKETS)
CALL_SECONDS: Final = histogram("batcher_call_seconds", "Length of bulk calls", ("platform",), DURATION_BUCKETS)
ASK_SECONDS: Final = histogram(
    "batcher_ask_seconds",
    "From queued to ended",
    ("platform",),
    (0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0),
)
WAITING: Final = gauge("batcher_calls_waiting", "Calls in the queue, by what they wait for", ("platform", "state"))
OVERDUE_SECONDS: Final = gauge(
    "batcher_oldest_due_call_seconds", "How long the oldest due call has been due", ("platform",)
)
PAUSED: Final = gauge("batcher_platform_paused", "1 while an operator has paused the platform", ("platform",))
