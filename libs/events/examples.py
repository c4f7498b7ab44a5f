"""One whole example of every event: for the AsyncAPI document, and as golden files that later code must still read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from libs.events.assets_connections import Connection, SealedSecret
from libs.events.batcher_results import ApiError, ApiRequestCompleted, ApiRequestFailed
from libs.events.envelope import Envelope
from libs.events.ingest_accepted import ApiRequestAccepted, RequestRejected
from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.model import Event
from libs.events.problem import ProblemItem, problem
from libs.events.requests import RequestSubmitted
from libs.events.webhooks_events import WebhookReceived
from libs.vocabulary import AccountRef, ConnectionStatus, PlatformName, Role

_ORG: Final = UUID("0190f5c2-7a10-7000-8000-000000000001")
_CONNECTION: Final = UUID("0190f5c2-7a10-7000-8000-000000000002")
_REQUEST: Final = UUID("0190f5c2-7a10-7000-8000-000000000003")
_CALL: Final = UUID("0190f5c2-7a10-7000-8000-000000000004")
_KEY: Final = UUID("0190f5c2-7a10-7000-8000-000000000005")
_WEBHOOK: Final = UUID("0190f5c2-7a10-7000-8000-000000000006")
_ACCOUNT: Final = AccountRef("page", "153125381133")
_AT: Final = datetime(2026, 11, 21, 9, 30, 0, 125_000, tzinfo=UTC)
_TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_PARAMS: Final = {"object_id": "120330000000001", "fields": ["id", "name"]}


@dataclass(frozen=True, slots=True)
class Example:
    """A record as it could be on its topic."""

    key: str
    envelope: Envelope
    event: Event


def _example(number: int, key: str, source: str, event: Event, *, version: int | None = None) -> Example:
    envelope = Envelope(
        id=f"0190f5c2-7a10-7000-9000-{number:012d}",
        type=event.event_type,
        source=source,
        time=_AT,
        subject=key,
        org_id=_ORG,
        correlation_id="0190f5c2-7a10-7000-9000-000000000001",
        causation_id=None if number == 1 else "0190f5c2-7a10-7000-9000-000000000001",
        version=version,
        idempotency_key="crm-2026-11-21-0001" if number == 1 else None,
        traceparent=_TRACEPARENT,
    )
    return Example(key, envelope, event)


_REJECTION: Final = problem(
    "invalid",
    422,
    "Request not valid",
    "1 value does not keep the rules of this request.",
    ProblemItem(where="/payload/priority", what="Input should be less than or equal to 10", how="give 1 to 10"),
)

_ALL: Final = (
    _example(
        1,
        "campaign-4711",
        "crm",
        RequestSubmitted(
            kind="api_request",
            org_id=_ORG,
            payload={
                "platform": "meta",
                "connection_id": str(_CONNECTION),
                "request_type": "get_object",
                "params": _PARAMS,
            },
        ),
    ),
    _example(
        2,
        f"{_ORG}/campaign-4711",
        "ingest",
        ApiRequestAccepted(
            request_id=_REQUEST,
            org_id=_ORG,
            source="crm",
            object_key="campaign-4711",
            platform=PlatformName.META,
            connection_id=_CONNECTION,
            request_type="get_object",
            params=_PARAMS,
            priority=5,
            max_wait_seconds=None,
            accepted_at=_AT,
        ),
    ),
    _example(
        3,
        f"{_ORG}/campaign-4711",
        "ingest",
        RequestRejected(
            request_id=_REQUEST,
            org_id=_ORG,
            source="crm",
            object_key="campaign-4711",
            event_id="0190f5c2-7a10-7000-9000-000000000001",
            kind="api_request",
            problem=_REJECTION,
            rejected_at=_AT,
        ),
    ),
    _example(
        4, f"{_ORG}", "ingest", Organization(org_id=_ORG, name="Example Music", active=True, created_at=_AT), version=1
    ),
    _example(
        5,
        f"{_ORG}/{_KEY}",
        "ingest",
        ApiKey(
            key_id=_KEY,
            org_id=_ORG,
            name="crm in production",
            role=Role.API_USER,
            key_hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            hint="x7Qa",
            expires_at=None,
            revoked_at=None,
            created_at=_AT,
        ),
        version=1,
    ),
    _example(
        6,
        "producer/crm",
        "ingest",
        Producer(source="crm", org_ids=(_ORG,), kinds=("api_request",), active=True),
        version=3,
    ),
    _example(
        7,
        f"{_REQUEST}",
        "batcher",
        ApiRequestCompleted(
            request_id=_REQUEST,
            org_id=_ORG,
            platform=PlatformName.META,
            connection_id=_CONNECTION,
            request_type="get_object",
            ended_at=_AT,
            call_id=_CALL,
            http_status=200,
            result={"id": "120330000000001", "name": "Spring campaign"},
            shared_by=2,
        ),
    ),
    _example(
        8,
        f"{_REQUEST}",
        "batcher",
        ApiRequestFailed(
            request_id=_REQUEST,
            org_id=_ORG,
            platform=PlatformName.META,
            connection_id=_CONNECTION,
            request_type="get_object",
            ended_at=_AT,
            call_id=_CALL,
            error=ApiError(code="rejected", message="the object does not exist", platform_code="100/33", attempts=1),
        ),
    ),
    _example(
        9,
        f"{_ORG}/{_CONNECTION}",
        "asset_sync",
        Connection(
            connection_id=_CONNECTION,
            org_id=_ORG,
            platform=PlatformName.META,
            name="Example Music ads",
            app_id="1234567890",
            status=ConnectionStatus.HEALTHY,
            scopes=("ads_read",),
            expires_at=_AT,
            sealed_access_token=SealedSecret(kek_id="k1", wrapped_key="AAAA", ciphertext="BBBB"),
            updated_at=_AT,
            accounts=(_ACCOUNT,),
            created_at=_AT,
        ),
        version=2,
    ),
    _example(
        10,
        f"{_ORG}/meta/{_ACCOUNT}",
        "platformbus/webhook_receiver",
        WebhookReceived(
            webhook_id=_WEBHOOK,
            position=0,
            org_id=_ORG,
            connection_id=_CONNECTION,
            platform=PlatformName.META,
            app="1234567890",
            object="page",
            field="leadgen",
            change_type="lead.created",
            account=_ACCOUNT,
            external_event_id="page/leadgen/444444444444",
            occurred_at=_AT,
            received_at=_AT,
            value={
                "leadgen_id": "444444444444",
                "page_id": "153125381133",
                "form_id": "777777777777",
                "created_time": 1795253400,
            },
        ),
    ),
)

EXAMPLES: Final[Mapping[str, Example]] = {example.envelope.type: example for example in _ALL}
"""By event type; a test demands one for every declared event."""
