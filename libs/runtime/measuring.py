"""Measures what every service keeps in its tables: the outbox with its relay, and the jobs."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from libs.jobs import measuring as jobs
from libs.messaging.relay import measuring as outbox
from libs.postgres import Database
from libs.telemetry.metrics import gauge
from libs.telemetry.redaction import safe_error

MEASURE_SECONDS: Final = 5.0
MEASURED: Final = gauge(
    "tables_measured_timestamp_seconds",
    "When this process last measured outbox and jobs in their tables; 0 where the part `jobs` does not run",
)

_log = logging.getLogger(__name__)


async def measure_tables(database: Database, job_names: Sequence[str], stop: asyncio.Event) -> None:
    """Set the metrics every five seconds until told to stop; while the database is away only their age grows."""
    while not stop.is_set():
        try:
            async with database.transaction() as conn:
                await outbox.measure(conn)
                await jobs.measure(conn, job_names)
            MEASURED.set_to_current_time()
        except Exception as error:  # noqa: BLE001  what cannot be measured now is measured later
            _log.warning("outbox and jobs could not be measured: %s", safe_error(error))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MEASURE_SECONDS):
                await stop.wait()
