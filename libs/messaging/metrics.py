"""What the bus reports of itself."""

from libs.telemetry.metrics import SIZE_BUCKETS, BulkHistogram, counter, gauge, histogram

PENDING_ROWS = gauge("outbox_pending_rows", "Events that wait for the relay, counted up to 20,000", ["shard"])
OLDEST_PENDING_AGE_SECONDS = gauge(
    "outbox_oldest_pending_age_seconds", "Age of the event that waits longest; 0 when none waits"
)
PUBLISHED = counter("outbox_published_total", "Events that Kafka acknowledged", ["topic"])
PUBLISH_FAILURES = counter(
    "outbox_publish_failures_total", "Sends that Kafka refused or that ran out of time", ["error"]
)
PUBLISH_SECONDS = histogram("outbox_publish_seconds", "From reading a batch to its deletion")
BATCH_ROWS = histogram("outbox_batch_rows", "Events of one read of the pending set", buckets=SIZE_BUCKETS)
BLOCKED_KEYS = gauge("outbox_blocked_keys", "Keys that wait because the broker refuses their next event")
UNOWNED_SHARDS = gauge("relay_unowned_shards", "Shards of the outbox that no relay owns now")
LEASE_HELD = gauge("relay_shard_lease_held", "1 while this process owns the shard", ["shard"])

POLL_RECORDS = histogram("consumer_poll_records", "Records of one poll that brought any", buckets=SIZE_BUCKETS)
POLL_SECONDS = histogram("consumer_poll_seconds", "From a poll's records to their committed offsets")
EVENTS = counter(
    "events_processed_total",
    "Records by how they ended; the type is `unknown` of what was not read as an event that is wanted here",
    ["topic", "type", "outcome"],
)
END_TO_END_SECONDS = BulkHistogram(
    "event_end_to_end_seconds",
    "From the creation of an event to the commit of what its consumer made of it; state is left out, it is told again",
    "type",
)
LAG_MESSAGES = gauge(
    "consumer_lag_messages", "Records of an assigned partition that are not handled yet", ["topic", "partition"]
)
LAG_SECONDS = gauge(
    "consumer_lag_seconds",
    "How long the first record that is not handled has waited, of an assigned partition; 0 when none waits",
    ["topic", "partition"],
)
LAG_MEASURED = gauge(
    "consumer_lag_measured_timestamp_seconds",
    "When this process last heard from the brokers how far behind its partitions are; 0 as long as it has none",
)
LAST_POLL = gauge("consumer_last_poll_timestamp_seconds", "When the consumer last came back to ask for records")
ASSIGNED = gauge("consumer_assigned_partitions", "Partitions that this process reads", ["topic"])
REBALANCES = counter("consumer_rebalances_total", "Times that partitions were assigned anew")
FAILURES = counter("consumer_failures_total", "Failed attempts at a record or a poll", ["kind"])
REBUILDS = counter("consumer_rebuilds_total", "Consumers thrown away after an error", ["error"])
OFFSET_COMMIT_FAILURES = counter(
    "consumer_offset_commit_failures_total", "Commits of offsets that failed; the inbox makes up for it"
)

PARKED_KEYS = gauge(
    "parked_keys",
    "Keys of this service that are blocked: waiting for a replay, or given up until a person acts",
    ["state"],
)
PARKED_RECORDS = gauge("parked_records", "Records of this service that are parked, counted up to 20,000")
PARKED_OLDEST_AGE_SECONDS = gauge(
    "parked_oldest_age_seconds", "How long the key that is blocked for longest has been; 0 when none is"
)
PARKED = counter("parked_total", "Records that were parked: their own failures, and what came behind them", ["topic"])
REPLAYS = counter("parked_replays_total", "Attempts at the records of a parked key", ["outcome"])
DEAD_LETTERS_OPEN = gauge("dead_letters_open", "Dead letters of this service that are open, counted up to 20,000")
DEAD_LETTERS = counter("dead_letters_total", "Records that did not fit their contract", ["topic"])
