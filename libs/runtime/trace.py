"""`GET /admin/trace`, the same in every service: the steps that its own records know of some ids, for operators."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from libs.messaging import trace
from libs.messaging.trace import FindSteps, Step
from libs.postgres import Database
from libs.runtime.admin import operator
from libs.telemetry.redaction import redact_text

MOST_IDS: Final = 50
MAX_WORDS_CHARS: Final = 300

# U+0000 can be in no id that Postgres has ever kept.
TracedId = Annotated[str, StringConstraints(min_length=1, max_length=1_024, pattern=r"^[^\x00]+$")]


class StepOut(BaseModel):
    """One thing that happened, by the records of this service."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    what: str
    kind: str
    id: str
    caused_by: list[str]
    """`kind:id` of the steps that it follows from; `:id` where the kind is not known."""
    follow: list[str]
    """Ids of which other services may know more."""
    detail: dict[str, str | int | bool | None]


class TraceOut(BaseModel):
    """What one service knows of the ids, oldest first."""

    model_config = ConfigDict(frozen=True)

    service: str
    steps: list[StepOut]


def trace_router(service: str, database: Database, find_steps: FindSteps) -> APIRouter:
    """Build the route of one service; `database` is the worker's, `find_steps` knows the service's own tables."""
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(operator)])

    @router.get("/trace")
    async def get_trace(
        ids: Annotated[list[TracedId], Query(alias="id", min_length=1, max_length=MOST_IDS)],
    ) -> TraceOut:
        """What this service's records say of the ids: of requests, events, deliveries, calls, or a caller's own."""
        async with database.acquire() as connection:
            own = await find_steps(connection, ids)
            shared = await trace.find_steps(connection, service, ids)
        return TraceOut(service=service, steps=_shown([*own, *shared]))

    return router


def _shown(steps: Iterable[Step]) -> list[StepOut]:
    return [_out(step) for step in sorted(steps, key=lambda step: step.at)]


def _out(step: Step) -> StepOut:
    """The step without what looks like a secret: callers choose their keys' words, platforms those of their errors."""
    fields = asdict(step) | {
        "id": redact_text(step.id),
        "caused_by": [redact_text(ref) for ref in step.caused_by],
        "follow": [redact_text(other) for other in step.follow],
        "detail": {name: _redacted(value) for name, value in step.detail.items()},
    }
    return StepOut.model_validate(fields)


def _redacted(value: trace.Detail) -> trace.Detail:
    return redact_text(value, max_chars=MAX_WORDS_CHARS) if isinstance(value, str) else value
