"""The call itself: open the token, ask the limiter, send, and read the outcome. No transaction is open here."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from libs.events.assets_connections import SealedSecret
from libs.platforms.base import Batching, BatchOutcome, Credential, ItemDone, PlannedCall
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    Misconfigured,
    OutcomeUnknown,
    PlatformError,
    RateLimited,
    Retryable,
)
from libs.quota.lanes import lane_of
from libs.quota.limiter import Granted, Limiter
from libs.security.sealing import KeyRing, SealError, connection_aad
from libs.vocabulary import QuotaScope, UsageReading
from services.batcher.models import Batch, Completed, ConnectionRow, Hold, QueuedCall, Report, Verdict
from services.batcher.usecases.settling import Limits, verdict_of, verdict_of_whole_call

LONGEST_QUOTA_WAIT_SECONDS: Final = 300.0
"""Asking the limiter again costs little, and its books may have been put right meanwhile."""
TOKEN_FIELD: Final = "access_token"  # noqa: S105  the name of the field, as asset_sync seals it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sending:
    """What a call needs beside its batch."""

    batching: Batching
    ring: KeyRing
    limiter: Limiter
    limits: Limits
    timeout_seconds: float


async def call_platform(batch: Batch, sending: Sending) -> Report:
    """Send a claimed batch as one bulk call and say what shall become of each of its calls.

    Reads only, so that sending again after a crash or a lost answer is harmless; it costs quota.
    """
    connection = batch.connection
    assert connection is not None, "a batch without a known connection has no calls"
    started_at, started = datetime.now(UTC), time.monotonic()
    try:
        credential = open_credential(sending.ring, connection)
    except SealError as error:
        # A key that is missing here may arrive with a rotation; then the connection is published again.
        _log.error("a token cannot be opened", extra={"connection_id": str(connection.connection_id)}, exc_info=error)
        hold = Hold("connection", sending.limits.token_wait_seconds, str(error), newer_than_version=connection.version)
        return Report({call.call_id: hold for call in batch.calls}, started_at, _ms_since(started), "token_sealed")
    granted, held = await take_quota(batch.calls, credential, connection, sending)
    if not granted:
        return Report(held, started_at, _ms_since(started), "quota_spent")
    planned = [_planned(call) for call in granted]
    uses = tuple(use for use in sending.batching.quota_uses(credential, planned) if use.units)
    outcome = await _execute(batch, credential, planned, sending)
    if isinstance(outcome, PlatformError):
        errors: list[PlatformError] = [outcome]
        verdict = verdict_of_whole_call(outcome, connection.version, sending.limits)
        verdicts: dict[UUID, Verdict] = dict.fromkeys((call.call_id for call in granted), verdict)
        refused = isinstance(outcome, AuthExpired | AuthRevoked)
        usage: tuple[UsageReading, ...] = ()
        http_calls, word = 1, outcome.code
    else:
        errors = [item.error for item in outcome.items if not isinstance(item, ItemDone)]
        token_works = len(errors) < len(outcome.items)
        verdicts = {
            call.call_id: Completed(item.http_status, item.body)
            if isinstance(item, ItemDone)
            else verdict_of(item.error, connection.version, sending.limits, token_works=token_works)
            for call, item in zip(granted, outcome.items, strict=True)
        }
        usage, http_calls = outcome.usage, outcome.http_calls
        word = "answered" if token_works else _word_of(errors)
        # What was answered in the same call proves the token: one odd refusal must not stop the whole connection.
        refused = not token_works and any(isinstance(error, AuthExpired | AuthRevoked) for error in errors)
    for words in sorted({str(error) for error in errors if isinstance(error, Misconfigured)}):
        _log.error("the platform refuses our own settings: %s", words)
    return Report(
        verdicts={**held, **verdicts},
        started_at=started_at,
        duration_ms=_ms_since(started),
        outcome=word,
        http_calls=http_calls,
        uses=uses,
        usage=usage,
        blocked=_blocked(errors),
        refused_version=connection.version if refused else None,
    )


async def tell_limiter(limiter: Limiter, report: Report) -> None:
    """Let the limiter know what the platform said."""
    if report.usage:
        await limiter.observe(report.usage)
    for scope, seconds in report.blocked:
        await limiter.block(scope, seconds)


def open_credential(ring: KeyRing, connection: ConnectionRow) -> Credential:
    """Open the connection's access token for one call. Raises SealError."""
    assert connection.sealed_access_token is not None, "ended connections are sorted out when calls are claimed"
    sealed = SealedSecret.model_validate_json(connection.sealed_access_token)
    aad = connection_aad(connection.org_id, connection.connection_id, TOKEN_FIELD)
    return Credential(access_token=ring.open(sealed, aad=aad), app_id=connection.app_id)


async def take_quota(
    calls: Sequence[QueuedCall], credential: Credential, connection: ConnectionRow, sending: Sending
) -> tuple[list[QueuedCall], dict[UUID, Verdict]]:
    """Ask the limiter for the calls' units; give the calls that may go, and why the others wait.

    Calls come most urgent first. Where a budget does not suffice for all, its most urgent calls get what is left of it.
    """
    lane = lane_of(min(call.priority for call in calls))
    left = list(calls)
    held: dict[UUID, Verdict] = {}
    while left:
        uses = sending.batching.quota_uses(credential, [_planned(call) for call in left])
        answer = await sending.limiter.take(uses, lane=lane, organization=str(connection.org_id))
        if isinstance(answer, Granted):
            break
        affected = [call for call in left if _costs(answer.scope, call, credential, sending.batching)]
        dropped = affected[min(answer.free_units, len(affected) - 1) :]
        wait = min(answer.retry_after_seconds, LONGEST_QUOTA_WAIT_SECONDS)
        hold = Hold("quota", wait, f"the budget {answer.scope.name} is {answer.reason}")
        held.update(dict.fromkeys((call.call_id for call in dropped), hold))
        left = [call for call in left if call.call_id not in held]
    return left, held


async def _execute(
    batch: Batch, credential: Credential, planned: Sequence[PlannedCall], sending: Sending
) -> BatchOutcome | PlatformError:
    try:
        async with asyncio.timeout(sending.timeout_seconds):
            return await sending.batching.execute(credential, planned)
    except PlatformError as error:
        return error
    except TimeoutError:
        return OutcomeUnknown(batch.platform, "batch", f"no whole answer within {sending.timeout_seconds:g} s")


def _costs(scope: QuotaScope, call: QueuedCall, credential: Credential, batching: Batching) -> bool:
    return any(use.scope == scope for use in batching.quota_uses(credential, [_planned(call)]))


def _planned(call: QueuedCall) -> PlannedCall:
    return PlannedCall(call.request_type, call.request_key, call.params)


def _blocked(errors: Sequence[PlatformError]) -> tuple[tuple[QuotaScope, float], ...]:
    longest: dict[QuotaScope, float] = {}
    for error in errors:
        if isinstance(error, RateLimited) and error.scope is not None:
            longest[error.scope] = max(longest.get(error.scope, 0.0), error.retry_after_seconds)
    return tuple(longest.items())


def _word_of(errors: Sequence[PlatformError]) -> str:
    """Say how a call ended whose every item failed: that the platform fails each is its failure, though it says 200.

    What it refuses for good, or for want of a token or a right, it did answer.
    """
    return errors[0].code if all(isinstance(error, Retryable | OutcomeUnknown) for error in errors) else "answered"


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1_000)
