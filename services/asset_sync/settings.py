"""What an operator sets for asset_sync: `ASSET_SYNC_*`, and the file of the key-encryption keys."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings


class AssetSyncSettings(ServiceSettings):
    """Times are seconds."""

    model_config = SettingsConfigDict(env_prefix="ASSET_SYNC_", frozen=True, extra="ignore", populate_by_name=True)

    kek_file: Path = Field(validation_alias="SECRETS_KEK_FILE")
    """Where the key-encryption keys are: JSON, see libs/security/key_file.py."""
    inspect_timeout_seconds: float = Field(default=15.0, ge=0.1, le=60)
    """How long a platform may take to say what a token is."""
    expiring_days: float = Field(default=7.0, gt=0, le=365)
    """A token that expires within this time is marked."""
    aging_interval_seconds: float = Field(default=300.0, ge=1, le=86_400)
    """How often tokens are looked at for their age."""
