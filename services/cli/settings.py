"""Where the command finds things: environment variables, and what `make up` wrote for the local stack."""

from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ServiceName = Literal["ingest", "asset_sync", "batcher", "webhook_receiver"]
SERVICES: Final[tuple[ServiceName, ...]] = ("ingest", "asset_sync", "batcher", "webhook_receiver")

LOCAL_ENV: Final = Path(__file__).resolve().parents[2] / ".local" / "env"
"""Written by `make up`; a variable that is set in the environment comes before its line here."""


class CliSettings(BaseSettings):
    """All may be missing: each command says which one it needs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    platformbus_key: SecretStr | None = None
    platformbus_organization: str | None = None
    """For a key of the bus's operators: which organization is meant when `--organization` is not given."""
    ingest_url: str | None = None
    asset_sync_url: str | None = None
    batcher_url: str | None = None
    webhook_receiver_url: str | None = None

    postgres_admin_dsn: SecretStr | None = None
    ingest_owner_dsn: SecretStr | None = None
    asset_sync_owner_dsn: SecretStr | None = None
    batcher_owner_dsn: SecretStr | None = None
    webhook_receiver_owner_dsn: SecretStr | None = None
    ingest_worker_dsn: SecretStr | None = None
    secrets_kek_file: Path | None = None

    def url(self, service: ServiceName) -> str | None:
        """Where a service listens."""
        url: str | None = getattr(self, f"{service}_url")
        return url.rstrip("/") if url else None


def read_settings(env_file: Path = LOCAL_ENV) -> CliSettings:
    """Read the variables; those that are not set are looked up in the file, if there is one."""
    return CliSettings(_env_file=env_file)
