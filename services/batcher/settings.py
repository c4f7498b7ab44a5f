"""What an operator sets for the batcher: `BATCHER_*`, and under their old names `PLATFORM_BATCH_*`."""

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, create_model, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.runtime.settings import ServiceSettings
from libs.vocabulary import PlatformName


class BatcherSettings(ServiceSettings):
    """Times are seconds."""

    model_config = SettingsConfigDict(env_prefix="BATCHER_", frozen=True, extra="ignore", populate_by_name=True)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias=AliasChoices("BATCHER_LOG_LEVEL", "PLATFORM_BATCH_LOG_LEVEL")
    )
    valkey_url: str = Field(validation_alias="VALKEY_URL", pattern=r"^(valkey|valkeys|redis|rediss|unix)://")
    """The limiter's books."""
    kek_file: Path = Field(validation_alias="SECRETS_KEK_FILE")
    """Key-encryption keys that open the connections' tokens."""
    enabled: bool = Field(default=True, validation_alias=AliasChoices("BATCHER_ENABLED", "PLATFORM_BATCH_ENABLED"))
    """False: asks are queued and none is sent, on any platform."""
    log_requests: bool = Field(
        default=False, validation_alias=AliasChoices("BATCHER_LOG_REQUESTS", "PLATFORM_BATCH_LOG_REQUESTS")
    )
    """True: a log line for every read that is sent, with its type, key and outcome, never its parameters."""
    workers: int = Field(default=4, ge=1, le=64)
    """Bulk calls that one process makes at a time."""
    lease_seconds: float = Field(default=60.0, ge=5, le=3_600)
    """How long a dead worker's calls stay taken."""
    call_timeout_seconds: float = Field(default=40.0, ge=1, le=3_000)
    """Longest time of one bulk call; shorter than the lease."""
    max_attempts: int = Field(default=5, ge=1, le=100)
    retry_base_seconds: float = Field(default=2.0, gt=0, le=3_600)
    retry_cap_seconds: float = Field(default=300.0, gt=0, le=86_400)
    give_up_seconds: float = Field(default=21_600.0, ge=60, le=604_800)
    """Age at which an ask fails if it was not answered, e.g. because of a throttle that does not end."""
    connection_wait_seconds: float = Field(default=60.0, ge=0, le=86_400)
    """How long a read waits for a connection that is not known here yet."""
    token_wait_seconds: float = Field(default=900.0, ge=0, le=86_400)
    """How long a read waits for a newer token after the platform refused the one that was used."""
    retention_days: float = Field(default=30.0, gt=0, le=3_650)
    """How long ended asks and calls, the execution log and the quota ledger are kept."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _lease_outlives_the_call(self) -> "BatcherSettings":
        if self.call_timeout_seconds > self.lease_seconds - 5:
            raise ValueError("call_timeout_seconds must be at least 5 s shorter than lease_seconds")
        return self


class _SwitchesBase(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def on(self) -> tuple[PlatformName, ...]:
        """Give the platforms that are switched on."""
        return tuple(name for name in PlatformName if getattr(self, name.value))


_FIELDS: dict[str, Any] = {
    name.value: (bool, Field(default=True, validation_alias=f"PLATFORM_BATCH_{name.name}_ENABLED"))
    for name in PlatformName
}
PlatformSwitches: type[_SwitchesBase] = create_model("PlatformSwitches", __base__=_SwitchesBase, **_FIELDS)
"""`PLATFORM_BATCH_<PLATFORM>_ENABLED`; false: its asks are queued and none is sent."""
