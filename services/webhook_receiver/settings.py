"""What an operator sets for webhook_receiver: `WEBHOOK_RECEIVER_*`, and under their old names `WEBHOOK_*`."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings


class WebhookReceiverSettings(ServiceSettings):
    """Times are seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="WEBHOOK_RECEIVER_", frozen=True, extra="ignore", populate_by_name=True
    )

    kek_file: Path = Field(validation_alias="SECRETS_KEK_FILE")
    """Key-encryption keys that seal the apps' secrets."""
    max_body_bytes: int = Field(default=5_242_880, ge=1_024, le=67_108_864)
    """Largest delivery, and largest body of an operator's request."""
    max_concurrent_requests: int = Field(default=1_024, ge=1, le=10_000)
    """HTTP requests served at a time. Deliveries that wait for their commit count, and cost little."""
    pool_max_size: int = Field(default=10, ge=4, le=200)
    """Connections of each of the two pools; the edge keeps two while there is traffic and needs some beside them."""
    refusals_kept_per_minute: int = Field(default=30, ge=0, le=10_000)
    """Of each app, how many deliveries with a wrong signature are kept to be looked at."""
    verify_tokens: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("WEBHOOK_RECEIVER_VERIFY_TOKENS", "WEBHOOK_VERIFY_TOKENS"),
    )
    """JSON, `platform/app` to the token of its handshake; they count for apps that no operator added."""
    store_raw: bool = Field(
        default=True, validation_alias=AliasChoices("WEBHOOK_RECEIVER_STORE_RAW", "WEBHOOK_STORE_RAW")
    )
    """False: a body is deleted once all of it is processed; it can then not be replayed."""
    retention_days: float = Field(
        default=30.0,
        gt=0,
        le=3_650,
        validation_alias=AliasChoices("WEBHOOK_RECEIVER_RETENTION_DAYS", "WEBHOOK_RETENTION_DAYS"),
    )
    """How long deliveries are kept; what tells a repeated one is kept 8 days longer."""

    @field_validator("verify_tokens")
    @classmethod
    def _names_platform_and_app(cls, value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        if any(name.count("/") != 1 or name.startswith("/") or name.endswith("/") for name in value):
            raise ValueError("each name must be of the form platform/app")
        return value

    @property
    def verify_tokens_by_app(self) -> Mapping[tuple[str, str], str]:
        """The tokens by platform and app."""
        parts = ((name.partition("/"), token) for name, token in self.verify_tokens.items())
        return {(platform, app): token.get_secret_value() for (platform, _, app), token in parts}
