"""Looking at deliveries: lists, one with everything that is kept of it, numbers."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.postgres import Connection
from services.webhook_receiver.models import DeliveryRow, Filter, StatRow, WholeDelivery
from services.webhook_receiver.store import listing

FIRST: Final = UUID(int=0)
LAST: Final = UUID(int=(1 << 128) - 1)
_SLACK: Final = timedelta(minutes=1)
"""By how much an id's time and the time of arrival may differ: both are the edge's, but not the same moment."""


async def list_deliveries(
    conn: Connection, wanted: Filter, *, after: UUID | None, limit: int
) -> tuple[list[DeliveryRow], UUID | None]:
    """Give deliveries, newest first, and where the next part begins; None: this was the last."""
    above, below = bounds(wanted)
    rows = await listing.list_deliveries(conn, wanted, above=above, below=min(below, after or LAST), limit=limit)
    return rows, rows[-1].id if len(rows) == limit else None


async def show_delivery(conn: Connection, delivery_id: UUID) -> WholeDelivery:
    """Give everything that is kept of a delivery. Raises ProblemError 404."""
    found = await listing.find_delivery(conn, delivery_id)
    if found is None:
        item = ProblemItem(
            where="path:webhook_id", what="names no delivery", how="use an id that `GET /v1/webhooks` lists"
        )
        detail = f"There is no delivery {delivery_id} here, or it is not kept any more."
        raise ProblemError(problem("webhook_unknown", 404, "Delivery unknown", detail, item))
    return found


async def count_deliveries(conn: Connection, window: timedelta) -> list[StatRow]:
    """Count what came within the window, by app and outcome."""
    since = datetime.now(UTC) - window
    return await listing.count_deliveries(conn, bounds(Filter(since=since))[0], since)


def bounds(wanted: Filter) -> tuple[UUID, UUID]:
    """Give ids between which all ids of the window lie: the first is in, the second is not."""
    above = _id_at(wanted.since - _SLACK) if wanted.since is not None else FIRST
    below = _id_at(wanted.until + _SLACK) if wanted.until is not None else LAST
    return above, below


def _id_at(at: datetime) -> UUID:
    return UUID(int=max(0, int(at.timestamp() * 1_000)) << 80)
