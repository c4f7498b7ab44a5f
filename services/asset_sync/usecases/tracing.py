"""What asset_sync's records say of an id, for `platformbus trace show`: connections, and what was done to them."""

from collections.abc import Sequence

from libs.messaging.trace import MOST_STEPS, Step, uuids_of
from libs.postgres import Connection
from services.asset_sync import store


async def find_steps(conn: Connection, ids: Sequence[str]) -> list[Step]:
    """Give connections by their ids or by the idempotency keys that they were added with, and their audit log."""
    connections, audit = await store.trace(conn, uuids_of(ids), ids, MOST_STEPS)
    states = [
        Step(
            at=row["updated_at"],
            what=f"connection is {row['status']}",
            kind="connection",
            id=str(row["id"]),
            follow=(str(row["id"]),),
            detail={
                "name": row["name"],
                "platform": row["platform"],
                "organization": str(row["org_id"]),
                "version": row["version"],
            },
        )
        for row in connections
    ]
    deeds = [
        Step(
            at=row["at"],
            what=row["action"],
            kind="deed",
            id=str(row["id"]),
            caused_by=(f"connection:{row['subject']}",),
            detail={"by_key": None if row["actor_key_id"] is None else str(row["actor_key_id"])},
        )
        for row in audit
    ]
    return [*states, *deeds]
