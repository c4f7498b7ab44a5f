"""What becomes of claimed calls: ended with their asks' results, or put back; one transaction, under the fence."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    Misconfigured,
    OutcomeUnknown,
    PlatformError,
    RateLimited,
    Retryable,
)
from libs.postgres import Connection
from libs.work_queue import backoff_seconds
from services.batcher import metrics
from services.batcher.models import Batch, Completed, EndedAsk, Failed, Hold, QueuedCall, Report, TryAgain, Verdict
from services.batcher.store import asks as ask_store
from services.batcher.store import calls as call_store
from services.batcher.store import connections as connection_store
from services.batcher.store import history
from services.batcher.usecases import results

SKIPPED: Final = "no ask waits for it any more"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often things are tried."""

    max_attempts: int
    retry_base_seconds: float
    retry_cap_seconds: float
    give_up_seconds: float
    connection_wait_seconds: float
    token_wait_seconds: float


class Delays:
    """How long the calls of one batch wait before their next try.

    At first they wait alike, so that they go as one batch again. From the third try on each waits on its own, so that
    they go in small batches: one read that spoils every batch it is in (too large, too slow) then fails alone.
    """

    TOGETHER: Final = 2

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._shared: dict[int, float] = {}

    def before_next(self, attempts: int) -> float:
        """Give the wait after this many tries."""
        if attempts > self.TOGETHER:
            return self._drawn(attempts)
        return self._shared.setdefault(attempts, self._drawn(attempts))

    def _drawn(self, attempts: int) -> float:
        return backoff_seconds(
            attempts, base_seconds=self.limits.retry_base_seconds, cap_seconds=self.limits.retry_cap_seconds
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """What was written; calls that were not ours any more are in no number."""

    completed: int
    failed: int
    put_back: int
    asks: int
    """Asks that ended."""


def verdict_of(error: PlatformError, connection_version: int, limits: Limits, *, token_works: bool = False) -> Verdict:
    """Decide what becomes of a read after this error. Reads only: an unknown outcome is simply read again.

    `token_works`: the same call had answers, so an error that blames the token is no reason to wait for a newer one.
    """
    if isinstance(error, RateLimited):
        return Hold("quota", error.retry_after_seconds, str(error))
    if isinstance(error, Retryable | OutcomeUnknown):
        return TryAgain(error)
    if isinstance(error, AuthExpired | AuthRevoked):
        if token_works:
            return TryAgain(error)
        # asset_sync may have renewed the token already: only a newer state of the connection helps.
        return Hold("connection", limits.token_wait_seconds, str(error), newer_than_version=connection_version)
    if isinstance(error, Misconfigured):
        # Until an operator has mended the settings; the ask ends by its own time, not by ours.
        return Hold("retry", limits.token_wait_seconds, str(error))
    return Failed(error.code, error.message, error.platform_code)


def verdict_of_whole_call(error: PlatformError, connection_version: int, limits: Limits) -> Verdict:
    """Decide what becomes of every read of a call that failed as a whole.

    The batcher packed it, so a refusal proves nothing against any one of them: they are tried a few times, at the end
    each in a batch of its own.
    """
    verdict = verdict_of(error, connection_version, limits)
    return TryAgain(error) if isinstance(verdict, Failed) else verdict


async def settle(
    conn: Connection, calls: Sequence[QueuedCall], verdicts: Mapping[UUID, Verdict], limits: Limits
) -> Settled:
    """Write what became of the calls and publish the results of every ask that ended.

    The connection's lock is held. A call that somebody else has claimed meanwhile is left alone: that one's outcome
    counts, so no ask ends twice.
    """
    by_id = {call.call_id: call for call in calls}
    final = {call_id: _at_last_try(by_id[call_id], verdict) for call_id, verdict in verdicts.items()}
    ended = await call_store.end(conn, [_call_end(by_id[call_id], verdict) for call_id, verdict in _ends(final)])
    delays = Delays(limits)
    back = await call_store.put_back(
        conn, [_put_back(by_id[call_id], verdict, delays) for call_id, verdict in _backs(final)]
    )
    await ask_store.wait_again(conn, back)
    ends = [_ask_end(call_id, final[call_id]) for call_id in sorted(ended)]
    ended_asks = await ask_store.end_of_calls(conn, ends)
    await results.publish(conn, _events(ended_asks, final, by_id))
    _count_ended(ended_asks, {end.id: end.status for end in ends})
    completed = sum(isinstance(final[call_id], Completed) for call_id in ended)
    return Settled(completed, len(ended) - completed, len(back), len(ended_asks))


async def record(conn: Connection, batch: Batch, report: Report, limits: Limits) -> Settled:
    """Write the outcome of a bulk call: calls, asks, results, and what it cost."""
    connection = batch.connection
    assert connection is not None, "nothing is sent for a connection that is not known"
    await connection_store.lock(conn, [connection.connection_id])
    if report.refused_version is not None:
        await connection_store.mark_refused(conn, connection.connection_id, report.refused_version)
    settled = await settle(conn, batch.calls, report.verdicts, limits)
    # A newer state may have arrived while the call was under way: then nothing else would wake what waits for it.
    await connection_store.wake(conn, [connection.connection_id])
    units = sum(use.units for use in report.uses)
    if report.http_calls or units:
        await history.add_to_ledger(conn, report.uses, report.usage)
        await history.log(
            conn,
            history.LogEntry(
                platform=batch.platform.value,
                started_at=report.started_at,
                duration_ms=report.duration_ms,
                outcome=report.outcome,
                calls=len(batch.calls),
                asks=batch.asks,
                completed=settled.completed,
                failed=settled.failed,
                put_back=settled.put_back,
                http_calls=report.http_calls,
                quota_units=units,
                rate_limited=bool(report.blocked),
                highest_used_fraction=max((reading.used_fraction for reading in report.usage), default=None),
            ),
        )
    return settled


async def fail_asks(conn: Connection, ask_ids: Sequence[UUID], why: Failed) -> list[EndedAsk]:
    """End single asks as failed, whatever becomes of their calls, and publish that."""
    ends = [ask_store.AskEnd(ask_id, "failed", why.code, why.message) for ask_id in ask_ids]
    ended = await ask_store.end(conn, ends)
    await results.publish(conn, (results.failed(ask, why, 0) for ask in ended))
    _count_ended(ended, {})
    return ended


def _count_ended(asks: Sequence[EndedAsk], status_of_call: Mapping[UUID, str]) -> None:
    """Count before the commit: a transaction that fails is counted again when it is repeated."""
    for ask in asks:
        outcome = status_of_call.get(ask.call_id, "failed") if ask.call_id is not None else "failed"
        metrics.ASKS_ENDED.labels(ask.platform.value, outcome).inc()
        metrics.ASK_SECONDS.labels(ask.platform.value).observe((ask.ended_at - ask.queued_at).total_seconds())


def _at_last_try(call: QueuedCall, verdict: Verdict) -> Verdict:
    if isinstance(verdict, TryAgain) and call.attempts >= call.max_attempts:
        error = verdict.error
        return Failed("gave_up", f"given up after {call.attempts} tries: {error.message}", error.platform_code)
    return verdict


def _ends(verdicts: Mapping[UUID, Verdict]) -> Iterator[tuple[UUID, Completed | Failed]]:
    for call_id, verdict in sorted(verdicts.items()):
        if isinstance(verdict, Completed | Failed):
            yield call_id, verdict


def _backs(verdicts: Mapping[UUID, Verdict]) -> Iterator[tuple[UUID, TryAgain | Hold]]:
    for call_id, verdict in sorted(verdicts.items()):
        if isinstance(verdict, TryAgain | Hold):
            yield call_id, verdict


def _call_end(call: QueuedCall, verdict: Completed | Failed) -> call_store.CallEnd:
    if isinstance(verdict, Completed):
        return call_store.CallEnd(call.held, "completed", http_status=verdict.http_status)
    if verdict.message == SKIPPED:
        return call_store.CallEnd(call.held, "skipped", error=SKIPPED)
    return call_store.CallEnd(call.held, "failed", error=f"{verdict.code}: {verdict.message}")


def _put_back(call: QueuedCall, verdict: TryAgain | Hold, delays: "Delays") -> call_store.PutBack:
    if isinstance(verdict, Hold):
        return call_store.PutBack(
            held=call.held,
            held_for=verdict.held_for,
            delay_seconds=min(verdict.delay_seconds, delays.limits.give_up_seconds),
            counts=False,
            reason=verdict.reason,
            newer_than_version=verdict.newer_than_version,
        )
    return call_store.PutBack(
        held=call.held,
        held_for="retry",
        delay_seconds=delays.before_next(call.attempts),
        counts=True,
        reason=str(verdict.error),
    )


def _ask_end(call_id: UUID, verdict: Verdict) -> ask_store.AskEnd:
    if isinstance(verdict, Failed):
        return ask_store.AskEnd(call_id, "failed", verdict.code, verdict.message)
    return ask_store.AskEnd(call_id, "completed")


def _events(
    ended: Sequence[EndedAsk], verdicts: Mapping[UUID, Verdict], calls: Mapping[UUID, QueuedCall]
) -> Iterator[results.Sized]:
    by_call: dict[UUID, list[EndedAsk]] = defaultdict(list)
    for ask in ended:
        assert ask.call_id is not None
        by_call[ask.call_id].append(ask)
    for call_id, asks in by_call.items():
        verdict = verdicts[call_id]
        if isinstance(verdict, Completed):
            yield from results.completed(asks, call_id, verdict)
        elif isinstance(verdict, Failed):
            for ask in asks:
                yield results.failed(ask, verdict, calls[call_id].attempts)
