"""State topics: append again what they should carry."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from pydantic import BaseModel

from libs.runtime.admin.frame import AdminDeps, Done, DryRun, OperatorDep, changing, done_by, unknown

RECENT_DAYS = 2
"""A reannouncement takes what changed in this time, unless all is asked for."""


class ReannounceIn(BaseModel):
    """Which state to append again."""

    topic: str | None = None
    """None: every state topic that this service writes."""
    everything: bool = False
    """False: only keys that changed in the last two days."""


def add_topics(router: APIRouter, deps: AdminDeps) -> None:
    """Add the routes."""

    @router.post("/topics/reannounce")
    async def post_reannounce(body: ReannounceIn, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Append again the current state of the keys that changed lately, or of all."""
        if body.topic is not None and body.topic not in deps.reannounce:
            known = ", ".join(deps.reannounce) or "none"
            raise unknown("state topic", body.topic, f"use one that {deps.service} writes: {known}", "/topic")
        since = None if body.everything else datetime.now(UTC) - timedelta(days=RECENT_DAYS)
        chosen = [body.topic] if body.topic is not None else list(deps.reannounce)
        count = 0
        async with changing(deps.database, dry_run) as connection:
            for topic in chosen:
                count += await deps.reannounce[topic](connection, since)
        return done_by(who, dry_run, f"announced again: {', '.join(chosen) or 'nothing'}", count)
