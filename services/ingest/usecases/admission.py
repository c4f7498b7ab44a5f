"""Whether an ask may be done: one judgement for both ways in. No I/O; what is known of the world comes as a value."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.events.problem import Problem
from libs.platforms.base import InvalidParams, Platform
from libs.vocabulary import ConnectionId, ConnectionStatus, PlatformName, RequestKind
from services.ingest.models import Ask, PlannedRead, World
from services.ingest.usecases import refusals
from services.ingest.usecases.refusals import Fault

MAX_OBJECT_KEY_BYTES: Final = 512
"""In UTF-8: with the organization it becomes a record key, of which readers take 1,024 bytes."""
MAX_IDEMPOTENCY_KEY_CHARS: Final = 255
MAX_PARAMS_BYTES: Final = 65_536
"""Of one request, as canonical JSON: its event must fit its topic with room to spare."""
MAX_WAIT_SECONDS: Final = 86_400.0
NOT_USABLE: Final = frozenset({ConnectionStatus.EXPIRED, ConnectionStatus.REVOKED, ConnectionStatus.DISCONNECTED})
"""With these a platform surely refuses. `error` may pass by itself, so the platform is asked."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Platforms = Mapping[PlatformName, Platform]


class ApiRequestPayload(BaseModel):
    """What a request of kind `api_request` asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: str = Field(min_length=1, max_length=64)
    connection_id: UUID
    request_type: str = Field(min_length=1, max_length=64)
    params: dict[str, Any]
    priority: int = Field(default=5, ge=1, le=10, strict=True)
    max_wait_seconds: float | None = Field(default=None, ge=0, le=MAX_WAIT_SECONDS, strict=True, allow_inf_nan=False)


def judge(ask: Ask, world: World, platforms: Platforms) -> PlannedRead | Problem:
    """Give the read that an ask becomes, or why it is refused; the first reason of: who, for whom, what, with what."""
    refusal = _who(ask, world) if ask.via == "kafka" else None
    if refusal is not None:
        return refusal
    if ask.org_id not in world.organizations:
        return refusals.organization_unknown(ask)
    if ask.kind != RequestKind.API_REQUEST:
        return refusals.kind_unknown(ask, list(RequestKind))
    faults = _frame_faults(ask)
    try:
        payload = ApiRequestPayload.model_validate(ask.payload)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        return refusals.invalid(ask, faults + refusals.faults_of(errors, "/payload"))
    if faults:
        return refusals.invalid(ask, faults)
    return _plan(ask, payload, world, platforms)


def content_hash(ask: Ask) -> bytes:
    """Give the SHA-256 by which two asks with one idempotency key are compared; the order of fields does not count."""
    content = [ask.kind, ask.object_key, ask.payload]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


def storable_key(object_key: str) -> str:
    """Give an object key that can be stored and sent, whatever somebody sent."""
    return _CONTROL.sub("?", object_key).encode()[:MAX_OBJECT_KEY_BYTES].decode(errors="ignore")


def _who(ask: Ask, world: World) -> Problem | None:
    producer = world.producers.get(ask.source)
    if producer is None or not producer.active:
        return refusals.producer_unknown(ask)
    if producer.org_ids and ask.org_id not in producer.org_ids:
        return refusals.organization_not_allowed(ask)
    if ask.kind in set(RequestKind) and ask.kind not in producer.kinds:
        return refusals.kind_not_allowed(ask)
    if ask.cause is not None and ask.cause.org_id not in (None, ask.org_id):
        return refusals.organization_contradicted(ask)
    return None


def _frame_faults(ask: Ask) -> list[Fault]:
    faults: list[Fault] = []
    if not ask.object_key:
        faults.append(("/object_key", "is missing", "send your own id of the object: it is the unit of order"))
    elif len(ask.object_key.encode()) > MAX_OBJECT_KEY_BYTES or _CONTROL.search(ask.object_key):
        what = f"is longer than {MAX_OBJECT_KEY_BYTES} bytes or holds a control character"
        faults.append(("/object_key", what, "send a shorter, printable id of the object"))
    return faults


def _plan(ask: Ask, payload: ApiRequestPayload, world: World, platforms: Platforms) -> PlannedRead | Problem:
    known = {name.value: platform for name, platform in platforms.items() if platform.batching is not None}
    platform = known.get(payload.platform)
    if platform is None or platform.batching is None:
        return refusals.platform_unknown(ask, payload.platform, known)
    request_types = platform.batching.request_types
    if payload.request_type not in request_types:
        return refusals.request_type_unknown(ask, payload.platform, payload.request_type, request_types)
    try:
        params = platform.batching.plan(payload.request_type, payload.params).params
    except InvalidParams as error:
        return refusals.invalid(ask, [(f"/payload{where}", what, how) for where, what, how in error.errors])
    fault = _params_fault(params)
    if fault is not None:
        return refusals.invalid(ask, [fault])
    refusal = _connection_refusal(ask, payload, world)
    if refusal is not None:
        return refusal
    return PlannedRead(
        platform=platform.name,
        connection_id=ConnectionId(payload.connection_id),
        request_type=payload.request_type,
        params=params,
        priority=payload.priority,
        max_wait_seconds=payload.max_wait_seconds,
    )


def _params_fault(params: Mapping[str, Any]) -> Fault | None:
    try:
        size = len(json.dumps(params, allow_nan=False, ensure_ascii=False).encode())
    except ValueError:
        return "/payload/params", "holds a number that JSON cannot say", "send finite numbers"
    if size > MAX_PARAMS_BYTES:
        return "/payload/params", f"has {size} bytes, more than {MAX_PARAMS_BYTES}", "ask for less at a time"
    return None


def _connection_refusal(ask: Ask, payload: ApiRequestPayload, world: World) -> Problem | None:
    connection = world.connections.get((ask.org_id, payload.connection_id))
    if connection is None:
        return refusals.connection_unknown(ask)
    if connection.platform != payload.platform:
        return refusals.connection_of_other_platform(ask, payload.platform, connection)
    if connection.status in NOT_USABLE:
        return refusals.connection_not_usable(ask, connection)
    return None
