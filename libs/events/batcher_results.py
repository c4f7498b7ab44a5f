"""Topic `batcher.results`: how each asked API read ended."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from libs.events.model import Event
from libs.vocabulary import PlatformName


class ApiRequestEnded(Event):
    """What every ending says."""

    request_id: UUID
    org_id: UUID
    platform: PlatformName
    connection_id: UUID
    request_type: str
    ended_at: datetime


class ApiRequestCompleted(ApiRequestEnded):
    """The platform answered. A result too large for one message comes in `parts` numbered from 1."""

    event_type: ClassVar[str] = "api_request.completed.v1"
    topic: ClassVar[str] = "batcher.results"

    call_id: UUID
    http_status: int
    result: Any = None
    """The platform's JSON when `parts` is 1, else None."""
    part: int = Field(default=1, ge=1)
    parts: int = Field(default=1, ge=1)
    chunk: str | None = None
    """When `parts` > 1: this part of the JSON text; the parts joined in order give the whole."""
    shared_by: int = Field(default=1, ge=1)
    """How many asks this one call answered."""


class ApiError(BaseModel):
    """Why a call failed for good."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    """Our word: rejected, permission_missing, auth_revoked, contract_broken, gave_up ..."""
    message: str
    platform_code: str | None = None
    """The platform's own code, e.g. `100/33`."""
    attempts: int


class ApiRequestFailed(ApiRequestEnded):
    """The call will not be tried again."""

    event_type: ClassVar[str] = "api_request.failed.v1"
    topic: ClassVar[str] = "batcher.results"

    call_id: UUID | None
    error: ApiError
