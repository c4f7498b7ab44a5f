"""The first dashboard, "Flow": is data late, where, and for whom. Its rows follow an event through the bus.

Gauges that are measured in tables are the same in every replica: the largest is taken, never the sum.
"""

from collections.abc import Callable, Iterable

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.timeseries import Panel as GraphPanel
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.panels import graph, mean, number, quantile, rate, row
from deploy.prometheus.alerts import CALL_SECONDS, QUEUE_CALLS

Panels = Iterable[GraphPanel | StatPanel]


def build() -> Dashboard:
    """The dashboard, as Grafana's model."""
    made = (
        dashboard.Dashboard("Flow")
        .uid("platformbus-flow")
        .description("Is data late, where, and for whom")
        .tags(["platformbus"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    rows: tuple[tuple[str, Callable[[], Panels]], ...] = (
        ("Now", _now),
        ("Edge and webhooks", _edge),
        ("Outbox and relay", _outbox),
        ("Consumers", _consumers),
        ("Batcher and quota", _batcher),
        ("Parked records, dead letters, jobs", _people),
        ("Processes", _processes),
    )
    for title, panels in rows:
        made = made.with_row(row(title))
        for panel in panels():
            made = made.with_panel(panel)
    result = made.build()
    for place, panel_model in enumerate(result.panels or [], start=1):
        panel_model.id_val = place
    return result


def _now() -> Panels:
    yield number(
        "Lost webhooks",
        "none",
        "Answered 200, and given up: they are kept and can be replayed. The promise is 0. That nothing is missing from"
        " the table itself cannot be seen from inside: the survival test counts it from outside.",
        'max(webhook_events{status="failed"})',
        bad_from=1,
    )
    yield number(
        "Quota saved",
        "percentunit",
        "Share of the platforms' units that coalescing and batching saved, against one call per ask",
        "1 - sum(increase(batcher_quota_units_total[$__range]))"
        " / sum(increase(batcher_quota_units_asked_total[$__range]))",
    )
    yield number(
        "Latest outbox",
        "s",
        "Age of the oldest event that has not reached Kafka",
        "max(outbox_oldest_pending_age_seconds)",
        bad_from=60,
    )
    yield number(
        "Latest consumer",
        "s",
        "How long the oldest record has waited that a consumer has not handled",
        "max(consumer_lag_seconds)",
        bad_from=60,
    )
    yield number(
        "Latest webhook",
        "s",
        "Age of the oldest webhook that is not processed",
        "max(webhook_oldest_unprocessed_age_seconds)",
        bad_from=60,
    )
    yield number(
        "Waiting for a person",
        "none",
        "Parked keys that were given up, and open dead letters",
        'sum(max by (service) (parked_keys{state="gave_up"})) + sum(max by (service) (dead_letters_open))',
        bad_from=1,
    )


def _edge() -> Panels:
    yield graph(
        "Webhooks",
        "reqps",
        "Deliveries that were stored and answered 200, and those refused, by reason",
        (rate("webhook_received_total", "platform"), "{{platform}} accepted"),
        (rate("webhook_refused_total", "platform", "reason"), "{{platform}} {{reason}}"),
    )
    yield graph(
        "Changes",
        "ops",
        "What the changes in deliveries came to; duplicates publish nothing",
        (rate("webhook_changes_total", "platform", "outcome"), "{{platform}} {{outcome}}"),
    )
    yield graph(
        "Oldest unprocessed webhook",
        "s",
        "Answered, stored, and not yet split and published",
        ("max(webhook_oldest_unprocessed_age_seconds)", "oldest"),
        limit=60,
    )
    yield graph(
        "Webhooks not done",
        "none",
        "Deliveries that wait, are retried, or were given up",
        ("max by (status) (webhook_events)", "{{status}}"),
        ("max(webhook_default_partition_rows)", "outside of any month"),
    )
    yield graph(
        "Durable acknowledgement",
        "s",
        "From a delivery's last byte to its commit; and how many share one",
        (quantile(0.5, "webhook_store_seconds"), "p50"),
        (quantile(0.99, "webhook_store_seconds"), "p99"),
    )
    yield graph(
        "Group commit",
        "none",
        "Deliveries of one transaction, and those that wait for theirs",
        (mean("group_commit_batch_items"), "in one commit"),
        ("sum(group_commit_waiting)", "waiting"),
    )
    yield graph(
        "HTTP requests",
        "reqps",
        "By service and status",
        (
            rate('http_server_request_duration_seconds_count{route!="/metrics"}', "service", "status"),
            "{{service}} {{status}}",
        ),
        width=12,
    )
    yield graph(
        "HTTP p99",
        "s",
        "By service, probes left out",
        (quantile(0.99, 'http_server_request_duration_seconds{route=~"/v1/.*"}', "service"), "{{service}}"),
        width=12,
    )


def _outbox() -> Panels:
    yield graph(
        "Oldest event in the outbox",
        "s",
        "Committed, and not yet acknowledged by Kafka",
        ("max by (service) (outbox_oldest_pending_age_seconds)", "{{service}}"),
        limit=60,
    )
    yield graph(
        "Events in the outbox",
        "none",
        "Of a shard up to 20,000 are counted",
        ("sum by (service) (max by (service, shard) (outbox_pending_rows))", "{{service}}"),
    )
    yield graph(
        "Published",
        "ops",
        "Events that Kafka acknowledged; sends that failed are tried again and are not in it",
        (rate("outbox_published_total", "service", "topic"), "{{service}} {{topic}}"),
    )
    yield graph(
        "Shards without a relay",
        "none",
        "0, or nobody carries their events",
        ("max by (service) (relay_unowned_shards)", "{{service}}"),
        limit=1,
    )
    yield graph(
        "Keys that the broker refuses",
        "none",
        "Their next event is too large for its topic",
        ("max by (service) (outbox_blocked_keys)", "{{service}}"),
    )
    yield graph(
        "Relay p99",
        "s",
        "From reading a batch to its deletion",
        (quantile(0.99, "outbox_publish_seconds", "service"), "{{service}}"),
    )


def _consumers() -> Panels:
    yield graph(
        "Lag in seconds",
        "s",
        "How long the first record that is not handled has waited",
        ("max by (service, topic) (consumer_lag_seconds)", "{{service}} {{topic}}"),
        limit=60,
    )
    yield graph(
        "Lag in records",
        "none",
        "Records that are not handled",
        ("sum by (service, topic) (consumer_lag_messages)", "{{service}} {{topic}}"),
    )
    yield graph(
        "End to end p99",
        "s",
        "From the creation of an event to the commit of what its consumer made of it",
        (quantile(0.99, "event_end_to_end_seconds", "service", "type"), "{{service}} {{type}}"),
    )
    yield graph(
        "Records by how they ended",
        "ops",
        "Handled, duplicate, parked, dead letter, or not wanted here",
        (rate("events_processed_total", "service", "type", "outcome"), "{{service}} {{type}} {{outcome}}"),
    )
    yield graph(
        "Loops and polls",
        "s",
        "How long ago loops last turned, consumers last polled, and lag and tables were last measured",
        ("max by (service, loop) (loop_age_seconds)", "{{service}} {{loop}}"),
        ("max by (service) (time() - (consumer_last_poll_timestamp_seconds > 0))", "{{service}} poll"),
        ("time() - max by (service) (consumer_lag_measured_timestamp_seconds > 0)", "{{service}} lag measured"),
        ("time() - max by (service) (tables_measured_timestamp_seconds > 0)", "{{service}} tables measured"),
        limit=120,
    )
    yield graph(
        "Partitions and rebalances",
        "none",
        "Partitions that are read, and assignments in the last 15 minutes",
        ("sum by (service) (consumer_assigned_partitions)", "{{service}} partitions"),
        ("sum by (service) (increase(consumer_rebalances_total[15m]))", "{{service}} rebalances"),
    )


def _batcher() -> Panels:
    yield graph(
        "Queue",
        "none",
        "Calls by what they wait for",
        ("max by (platform, state) (batcher_calls_waiting)", "{{platform}} {{state}}"),
        limit=QUEUE_CALLS,
    )
    yield graph(
        "Oldest due call",
        "s",
        "Due, and not sent",
        ("max by (platform) (batcher_oldest_due_call_seconds)", "{{platform}}"),
        limit=300,
    )
    yield graph(
        "Calls made and asked",
        "ops",
        "Bulk calls, against the calls that their asks would have cost one by one",
        (rate("batcher_http_calls_total", "platform"), "{{platform}} made"),
        (rate("batcher_http_calls_asked_total", "platform"), "{{platform}} asked"),
    )
    yield graph("Calls in a batch", "none", "On average", (mean("batcher_batch_size", "platform"), "{{platform}}"))
    yield graph(
        "Outcomes of bulk calls",
        "ops",
        "`answered`, or why not",
        (rate("batcher_http_calls_total", "platform", "outcome"), "{{platform}} {{outcome}}"),
    )
    yield graph(
        "Bulk calls p95",
        "s",
        "Their length",
        (quantile(0.95, "batcher_call_seconds", "platform"), "{{platform}}"),
        limit=CALL_SECONDS,
    )
    yield graph(
        "Quota used",
        "percentunit",
        "The fullest budget in the last answer of the platform",
        ("max by (platform, scope) (quota_used_fraction)", "{{platform}} {{scope}}"),
        width=12,
        limit=0.9,
    )
    yield graph(
        "Units",
        "ops",
        "Units that calls cost, and what their asks would have cost one by one",
        (rate("batcher_quota_units_total", "platform"), "{{platform}} cost"),
        (rate("batcher_quota_units_asked_total", "platform"), "{{platform}} asked"),
        width=12,
    )


def _people() -> Panels:
    yield graph(
        "Parked keys",
        "none",
        "Blocked: waiting for a replay, or given up until a person acts",
        ("max by (service, state) (parked_keys)", "{{service}} {{state}}"),
        ("max by (service) (parked_records)", "{{service}} records"),
    )
    yield graph(
        "Oldest parked key",
        "s",
        "How long the key that is blocked for longest has been",
        ("max by (service) (parked_oldest_age_seconds)", "{{service}}"),
        limit=900,
    )
    yield graph(
        "Open dead letters",
        "none",
        "Records that do not fit their contract",
        ("max by (service) (dead_letters_open)", "{{service}}"),
        limit=1,
    )
    yield graph(
        "Jobs: since the last success",
        "s",
        "By job, in any replica",
        ("time() - max by (service, job_name) (job_last_success_timestamp_seconds)", "{{service}} {{job_name}}"),
    )
    yield graph(
        "Jobs: length of the last run",
        "s",
        "By job",
        ("max by (service, job_name) (job_last_duration_seconds)", "{{service}} {{job_name}}"),
    )
    yield graph(
        "Jobs: missed and failed",
        "none",
        "Failures since the last success; minutes past the planned time",
        ("max by (service, job_name) (job_failures_in_a_row)", "{{service}} {{job_name}} failures"),
        ("max by (service, job_name) (job_overdue_seconds) / 60", "{{service}} {{job_name}} overdue"),
    )


def _processes() -> Panels:
    yield graph(
        "Processes",
        "none",
        "Processes that answer, by service",
        ('sum by (service) (up{job="platformbus"})', "{{service}}"),
        ("count by (service, version) (service_info)", "{{service}} {{version}}"),
    )
    yield graph(
        "Event loop",
        "s",
        "How much later than asked it woke up",
        ("max by (service) (event_loop_lag_seconds)", "{{service}}"),
        limit=1,
    )
    yield graph(
        "Database pool",
        "none",
        "Connections in use, and the p99 of waits for one in milliseconds",
        ('sum by (service, role) (database_pool_connections{state="used"})', "{{service}} {{role}} used"),
        ("1000 * " + quantile(0.99, "database_pool_acquire_seconds", "service"), "{{service}} wait ms"),
    )
    yield graph(
        "Memory", "bytes", "Resident", ("sum by (service) (process_resident_memory_bytes)", "{{service}}"), width=12
    )
    yield graph(
        "Processor",
        "percentunit",
        "Of one core",
        (rate("process_cpu_seconds_total", "service"), "{{service}}"),
        width=12,
    )
