"""The alerts: on lateness and on what waits for a person. Each has a runbook in docs/runbooks/ under its name.

Gauges that are measured in tables are the same in every replica: the largest is taken, never the sum.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

RUNBOOKS: Final = "docs/runbooks"
"""Of this repository: who hosts it elsewhere puts the address of its host before it."""

QUEUE_CALLS: Final = 1_000
FAILING_SHARE: Final = 0.1
CALL_SECONDS: Final = 30.0
"""The limits of the system that the batcher replaces: queue_size 1000, failure_rate 0.1, processing_time_ms 30000."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast everything is judged: 1 in production; a test that cannot wait for minutes takes more."""

    factor: float = 1.0

    def seconds(self, number: float) -> str:
        """A threshold in seconds."""
        return f"{number / self.factor:g}"

    def span(self, seconds: float) -> str:
        """A duration; of a range at least four scrapes of a test."""
        return _duration(max(seconds / self.factor, 8.0))

    def patience(self, seconds: float) -> str:
        """How long a condition must hold."""
        return _duration(seconds / self.factor)


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule. `page` wakes somebody up; `ticket` waits for the morning."""

    name: str
    severity: Literal["page", "ticket"]
    expression: str
    patience_seconds: float
    summary: str


def alerts(pace: Pace) -> tuple[Alert, ...]:
    """Every alert, in the order of the flow."""
    return (*_edge(pace), *_bus(pace), *_people(), *_work(pace), *_processes(pace))


def rules(pace: Pace = Pace()) -> dict[str, Any]:
    """The rules file."""
    return {"groups": [{"name": "platformbus", "rules": [_rule(alert, pace) for alert in alerts(pace)]}]}


def _edge(pace: Pace) -> tuple[Alert, ...]:
    minute, minutes = pace.span(60), pace.span(300)
    refused = f'sum by (platform) (rate(webhook_refused_total{{platform!="unknown"}}[{minutes}]))'
    received = f"sum by (platform) (rate(webhook_received_total[{minutes}]))"
    strangers = f'sum(rate(webhook_refused_total{{platform="unknown"}}[{minutes}]))'
    everything = (
        f"(sum(rate(webhook_refused_total[{minutes}])) + (sum(rate(webhook_received_total[{minutes}])) or vector(0)))"
    )
    ours = 'webhook_refused_total{reason=~"away|full|not_stored"}'
    too_many = 'http_server_refused_requests_total{service="webhook_receiver"}'
    return (
        Alert(
            "WebhookEdgeUnavailable",
            "page",
            # The short span lets a restart of the database wake nobody up. Where deliveries are rare it sees none of
            # them: there the edge's own word counts that it is shut, or that of all that came none was stored.
            f"sum by (service) (rate({ours}[{minute}])) > 0\n"
            f"  or sum by (service) (rate({too_many}[{minute}])) > 0\n"
            '  or max by (service) (group_commit_shut{name="webhooks"}) > 0\n'
            f"  or (sum by (service) (rate({ours}[{minutes}])) > 0\n"
            f"    unless sum by (service) (rate(webhook_received_total[{minutes}])) > 0)",
            120,
            "Webhooks are turned away because they cannot be stored",
        ),
        Alert(
            "WebhooksUnprocessed",
            "page",
            f"max by (service) (webhook_oldest_unprocessed_age_seconds) > {pace.seconds(60)}\n"
            '  or max by (service) (webhook_events{status="retrying"}) > 10',
            120,
            "Webhooks that were answered 200 are not processed, or fail again and again",
        ),
        Alert(
            "WebhooksFailed",
            "ticket",
            'max by (service) (webhook_events{status="failed"}) > 0',
            60,
            "Webhooks that were answered 200 were given up, and wait for a replay",
        ),
        Alert(
            "WebhooksRefused",
            "ticket",
            # Without any good one the sum has no second part; `or` keeps the refused ones. Strangers, who name no app
            # that is known here, have no good ones of their own: they are compared with everything.
            f"{refused} > {FAILING_SHARE} * ({refused} + ({received} or 0 * {refused}))\n"
            f"  or {strangers} > {FAILING_SHARE} * {everything}",
            600,
            "More than a tenth of what is sent to the webhook edge is refused",
        ),
    )


def _bus(pace: Pace) -> tuple[Alert, ...]:
    handled = f"sum by (service, topic) (rate(events_processed_total[{pace.span(300)}]))"
    return (
        Alert(
            "OutboxAgeHigh",
            "page",
            f"max by (service) (outbox_oldest_pending_age_seconds) > {pace.seconds(60)}",
            120,
            "Events wait in the outbox of {{ $labels.service }} and do not reach Kafka",
        ),
        Alert(
            "RelayStalled",
            "page",
            "max by (service) (relay_unowned_shards) > 0",
            60,
            "Shards of the outbox of {{ $labels.service }} have no relay",
        ),
        Alert(
            "ConsumerStalled",
            "page",
            f'max by (service) (loop_age_seconds{{loop="consumer"}}) > {pace.seconds(120)}\n'
            f"  or (sum by (service, topic) (consumer_lag_messages) > 0 unless {handled} > 0)\n"
            # Set every 15 s where a replica has partitions and brokers that answer; else all of the above is silent.
            f"  or time() - max by (service) (consumer_lag_measured_timestamp_seconds) > {pace.seconds(300)}",
            300,
            "The consumer of {{ $labels.service }} does not get on though records wait, or reads no partition",
        ),
        Alert(
            "ConsumerLagHigh",
            "ticket",
            f"max by (service, topic) (consumer_lag_seconds) > {pace.seconds(60)}",
            300,
            "{{ $labels.service }} is late with {{ $labels.topic }}",
        ),
    )


def _people() -> tuple[Alert, ...]:
    return (
        Alert(
            "ParkedKeysGrowing",
            "ticket",
            "max by (service) (parked_oldest_age_seconds) > 900\n"
            '  or max by (service) (parked_keys{state="gave_up"}) > 0\n'
            "  or sum by (service) (max by (service, state) (parked_keys)) > 10",
            60,
            "Records of {{ $labels.service }} fail and their keys are blocked",
        ),
        Alert(
            "DeadLettersOpen",
            "ticket",
            "max by (service) (dead_letters_open) > 0",
            300,
            "{{ $labels.service }} got records that do not fit their contract",
        ),
    )


def _work(pace: Pace) -> tuple[Alert, ...]:
    calls = f"sum by (platform) (rate(batcher_http_calls_total[{pace.span(900)}]))"
    failing = f'sum by (platform) (rate(batcher_http_calls_total{{outcome!="answered"}}[{pace.span(900)}]))'
    slow = f'sum by (platform) (rate(batcher_call_seconds_bucket{{le="{CALL_SECONDS}"}}[{pace.span(900)}]))'
    timed = f"sum by (platform) (rate(batcher_call_seconds_count[{pace.span(900)}]))"
    waiting = 'max by (platform, state) (batcher_calls_waiting{state!="processing"})'
    return (
        Alert(
            "QueueOverdue",
            "page",
            f"max by (platform) (batcher_oldest_due_call_seconds) > {pace.seconds(300)}\n"
            f"  or sum by (platform) ({waiting}) > {QUEUE_CALLS}",
            120,
            "Reads of {{ $labels.platform }} are due and are not sent",
        ),
        Alert(
            "PlatformCallsFailing",
            "ticket",
            f"{failing} > {FAILING_SHARE} * {calls}\n  or {timed} - {slow} > {FAILING_SHARE} * {timed}",
            300,
            f"More than a tenth of the calls of {{{{ $labels.platform }}}} fail, or take over {CALL_SECONDS:g} s",
        ),
    )


def _processes(pace: Pace) -> tuple[Alert, ...]:
    return (
        Alert(
            "TablesUnmeasured",
            "page",
            f"time() - max by (service) (tables_measured_timestamp_seconds) > {pace.seconds(180)}",
            120,
            "{{ $labels.service }} does not reach its own tables, or no process runs its jobs; other alerts are blind",
        ),
        Alert(
            "JobMissed",
            "ticket",
            f"max by (service, job_name) (job_overdue_seconds) > {pace.seconds(600)}\n"
            "  or max by (service, job_name) (job_failures_in_a_row) >= 3",
            60,
            "The job {{ $labels.job_name }} of {{ $labels.service }} is not started, or fails",
        ),
        Alert(
            "ServiceDown",
            "page",
            'up{job="platformbus"} == 0',
            60,
            "{{ $labels.service }} at {{ $labels.instance }} does not answer",
        ),
    )


def _rule(alert: Alert, pace: Pace) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": pace.patience(alert.patience_seconds),
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook_url": f"{RUNBOOKS}/{alert.name}.md"},
    }


def _duration(seconds: float) -> str:
    """As Prometheus writes it: whole minutes as such."""
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g}m"
    return f"{round(seconds * 1_000)}ms" if seconds % 1 else f"{seconds:g}s"
