"""Topic `webhooks.events`: what platforms told us, one record per change and organization that it belongs to."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field

from libs.events.model import Event
from libs.vocabulary import AccountRef, PlatformName


class WebhookReceived(Event):
    """A platform told of one change on an account that the organization has connected.

    At least once. What an account's deliveries tell of comes in their order of arrival, but for two cases: deliveries
    that arrive at the same moment may change places, and one whose processing failed and is tried again, or that is
    replayed, comes after later ones. The platform itself promises no order.
    """

    event_type: ClassVar[str] = "webhook.received.v1"
    topic: ClassVar[str] = "webhooks.events"

    webhook_id: UUID
    """The delivery that it came in, as webhook_receiver keeps it."""
    position: int = Field(ge=0)
    """Which change of the delivery, from 0."""
    org_id: UUID
    connection_id: UUID
    platform: PlatformName
    app: str
    """The platform's id of the app that got the delivery."""
    object: str
    """The platform's word for what it watches: page, instagram, ad_account, whatsapp_business_account ..."""
    field: str
    """The platform's word for what can change: feed, leadgen, comments ..."""
    change_type: str
    """Our word: post.created, comment.removed, lead.created ...; `other` where we have none yet."""
    account: AccountRef
    external_event_id: str
    """The same for the same change however often it is delivered; unique within the platform."""
    occurred_at: datetime | None
    """When it happened, where the platform says so."""
    received_at: datetime
    value: Any
    """The platform's own JSON of this one change."""
