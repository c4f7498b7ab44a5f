"""Records that failed, and what waits behind them: look, edit, redrive, drop."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from libs.messaging import operator_actions
from libs.messaging.operator_actions import CannotChange
from libs.messaging.parked import operating
from libs.messaging.parked.operating import Parked, key_of
from libs.messaging.parked.options import ReplayOptions
from libs.messaging.parked.replay import Replayed, Replayer
from libs.messaging.records import Routing
from libs.postgres import Connection
from libs.runtime.admin.frame import (
    STORABLE,
    AdminDeps,
    Answer,
    Done,
    DryRun,
    Limit,
    OperatorDep,
    ReasonIn,
    ValueIn,
    actor,
    changing,
    done_by,
    shown,
    shown_headers,
    unknown,
)
from libs.runtime.admin.records import ActionOut, actions_out, refusing
from libs.telemetry.redaction import redact_text

Text = Annotated[str | None, Query(max_length=2_048, pattern=STORABLE)]


class ParkedOut(Answer):
    """A parked record without its body, and while it is open the state of its key."""

    id: UUID
    topic: str
    key: str
    """What is blocked."""
    partition: int
    offset: int
    event_id: str | None
    type: str | None
    status: str
    """open, replayed, superseded or dropped."""
    attempts: int
    """How often it failed; 0 while it only waits behind another."""
    error: str | None
    created_at: datetime
    ended_at: datetime | None
    note: str | None
    edited_at: datetime | None
    key_status: str | None
    """waiting for a replay, or gave_up until a person acts; null when the record has ended."""
    key_attempts: int | None
    next_attempt_at: datetime | None
    waiting: int
    """Open records of its key, itself among them."""


class ParkedWholeOut(ParkedOut):
    """The same with headers and body as text, secrets taken out, and what operators did to it."""

    record_key: str | None
    headers: list[tuple[str, str | None]]
    value: str | None
    value_bytes: int
    original_value: str | None
    """The body as it came, once it was edited."""
    actions: list[ActionOut]


def add_parked(router: APIRouter, deps: AdminDeps) -> None:
    """Add the routes."""

    @router.get("/parked")
    async def get_parked(topic: Text = None, key: Text = None, limit: Limit = 50) -> list[ParkedOut]:
        """Of each blocked key the record that is tried next; with `key` all that wait there, in order."""
        async with deps.database.acquire() as connection:
            if key is None:
                found = await operating.list_heads(
                    connection, deps.service, topic=topic, states=_states(deps), limit=limit
                )
            else:
                found = await operating.list_key(connection, deps.service, topic=topic, key=key, limit=limit)
        return [ParkedOut(**_out(parked)) for parked in found]

    @router.get("/parked/{parked_id}")
    async def get_one_parked(parked_id: UUID) -> ParkedWholeOut:
        """One parked record with its headers and body as text; secrets are taken out of what is shown."""
        async with deps.database.acquire() as connection:
            parked = await _known(connection, parked_id)
            actions = await operator_actions.of(connection, parked_id)
        return ParkedWholeOut(
            **_out(parked),
            record_key=shown(parked.record_key),
            headers=shown_headers(parked.headers),
            value=shown(parked.value),
            value_bytes=len(parked.value or b""),
            original_value=shown(parked.original_value),
            actions=actions_out(actions),
        )

    @router.patch("/parked/{parked_id}")
    async def patch_parked(parked_id: UUID, body: ValueIn, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Give it another body, which must fit the contract and is taken by the next replay; the original is kept."""
        value = None if body.value is None else body.value.encode()
        async with changing(deps.database, dry_run) as connection:
            await _known(connection, parked_id)
            with refusing("cannot_edit", "Cannot be edited so"):
                await operating.edit(connection, parked_id, value, deps.routes, actor(who))
        return done_by(who, dry_run, f"edited parked record {parked_id}")

    @router.post("/parked/{parked_id}/redrive")
    async def post_parked_redrive(parked_id: UUID, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Replay its key now, from the first record on, and count attempts anew; 409 when it is not reached."""
        limit = deps.parked_max_attempts
        replayer = Replayer(deps.service, deps.database, Routing(deps.routes), ReplayOptions(), most_attempts=limit)
        async with changing(deps.database, dry_run) as connection:
            await _known(connection, parked_id)
            with refusing("cannot_redrive", "Cannot be redriven"):
                parked = await operating.lock_open(connection, parked_id)
                if parked.topic not in {route.topic for route in deps.routes}:
                    raise CannotChange(f"nothing here reads topic {parked.topic}")
            done: Replayed | None
            if dry_run:
                done = await replayer.replay_within(connection, key_of(parked), 1, ReplayOptions().records)
            else:
                epoch = await replayer.claim_now(connection, key_of(parked))
                await operator_actions.note(connection, actor(who), "redrive", "parked", parked_id)
        if not dry_run:
            done = await replayer.replay_claimed(key_of(parked), epoch)
        with refusing("still_fails", "Still fails"):
            return done_by(who, dry_run, _verdict(parked_id, done), len(done.ended) if done else 0)

    @router.post("/parked/{parked_id}/drop")
    async def post_parked_drop(parked_id: UUID, body: ReasonIn, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Give a record up; it is kept, with the reason. When it was the next to be tried, its key goes on at once."""
        async with changing(deps.database, dry_run) as connection:
            await _known(connection, parked_id)
            with refusing("already_ended", "Ended before"):
                await operating.drop(connection, parked_id, body.reason, deps.routes, actor(who))
        return done_by(who, dry_run, f"dropped parked record {parked_id}")


def _verdict(parked_id: UUID, done: Replayed | None) -> str:
    """Say what a redrive did. Raises: CannotChange when a record failed before the one that was meant had its turn."""
    if done is None:
        return f"made the key of parked record {parked_id} due; another replay has it, or it was in the way of others"
    replayed = f"replayed {len(done.ended)} of its key's records"
    if done.failed is not None and parked_id not in done.ended:
        failed = "it" if done.failed[0] == parked_id else f"parked record {done.failed[0]}, which comes before it,"
        raise CannotChange(f"{replayed}, then {failed} failed: {done.failed[1]}")
    if done.is_free:
        return f"redrove parked record {parked_id}: {replayed}; the key is free"
    if done.failed is not None:
        return f"redrove parked record {parked_id}: {replayed}, then {done.failed[0]} failed"
    return f"redrove the key of parked record {parked_id}: {replayed}; the others follow by themselves"


def _states(deps: AdminDeps) -> list[str]:
    routing = Routing(deps.routes)
    return [topic for topic in routing.topics if routing.is_state(topic)]


async def _known(connection: Connection, parked_id: UUID) -> Parked:
    parked = await operating.get(connection, parked_id)
    if parked is None:
        raise unknown("parked record", str(parked_id), "use an id that the list shows", "path:parked_id")
    return parked


def _out(parked: Parked) -> dict[str, Any]:
    fields = {name: getattr(parked, name) for name in ParkedOut.model_fields}
    return fields | {
        "key": redact_text(parked.key),
        "error": None if parked.error is None else redact_text(parked.error),
    }
