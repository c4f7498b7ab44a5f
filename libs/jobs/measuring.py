"""What the table of jobs says, as metrics. Every replica measures the same rows: take the largest, not the sum.

The label is `job_name`: what Prometheus calls `job` is the group of the process that it asks.
"""

from collections.abc import Sequence
from typing import Final

from libs.postgres import Connection
from libs.telemetry.metrics import gauge

LAST_SUCCESS: Final = gauge(
    "job_last_success_timestamp_seconds",
    "When a job last succeeded, in any replica, of the runs that are kept",
    ("job_name",),
)
LAST_SECONDS: Final = gauge("job_last_duration_seconds", "Length of a job's last run that ended", ("job_name",))
FAILURES: Final = gauge("job_failures_in_a_row", "Runs that failed since a job last succeeded", ("job_name",))
OVERDUE_SECONDS: Final = gauge(
    "job_overdue_seconds",
    "How long a job's planned time has passed without a start; 0 while it is paused",
    ("job_name",),
)

MEASURE: Final = """
SELECT job.name,
    CASE WHEN job.paused THEN 0
        ELSE greatest(0, extract(epoch FROM clock_timestamp() - job.next_run_at)) END AS overdue_seconds,
    extract(epoch FROM success.ended_at) AS last_success,
    extract(epoch FROM last.ended_at - last.started_at) AS last_seconds,
    (
        SELECT count(*) FROM job_runs AS run
        WHERE run.job_name = job.name AND run.outcome IN ('failed', 'timed_out', 'abandoned')
            AND run.started_at IS NOT NULL AND run.id > coalesce(success.id, 0)
    ) AS failures
FROM jobs AS job
LEFT JOIN LATERAL (
    SELECT run.id, run.ended_at FROM job_runs AS run
    WHERE run.job_name = job.name AND run.outcome = 'succeeded' ORDER BY run.id DESC LIMIT 1
) AS success ON true
LEFT JOIN LATERAL (
    SELECT run.started_at, run.ended_at FROM job_runs AS run
    WHERE run.job_name = job.name AND run.started_at IS NOT NULL AND run.ended_at IS NOT NULL
    ORDER BY run.id DESC LIMIT 1
) AS last ON true
WHERE job.name = ANY($1::text[])
"""


async def measure(conn: Connection, names: Sequence[str]) -> None:
    """Set the metrics of these jobs."""
    for row in await conn.fetch(MEASURE, list(names)):
        name = row["name"]
        OVERDUE_SECONDS.labels(name).set(float(row["overdue_seconds"]))
        FAILURES.labels(name).set(row["failures"])
        if row["last_success"] is not None:
            LAST_SUCCESS.labels(name).set(float(row["last_success"]))
        if row["last_seconds"] is not None:
            LAST_SECONDS.labels(name).set(float(row["last_seconds"]))
