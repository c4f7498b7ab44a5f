"""Records that did not fit their contract: look, edit, redrive, drop."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter

from libs.messaging import dead_letters, operator_actions
from libs.messaging.processing import count
from libs.postgres import Connection
from libs.runtime.admin.frame import (
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


class DeadLetterOut(Answer):
    """A record that did not fit its contract, without its body."""

    id: UUID
    topic: str
    partition: int
    offset: int
    key: str | None
    reason: str
    status: Literal["open", "redriven", "dropped"]
    created_at: datetime
    ended_at: datetime | None
    note: str | None
    edited_at: datetime | None


class DeadLetterWholeOut(DeadLetterOut):
    """The same with headers and body as text, secrets taken out, and what operators did to it."""

    headers: list[tuple[str, str | None]]
    value: str | None
    value_bytes: int
    original_value: str | None
    """The body as it came, once it was edited."""
    actions: list[ActionOut]


def add_dead_letters(router: APIRouter, deps: AdminDeps) -> None:
    """Add the routes."""

    @router.get("/dead-letters")
    async def get_dead_letters(limit: Limit = 50) -> list[DeadLetterOut]:
        """Open dead letters, oldest first."""
        async with deps.database.acquire() as connection:
            letters = await dead_letters.list_open(connection, limit=limit)
        return [DeadLetterOut(**_letter(letter)) for letter in letters]

    @router.get("/dead-letters/{letter_id}")
    async def get_dead_letter(letter_id: UUID) -> DeadLetterWholeOut:
        """One dead letter with its headers and body as text; secrets are taken out of what is shown."""
        async with deps.database.acquire() as connection:
            letter = await _known(connection, letter_id)
            actions = await operator_actions.of(connection, letter_id)
        return DeadLetterWholeOut(
            **_letter(letter),
            headers=shown_headers(letter.headers),
            value=shown(letter.value),
            value_bytes=len(letter.value or b""),
            original_value=shown(letter.original_value),
            actions=actions_out(actions),
        )

    @router.patch("/dead-letters/{letter_id}")
    async def patch_dead_letter(letter_id: UUID, body: ValueIn, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Give it another body, which must fit the contract; the original is kept. A redrive then takes the new one."""
        value = None if body.value is None else body.value.encode()
        async with changing(deps.database, dry_run) as connection:
            await _known(connection, letter_id)
            with refusing("cannot_edit", "Cannot be edited so"):
                await dead_letters.edit(connection, letter_id, value, deps.routes, actor(who))
        return done_by(who, dry_run, f"edited dead letter {letter_id}")

    @router.post("/dead-letters/{letter_id}/redrive")
    async def post_redrive(letter_id: UUID, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Run our own handler on the record now, with its own event id; it stays open when that fails."""
        async with changing(deps.database, dry_run) as connection:
            await _known(connection, letter_id)
            with refusing("cannot_redrive", "Cannot be redriven"):
                outcomes = await dead_letters.redrive(connection, letter_id, deps.routes, actor=actor(who))
        if not dry_run:
            count(outcomes)
        return done_by(who, dry_run, f"redrove dead letter {letter_id}")

    @router.post("/dead-letters/{letter_id}/drop")
    async def post_drop(letter_id: UUID, body: ReasonIn, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Give a dead letter up; it is kept, with the reason."""
        async with changing(deps.database, dry_run) as connection:
            await _known(connection, letter_id)
            with refusing("already_ended", "Ended before"):
                await dead_letters.drop(connection, letter_id, body.reason, actor=actor(who))
        return done_by(who, dry_run, f"dropped dead letter {letter_id}")


async def _known(connection: Connection, letter_id: UUID) -> dead_letters.DeadLetter:
    letter = await dead_letters.get(connection, letter_id)
    if letter is None:
        raise unknown("dead letter", str(letter_id), "use an id that the list of dead letters shows", "path:letter_id")
    return letter


def _letter(letter: dead_letters.DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": shown(letter.key),
        "reason": redact_text(letter.reason),
        "status": letter.status,
        "created_at": letter.created_at,
        "ended_at": letter.ended_at,
        "note": letter.note,
        "edited_at": letter.edited_at,
    }
