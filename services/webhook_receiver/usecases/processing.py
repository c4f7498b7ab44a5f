"""What becomes of a delivery: claimed, split, resolved to organizations, published once to each, ended.

Why nothing is lost, doubled or out of order, wherever a process dies: a shard has one owner at a time, and every
transaction here begins with the owner's fence. A claim is committed before the work, so a body that kills its process
runs out of attempts. Whatever was claimed and did not end is claimed again before anything that came later, and alone,
so that a killer takes nobody with it. Keys, events and endings share one transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from libs.events.envelope import new_event_id
from libs.events.webhooks_events import WebhookReceived
from libs.messaging.outbox import MessageTooLarge, OutboxItem, append_many
from libs.platforms.base import Change, Platform, UnknownShape
from libs.postgres import Connection
from libs.telemetry.redaction import redact_text, safe_error, storable
from libs.vocabulary import AccountRef, PlatformName, WebhookStatus
from libs.work_queue.claims import backoff_seconds
from services.webhook_receiver.models import (
    SOURCE,
    TOPIC,
    Claimed,
    Delivery,
    Due,
    Ended,
    Ending,
    Key,
    Outcome,
    Split,
)
from services.webhook_receiver.store import changes, connections, deliveries

MAX_ROWS: Final = 100
"""Deliveries of one round: making their events holds up the loop for some ten milliseconds, and the edge with it."""
MAX_BYTES: Final = 8_388_608
"""Bodies of one round; a single larger one is taken alone."""
RETRY_BASE_SECONDS: Final = 2.0
RETRY_CAP_SECONDS: Final = 600.0
MAX_ERROR_CHARS: Final = 500

Account = tuple[str, str, str]
"""Platform, type, id."""
Owners = Mapping[Account, Sequence[tuple[UUID, UUID]]]
"""By account, a pair of organization and connection for each organization."""


class CannotProcess(Exception):  # noqa: N818  reads as the fact it reports
    """A delivery that fails the same way however often it is tried: it waits for an upgrade and a replay."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


async def is_due(conn: Connection, shards: Iterable[int]) -> bool:
    """Tell whether there is work; an idle process asks this all the time, so it takes no lock and writes nothing."""
    return await deliveries.is_due(conn, list(shards))


async def claim(conn: Connection, epochs: Mapping[int, int], owner: str, *, turn: int) -> Claimed:
    """Count an attempt on the next deliveries of these shards and give them; commit before working on them.

    The caller's transaction holds the fence. `turn` counts rounds: those that failed get every second one.
    """
    due = await deliveries.find_due(conn, list(epochs), MAX_ROWS)
    chosen = choose(due, turn=turn)
    left = [each for each in chosen if each.is_left_over and each.locked_by != owner]
    tired = [each for each in left if each.attempts >= each.max_attempts]
    for each in tired:
        words = f"was begun {each.attempts} times, and each time its process ended before it did"
        await deliveries.fail(conn, each, reason="attempts_used_up", error=words, retry_seconds=None)
    fresh = [each for each in chosen if each not in tired]
    claimed = await deliveries.claim(conn, fresh, epochs, owner) if fresh else []
    return Claimed(tuple(claimed), len(tired))


def choose(due: Sequence[Due], *, turn: int) -> list[Due]:
    """Choose one round's work: alone what was left over or failed before, else what came first, within the limits."""
    failed = [each for each in due if each.status is WebhookStatus.FAILED]
    waiting = sorted((each for each in due if each.status is not WebhookStatus.FAILED), key=lambda each: each.seq)
    if failed and (turn % 2 or not waiting):
        return failed[:1]
    if waiting and waiting[0].is_left_over:
        return waiting[:1]
    chosen: list[Due] = []
    size_bytes = 0
    for each in waiting:
        size_bytes += each.body_bytes
        if each.is_left_over or len(chosen) == MAX_ROWS or (chosen and size_bytes > MAX_BYTES):
            break
        chosen.append(each)
    return chosen


def split(delivery: Delivery, platforms: Mapping[PlatformName, Platform]) -> Split:
    """Split a delivery into what happened. No I/O. Raises CannotProcess, or whatever a bug of ours raises."""
    if delivery.raw is None:
        raise CannotProcess("raw_gone", "its body was not kept")
    platform = platforms.get(PlatformName(delivery.platform))
    if platform is None or platform.webhooks is None:
        raise CannotProcess("platform_unknown", f"{delivery.platform} has no webhooks here")
    try:
        return Split(delivery, tuple(platform.webhooks.split(delivery.raw)))
    except UnknownShape as error:
        raise CannotProcess("unknown_shape", str(error)) from None


async def settle(conn: Connection, splits: Sequence[Split], *, store_raw: bool) -> Ended:
    """Publish what is new to whom it concerns, and end these deliveries; give what came of each and of its changes.

    The caller's transaction holds the fence. Raises CannotProcess when an event is larger than its topic takes.
    """
    owners = await _find_owners(conn, splits)
    keys = _keys(splits, owners)
    new = await changes.insert_keys(conn, list(keys.values())) if keys else set()
    old = [identity for identity in keys if identity not in new]
    # Whose each key is: of this round's deliveries the first, else the one that published it before.
    delivered_by = await changes.find_deliveries(conn, old) if old else {}
    delivered_by |= {identity: (keys[identity].event_id, keys[identity].position) for identity in new}
    try:
        await append_many(conn, _items(splits, [keys[identity] for identity in new]))
    except MessageTooLarge as error:
        raise CannotProcess("too_large", str(error)) from None
    outcomes = [
        _outcome(each, position, owners, delivered_by) for each in splits for position in range(len(each.changes))
    ]
    await changes.write(conn, [each.delivery for each in splits if each.delivery.replays], outcomes)
    endings = _endings(splits, outcomes, store_raw=store_raw)
    await deliveries.finish(conn, endings)
    return Ended(tuple(endings), tuple(outcomes))


async def fail(conn: Connection, delivery: Delivery, error: Exception) -> bool:
    """Mark a delivery as failed; give whether it will be tried again. The caller's transaction holds the fence."""
    if isinstance(error, CannotProcess):
        words = storable(redact_text(str(error), max_chars=MAX_ERROR_CHARS))
        await deliveries.fail(conn, delivery, reason=error.reason, error=words, retry_seconds=None)
        return False
    words = safe_error(error)[:MAX_ERROR_CHARS]
    again = delivery.attempts < delivery.max_attempts
    wait = backoff_seconds(delivery.attempts, base_seconds=RETRY_BASE_SECONDS, cap_seconds=RETRY_CAP_SECONDS)
    await deliveries.fail(conn, delivery, reason="error", error=words, retry_seconds=wait if again else None)
    return again


async def _find_owners(conn: Connection, splits: Sequence[Split]) -> Owners:
    accounts = {_account(each, change) for each in splits for change in each.changes}
    return await connections.find_owners(conn, sorted(accounts)) if accounts else {}


def _keys(splits: Sequence[Split], owners: Owners) -> dict[tuple[UUID, str, str], Key]:
    """Plan what goes to whom; of a change that came twice, the first."""
    keys: dict[tuple[UUID, str, str], Key] = {}
    for each in splits:
        for position, change in enumerate(each.changes):
            for org_id, connection_id in owners.get(_account(each, change), ()):
                key = Key(
                    org_id=org_id,
                    platform=each.delivery.platform,
                    external_event_id=change.external_event_id,
                    connection_id=connection_id,
                    event_id=each.delivery.id,
                    position=position,
                    outbox_event_id=new_event_id(),
                )
                keys.setdefault(key.identity, key)
    return keys


def _items(splits: Sequence[Split], keys: Sequence[Key]) -> list[OutboxItem]:
    """Make the events, in the order of arrival."""
    by_place: dict[tuple[UUID, int], list[Key]] = {}
    for key in sorted(keys, key=lambda key: key.org_id):
        by_place.setdefault((key.event_id, key.position), []).append(key)
    return [
        _item(each.delivery, change, key)
        for each in splits
        for position, change in enumerate(each.changes)
        for key in by_place.get((each.delivery.id, position), ())
    ]


def _item(delivery: Delivery, change: Change, key: Key) -> OutboxItem:
    account = AccountRef(change.account_type, change.account_id)
    event = WebhookReceived(
        webhook_id=delivery.id,
        position=key.position,
        org_id=key.org_id,
        connection_id=key.connection_id,
        platform=PlatformName(delivery.platform),
        app=delivery.app,
        object=change.object,
        field=change.field,
        change_type=change.change_type,
        account=account,
        external_event_id=change.external_event_id,
        occurred_at=change.occurred_at,
        received_at=delivery.received_at,
        value=change.value,
    )
    return OutboxItem(
        topic=TOPIC,
        key=f"{key.org_id}/{delivery.platform}/{account}",
        event=event,
        source=SOURCE,
        org_id=key.org_id,
        subject=str(delivery.id),
        correlation_id=str(delivery.id),
        event_id=key.outbox_event_id,
        lock_key=True,
        traceparent=delivery.traceparent,
    )


def _outcome(
    each: Split, position: int, owners: Owners, delivered_by: Mapping[tuple[UUID, str, str], tuple[UUID, int]]
) -> Outcome:
    change = each.changes[position]
    theirs = owners.get(_account(each, change), ())
    status, reason = WebhookStatus.IGNORED, None
    if not theirs:
        reason = f"no organization has connected {change.account_type} {change.account_id}"
    elif any(
        delivered_by.get((org_id, each.delivery.platform, change.external_event_id)) == (each.delivery.id, position)
        for org_id, _ in theirs
    ):
        status = WebhookStatus.PROCESSED
    else:
        status, reason = WebhookStatus.DUPLICATE, "was published before"
    return Outcome(each.delivery, position, change, status, reason)


def _endings(splits: Sequence[Split], outcomes: Sequence[Outcome], *, store_raw: bool) -> list[Ending]:
    """A delivery is processed when something of it was published; else ignored when something of it found nobody."""
    by_delivery: dict[UUID, list[Outcome]] = {each.delivery.id: [] for each in splits}
    for outcome in outcomes:
        by_delivery[outcome.delivery.id].append(outcome)
    endings = []
    for each in splits:
        mine = by_delivery[each.delivery.id]
        status = next(
            (
                status
                for status in (WebhookStatus.PROCESSED, WebhookStatus.IGNORED, WebhookStatus.DUPLICATE)
                if any(outcome.status is status for outcome in mine)
            ),
            WebhookStatus.IGNORED,
        )
        words = next((outcome.reason for outcome in mine if outcome.status is status), "it tells of no change")
        # What found nobody may find somebody when it is replayed, whatever became of the changes beside it.
        forgets = not store_raw and bool(mine) and all(one.status is not WebhookStatus.IGNORED for one in mine)
        endings.append(Ending(each.delivery, status, words, forgets))
    return endings


def _account(each: Split, change: Change) -> Account:
    return each.delivery.platform, change.account_type, change.account_id
