"""The one declaration of every topic: what is on it, how it is kept, who writes and who reads it.

`platformbus topics apply` makes the broker agree with it; README's table and the AsyncAPI document are generated from
it. Importing this module imports every model, so `EVENTS` is complete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from libs.events.assets_connections import Connection
from libs.events.batcher_results import ApiRequestCompleted, ApiRequestFailed
from libs.events.ingest_accepted import ApiRequestAccepted, RequestRejected
from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.model import Event
from libs.events.requests import RequestSubmitted
from libs.events.webhooks_events import WebhookReceived

DAY_MS: Final = 86_400_000
KEPT_MS: Final = 7 * DAY_MS
"""Commands and facts outlive a consumer that stands still over a long weekend; so do the tombstones of state."""
MAX_MESSAGE_BYTES: Final = 1_048_576
"""Largest record batch, headers and frame included. A result that does not fit is split into parts by its writer."""
MAX_DEAD_LETTER_BYTES: Final = 2 * MAX_MESSAGE_BYTES
"""The record and our headers that say why it is there. One that its producer compressed may be larger unpacked."""

TopicKind = Literal["command", "fact", "state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic, as the broker shall have it and as people read of it."""

    name: str
    kind: TopicKind
    events: tuple[type[Event], ...]
    """Empty: records of any form, as they came."""
    key: str
    """What the record's key is, in words."""
    summary: str
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    partitions: int = 12
    """Generous from the start: adding some later breaks the order per key."""
    max_message_bytes: int = MAX_MESSAGE_BYTES

    @property
    def cleanup(self) -> Literal["delete", "compact"]:
        """The broker's `cleanup.policy`."""
        return "compact" if self.kind == "state" else "delete"

    @property
    def retention_ms(self) -> int | None:
        """How long records are kept; None: the newest of each key for ever."""
        return None if self.kind == "state" else KEPT_MS

    def config(self) -> dict[str, str]:
        """Give the broker's settings of this topic by their names."""
        settings = {"cleanup.policy": self.cleanup, "max.message.bytes": str(self.max_message_bytes)}
        if self.retention_ms is None:
            # Tombstones stay as long as facts do: a reader that was away so long starts again from the beginning.
            return settings | {"retention.ms": "-1", "delete.retention.ms": str(KEPT_MS)}
        return settings | {"retention.ms": str(self.retention_ms)}


def _dead_letters(service: str) -> Topic:
    return Topic(
        name=f"{service}.dead_letters",
        kind="fact",
        events=(),
        key="as the source, what is no text replaced",
        summary="records that do not fit their contract, value and headers as they came, and in more headers why,"
        " where from and when; of one too large for this topic what fits, and in `dl_left_out` what does not",
        written_by=(service,),
        read_by=("operators",),
        max_message_bytes=MAX_DEAD_LETTER_BYTES,
    )


TOPICS: Final[tuple[Topic, ...]] = (
    Topic(
        name="requests",
        kind="command",
        events=(RequestSubmitted,),
        key="the caller's own id of the object",
        summary="what internal systems ask for",
        written_by=("internal systems",),
        read_by=("ingest",),
    ),
    Topic(
        name="ingest.accepted",
        kind="fact",
        events=(ApiRequestAccepted, RequestRejected),
        key="organization / the caller's id of the object",
        summary="what ingest made of each request",
        written_by=("ingest",),
        read_by=("batcher", "internal systems"),
    ),
    Topic(
        name="ingest.identities",
        kind="state",
        events=(Organization, ApiKey, Producer),
        key="organization; organization / key; producer / source",
        summary="who exists and who may ask for what; of keys only the hash",
        written_by=("ingest",),
        read_by=("asset_sync", "batcher", "webhook_receiver"),
    ),
    Topic(
        name="batcher.results",
        kind="fact",
        events=(ApiRequestCompleted, ApiRequestFailed),
        key="request",
        summary="how each asked read ended; a result too large for one record comes in numbered parts",
        written_by=("batcher",),
        read_by=("ingest", "internal systems"),
    ),
    Topic(
        name="assets.connections",
        kind="state",
        events=(Connection,),
        key="organization / connection",
        summary="state of every connection, with its access token sealed",
        written_by=("asset_sync",),
        read_by=("ingest", "batcher", "webhook_receiver"),
    ),
    Topic(
        name="webhooks.events",
        kind="fact",
        events=(WebhookReceived,),
        key="organization / platform / account",
        summary="what platforms push about accounts of an organization, a record per change",
        written_by=("webhook_receiver",),
        read_by=("ingest", "internal systems"),
    ),
    _dead_letters("ingest"),
    _dead_letters("asset_sync"),
    _dead_letters("batcher"),
    _dead_letters("webhook_receiver"),
)

_BY_NAME: Final = {declared.name: declared for declared in TOPICS}

EVENTS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {model.event_type: model for declared in TOPICS for model in declared.events}
)
"""Every event that some topic carries, by its CloudEvents type."""


def topic(name: str) -> Topic:
    """Give the declaration of a topic. Raises KeyError for one that is not declared."""
    return _BY_NAME[name]
