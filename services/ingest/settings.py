"""What can be set of ingest: the frame's settings and its own limits."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """Variables with the prefix `INGEST_`."""

    model_config = SettingsConfigDict(env_prefix="INGEST_")

    request_keep_days: int = Field(default=30, ge=8, le=3_650)
    """How long ended requests and their idempotency keys are kept; longer than `requests` keeps its records."""
    webhook_keep_days: int = Field(default=30, ge=8, le=3_650)
    """How long what platforms told is kept for `GET /v1/webhooks`, from when it was published."""
    result_limit_bytes: int = Field(default=262_144, ge=0, le=16_777_216)
    """Largest result that is kept for `GET /v1/requests/{id}`; larger ones are only on `batcher.results`."""
