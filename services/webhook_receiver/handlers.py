"""Ways in: topics and the clock. Each opens the transaction and calls one use case."""

from libs.jobs import Job
from libs.messaging.inbox import prune_inbox
from libs.messaging.messages import Route
from libs.postgres import Database
from libs.runtime.identities import identity_routes
from services.webhook_receiver.usecases import keeping


def routes() -> tuple[Route, ...]:
    """Give what webhook_receiver reads."""
    return identity_routes()


def jobs() -> tuple[Job, ...]:
    """Give what the clock starts."""
    return (
        Job(name="make_partitions", run=daily_partitions, cron="10 2 * * *", time_limit_seconds=600),
        Job(name="prune_inbox", run=prune_inbox, cron="50 2 * * *"),
    )


async def daily_partitions(database: Database) -> dict[str, int]:
    """Make the coming months."""
    async with database.transaction() as conn:
        return {"partitions_made": await keeping.make_partitions(conn)}
