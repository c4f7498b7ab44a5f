"""Ways in: topics and the clock. Each opens the transaction and calls one use case."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from libs.jobs import Job
from libs.messaging.messages import Route
from libs.messaging.parked.pruning import prune_parked
from libs.messaging.reannounce import Reannounce, reannounce_recent
from libs.postgres import Database, is_available_error
from libs.runtime.identities import identity_routes
from libs.security.sealing import KeyRing
from libs.telemetry.redaction import safe_error
from services.asset_sync import metrics
from services.asset_sync.models import TOPIC, Actor
from services.asset_sync.usecases import upkeep

MEASURE_SECONDS: Final = 10.0
REANNOUNCE: Final[Mapping[str, Reannounce]] = {TOPIC: upkeep.announce_again}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deps:
    """What the handlers work with; `app.py` fills it."""

    database: Database
    """As worker."""
    ring: KeyRing
    expiring: timedelta
    aging_interval_seconds: float


def routes() -> tuple[Route, ...]:
    """Give what asset_sync reads."""
    return identity_routes()


def jobs(deps: Deps) -> tuple[Job, ...]:
    """Give what the clock starts."""
    return (
        Job(
            name="age_tokens",
            run=partial(every_aging_interval, deps),
            interval_seconds=deps.aging_interval_seconds,
            time_limit_seconds=600,
        ),
        Job(name="reseal_connections", run=partial(hourly_reseal, deps), cron="17 * * * *", time_limit_seconds=1_800),
        Job(
            name="reannounce_connections", run=reannounce_recent(REANNOUNCE), cron="30 3 * * *", time_limit_seconds=900
        ),
        Job(name="forget_old", run=daily_forget, cron="50 2 * * *", time_limit_seconds=600),
        Job(name="prune_parked", run=prune_parked, cron="0 3 * * *"),
    )


async def every_aging_interval(deps: Deps, database: Database) -> dict[str, int]:
    """Mark tokens that run out, a page a transaction."""
    marked = 0
    while True:
        async with database.transaction() as conn:
            aged = await upkeep.age_tokens(conn, expiring=deps.expiring)
        marked += aged
        if aged < upkeep.PAGE:
            return {"marked": marked}


async def hourly_reseal(deps: Deps, database: Database) -> dict[str, int]:
    """Put tokens under the active key, those too that nobody asked to be resealed."""
    resealed, failed = await upkeep.reseal_pages(database.transaction, deps.ring)
    if resealed or failed:
        async with database.transaction() as conn:
            await upkeep.note_reseal(conn, Actor(None, None), deps.ring, resealed=resealed, failed=failed)
    return {"resealed": resealed, "failed": failed}


async def daily_forget(database: Database) -> Mapping[str, int]:
    """Delete what is no longer needed."""
    async with database.transaction() as conn:
        return await upkeep.forget_old(conn)


async def keep_measuring(deps: Deps, stop: asyncio.Event) -> None:
    """Set the gauges of connections every ten seconds until told to stop."""
    while not stop.is_set():
        try:
            async with deps.database.transaction() as conn:
                await metrics.measure(conn, expiring_seconds=deps.expiring.total_seconds())
        except Exception as error:
            if not is_available_error(error):
                raise
            _log.warning("connections could not be measured: %s", safe_error(error))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MEASURE_SECONDS):
                await stop.wait()
