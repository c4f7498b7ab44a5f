"""What an operator sets for Meta: addresses, version, app secrets, time-outs and the sizes of unpublished budgets."""

from collections.abc import Mapping

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.platforms.base import Credential


class MetaSettings(BaseSettings):
    """Variables `META_*`. Meta publishes its budgets as formulae over numbers that only it knows (daily users, active
    ads), so their size is set here. The usage headers of every answer tell the limiter what was used, and which
    tier the app has.
    """

    model_config = SettingsConfigDict(env_prefix="META_", frozen=True, extra="ignore")

    graph_url: str = Field(default="https://graph.facebook.com", pattern=r"^https?://")
    api_version: str = Field(default="v26.0", pattern=r"^v\d+\.\d+$")
    """v26.0 came out on 2026-07-29. Source: "Graph API changelog, versions", read 2026-11."""
    app_secrets: Mapping[str, SecretStr] = Field(default_factory=dict)
    """JSON, app id to app secret; proves that calls come from our servers and makes the app's own token."""
    timeout_seconds: float = Field(default=30.0, gt=0, le=300)
    """For one HTTP call, whole. Meta names no time after which it gives up on a batch: not documented."""
    flush_interval_seconds: int = Field(default=300, ge=1, le=86_400)
    platform_units_per_hour: int = Field(default=20_000, ge=1)
    """Calls per hour of one app with one user's token. For app tokens: 200 x daily users; for user tokens Meta keeps
    the number to itself. The default stands for 100 daily users. Source: "Graph API rate limiting", read 2026-11."""
    ads_management_units_per_hour: int = Field(default=300, ge=1)
    """Calls per hour on one ad account of an app with limited access: 300 + 40 x active ads; the default is the
    smallest. It holds until an answer's headers name the app's tier. Source: "Graph API rate limiting", read 2026-11.
    """
    ads_management_full_units_per_hour: int = Field(default=100_000, ge=1)
    """The same with full access, which the headers call `standard_access`: 100,000 + 40 x active ads."""

    throttle_wait_seconds: float = Field(default=120.0, gt=0, le=86_400)
    """Wait after a throttle that does not say when access comes back. No number is documented; others' clients wait two
    to ten minutes (third party, read 2026-11), as calls during a block prolong it."""

    def app_secret(self, credential: Credential) -> str | None:
        """Give the secret of the credential's app: the credential's own, else the configured one, else None."""
        if credential.app_secret is not None:
            return credential.app_secret
        secret = self.app_secrets.get(credential.app_id) if credential.app_id is not None else None
        return secret.get_secret_value() if secret is not None else None
