"""What webhook_receiver measures; labels are platforms and words of ours, never apps, accounts or organizations."""

from typing import Final

from libs.telemetry.metrics import counter, gauge, histogram
from libs.vocabulary import PlatformName

RECEIVED: Final = counter("webhook_received_total", "Deliveries that were stored and answered 200", ("platform",))
REFUSED: Final = counter(
    "webhook_refused_total", "Deliveries and handshakes that were not answered 200, by why", ("platform", "reason")
)
for _platform in PlatformName:
    for _reason in ("away", "full", "not_stored"):
        # Of a series that begins with its first refusal Prometheus sees no increase, and where few come there is one.
        REFUSED.labels(_platform.value, _reason)
REFUSALS_SEEN: Final = counter(
    "webhook_refusals_seen_total", "Wrong signatures, by whether a sample was kept for people to look at", ("outcome",)
)
REFUSALS_DELAYED: Final = gauge("webhook_refusals_delayed", "Refusals whose answer is held back for a moment")
STORE_SECONDS: Final = histogram(
    "webhook_store_seconds", "From a delivery's true signature to its commit", ("platform",)
)
CHANGES: Final = counter(
    "webhook_changes_total", "Changes split out of deliveries, by what they came to", ("platform", "outcome")
)
DELIVERIES: Final = counter(
    "webhook_deliveries_total", "Deliveries that ended or failed, by how", ("platform", "outcome")
)
DELAY_SECONDS: Final = histogram(
    "webhook_delay_seconds",
    "From the arrival of a delivery to its publication",
    ("platform",),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3_600.0),
)
SHARDS_HELD: Final = gauge("webhook_shards_held", "Shards that this process works on")
LEASES_LOST: Final = counter("webhook_leases_lost_total", "Rounds that ended because a shard had gone to another")
EVENTS: Final = gauge("webhook_events", "Deliveries that are not done: unprocessed, or failed for good", ("status",))
OLDEST_UNPROCESSED_SECONDS: Final = gauge(
    "webhook_oldest_unprocessed_age_seconds", "Age of the oldest delivery that waits to be processed"
)
DEFAULT_PARTITION_ROWS: Final = gauge(
    "webhook_default_partition_rows", "Rows that no month's partition took: the job that makes months does not run"
)
