"""Having deliveries processed again, page by page. What was published before is known by its key and stays as it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from libs.postgres import Connection, Record
from services.webhook_receiver.models import Actor, Filter, ReplayPage
from services.webhook_receiver.store import listing
from services.webhook_receiver.usecases.looking import LAST, bounds

PAGE: Final = 500


async def replay_window(conn: Connection, wanted: Filter, actor: Actor, *, after: UUID | None) -> ReplayPage:
    """Replay the first deliveries of a window that ended somehow and whose ids come after `after`.

    What was never signed is kept as evidence and belongs to no window; only who names it hears that it is refused.
    """
    wanted = replace(wanted, signature_valid=True)
    above, below = bounds(wanted)
    if after is not None:
        above = max(above, UUID(int=min(after.int + 1, LAST.int)))
    rows = await listing.list_page(conn, wanted, above=above, below=below, limit=PAGE)
    return await _replay(conn, rows, actor, last_id=rows[-1]["id"] if len(rows) == PAGE else None)


async def replay_named(conn: Connection, ids: Sequence[UUID], actor: Actor) -> ReplayPage:
    """Replay these deliveries."""
    rows = await listing.list_named(conn, ids)
    page = await _replay(conn, rows, actor, last_id=None)
    missing = sorted(set(ids) - {row["id"] for row in rows})
    return ReplayPage(page.matched, page.replayed, (*page.refused, *((each, "unknown") for each in missing)), None)


async def _replay(conn: Connection, rows: Sequence[Record], actor: Actor, *, last_id: UUID | None) -> ReplayPage:
    refused = {row["id"]: reason for row in rows if (reason := _refusal(row)) is not None}
    wanted = [row for row in rows if row["id"] not in refused]
    done: set[UUID] = set()
    if wanted:
        done = await listing.replay(conn, [row["id"] for row in wanted], [row["received_at"] for row in wanted])
        await listing.note_replays(conn, actor, [(row["id"], row["status"]) for row in wanted if row["id"] in done])
    # What changed since it was read is being worked on by somebody.
    refused |= {row["id"]: "in_progress" for row in wanted if row["id"] not in done}
    return ReplayPage(len(rows), len(done), tuple(sorted(refused.items())), last_id)


def _refusal(row: Record) -> str | None:
    if not row["signature_valid"]:
        return "signature_invalid"
    if row["status"] in ("received", "processing"):
        return "in_progress"
    return None if row["has_body"] else "raw_gone"
