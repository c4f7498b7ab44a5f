"""Ways in by topic and by the clock: decode, call one use case."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.batcher_results import ApiRequestCompleted, ApiRequestEnded, ApiRequestFailed
from libs.events.requests import RequestSubmitted
from libs.events.webhooks_events import WebhookReceived
from libs.jobs.job import Job
from libs.messaging.inbox import prune_inbox
from libs.messaging.messages import Message, Route
from libs.messaging.parked.pruning import prune_parked
from libs.messaging.reannounce import Reannounce, reannounce_recent
from libs.postgres import Connection
from libs.vocabulary import OrgId
from services.ingest.models import ON_KAFKA, Ask
from services.ingest.usecases.admission import Platforms
from services.ingest.usecases.connections import apply_connections
from services.ingest.usecases.identities import TOPIC, reannounce_identities
from services.ingest.usecases.requests import admit_requests, prune_requests
from services.ingest.usecases.results import end_requests
from services.ingest.usecases.webhooks import keep_webhooks, prune_webhooks

REANNOUNCE: Final[dict[str, Reannounce]] = {TOPIC: reannounce_identities}
"""By state topic that ingest writes."""


@dataclass(frozen=True, slots=True)
class Deps:
    """What the handlers need; `app` fills it."""

    platforms: Platforms
    result_limit_bytes: int
    request_keep_days: int
    webhook_keep_days: int = 30


def routes(deps: Deps) -> tuple[Route, ...]:
    """Give what ingest reads from Kafka."""
    return (
        # Admission knows repeats by their idempotency key; an inbox would hide those that need an answer.
        # Producers may use the same key: a record that is parked must block only its own producer's.
        Route("requests", (RequestSubmitted,), partial(on_requests, deps), once=False, blocking_key=_blocks),
        Route("batcher.results", (ApiRequestCompleted, ApiRequestFailed), partial(on_results, deps)),
        Route("assets.connections", (ConnectionState,), on_connections),
        Route("webhooks.events", (WebhookReceived,), on_webhooks),
    )


def jobs(deps: Deps) -> tuple[Job, ...]:
    """Give what ingest does by the clock."""
    return (
        Job("prune_requests", partial(prune_requests, keep_days=deps.request_keep_days), cron="20 3 * * *"),
        Job("prune_webhooks", partial(prune_webhooks, keep_days=deps.webhook_keep_days), cron="30 3 * * *"),
        Job("prune_inbox", prune_inbox, cron="40 3 * * *"),
        Job("prune_parked", prune_parked, cron="50 3 * * *"),
        Job("reannounce_identities", reannounce_recent(REANNOUNCE), cron="10 4 * * *"),
    )


async def on_requests(deps: Deps, connection: Connection, messages: Sequence[Message]) -> None:
    """Admit what internal systems ask; what is refused is answered by `request.rejected`."""
    await admit_requests(connection, [_ask(message) for message in messages], deps.platforms)


async def on_results(deps: Deps, connection: Connection, messages: Sequence[Message]) -> None:
    """End the requests that the batcher answered."""
    events = [message.data for message in messages if isinstance(message.data, ApiRequestEnded)]
    await end_requests(connection, events, result_limit_bytes=deps.result_limit_bytes)


async def on_webhooks(connection: Connection, messages: Sequence[Message]) -> None:
    """Keep what platforms told of connected accounts."""
    events = [(message.envelope.id, message.data) for message in messages if isinstance(message.data, WebhookReceived)]
    await keep_webhooks(connection, events)


async def on_connections(connection: Connection, messages: Sequence[Message]) -> None:
    """Keep what admission asks of connections."""
    states, ended = [], []
    for message in messages:
        if isinstance(message.data, ConnectionState):
            assert message.envelope.version is not None, "the consume loop dead-letters state without a version"
            states.append((message.data, message.envelope.version))
        else:
            ended.append(UUID(message.key.rpartition("/")[2]))
    await apply_connections(connection, states, ended)


def _blocks(message: Message) -> str:
    event = message.data
    assert isinstance(event, RequestSubmitted), "the route names no other event"
    return f"{event.org_id}/{message.envelope.source}/{message.key}"


def _ask(message: Message) -> Ask:
    event, envelope = message.data, message.envelope
    assert isinstance(event, RequestSubmitted), "the route names no other event"
    return Ask(
        org_id=OrgId(event.org_id),
        source=envelope.source,
        kind=event.kind,
        object_key=message.key,
        payload=event.payload,
        idempotency_key=envelope.idempotency_key or envelope.id,
        via="kafka",
        places=ON_KAFKA,
        cause=envelope,
    )
