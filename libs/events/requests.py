"""Topic `requests`: commands of internal systems."""

from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field

from libs.events.model import Event


class RequestSubmitted(Event):
    """Somebody asks for something. Only the frame is checked by the contract.

    What is wrong inside `payload`, or with who asks, is answered by `request.rejected`, never by a dead letter,
    so `kind` is a free string here.
    """

    event_type: ClassVar[str] = "request.submitted.v1"
    topic: ClassVar[str] = "requests"

    kind: str = Field(min_length=1, max_length=64)
    org_id: UUID
    payload: dict[str, Any]
