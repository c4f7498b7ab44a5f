"""Settings that every service has; its own class adds a prefix and its own fields."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Read once, in `app.py`. A service derives from it and sets `env_prefix`, e.g. `INGEST_`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    """0 takes a free port; the log line `listening` says which."""
    worker_dsn: SecretStr
    """Postgres as `<service>_worker`: consumers, relay, claims, jobs, authentication."""
    api_dsn: SecretStr
    """Postgres as `<service>_api`: whatever somebody asked for over HTTP."""
    pool_max_size: int = Field(default=10, ge=1, le=200)
    """Connections of each of the two pools."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    spans_file: Path | None = None
    """Where spans go when no OTLP endpoint is set; unset: nowhere."""
    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    drain_seconds: float = Field(default=20.0, ge=0.0, le=600.0)
    """How long work in flight may take to end after the first signal."""
    drain_notice_seconds: float = Field(default=0.0, ge=0.0, le=120.0)
    """How long http goes on at least after `/ready` began to fail, so that load balancers notice."""
    max_concurrent_requests: int = Field(default=256, ge=1, le=10_000)
    """HTTP requests served at a time; more are answered 503. Connections may be four times as many."""
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=67_108_864)
    """Largest HTTP request body."""
