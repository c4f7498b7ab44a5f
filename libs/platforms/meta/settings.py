"""What an operator sets for Meta: addresses, version, app secrets, time-outs and the sizes of unpublished budgets."""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.platforms.base import Credential


class GraphHost(StrEnum):
    """The hosts, each with tokens of its own. Source: the three guides, read 2026-11."""

    FACEBOOK = "facebook"
    """Graph and Marketing API, pages, Instagram by Facebook Login, WhatsApp."""
    INSTAGRAM = "instagram"
    """Instagram by its own login."""
    INSTAGRAM_LOGIN = "instagram_login"
    """Where a code of Instagram's login is exchanged; it knows no versions and no other calls."""
    THREADS = "threads"


class MetaSettings(BaseSettings):
    """Variables `META_*`. Meta publishes its budgets as formulae over numbers that only it knows (daily users, active
    ads), so their size is set here. The usage headers of every answer tell the limiter what was used, and which
    tier the app has.
    """

    model_config = SettingsConfigDict(env_prefix="META_", frozen=True, extra="ignore")

    graph_url: str = Field(default="https://graph.facebook.com", pattern=r"^https?://")
    instagram_url: str = Field(default="https://graph.instagram.com", pattern=r"^https?://")
    """For tokens of Instagram's own login. Source: "Instagram API with Instagram Login", read 2026-11."""
    instagram_login_url: str = Field(default="https://api.instagram.com", pattern=r"^https?://")
    """Source: "Business Login for Instagram", read 2026-11."""
    threads_url: str = Field(default="https://graph.threads.net", pattern=r"^https?://")
    """Source: Meta's sample `threads_api`, read 2026-11."""
    threads_api_version: str = Field(default="v1.0", pattern=r"^v\d+\.\d+$")
    """Threads counts its versions by itself. Source: Meta's sample `threads_api`, read 2026-11."""
    api_version: str = Field(default="v26.0", pattern=r"^v\d+\.\d+$")
    """v26.0 came out on 2026-07-29. Source: "Graph API changelog, versions", read 2026-11."""
    app_secrets: Mapping[str, SecretStr] = Field(default_factory=dict)
    """JSON, app id to app secret; proves that calls come from our servers and makes the app's own token. It checks the
    app's webhooks too, unless an operator added the app to webhook_receiver."""
    multi_get: bool = False
    """Whether more than 50 objects may share a batch by `ids=` on the root. Meta ended that for every version on
    2026-10-27: it answers with an error (third party: six repositories that quote the changelog of v26.0, read
    2026-11; the guides still describe it). So it is off, and a batch takes 50 objects.
    """
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
    ads_insights_units_per_hour: int = Field(default=600, ge=1)
    """Reads of insights per hour on one ad account of an app with limited access: 600 + 400 x active ads; the default
    is the smallest. Source: "Graph API rate limiting", read 2026-11."""
    ads_insights_full_units_per_hour: int = Field(default=190_000, ge=1)
    """The same with full access: 190,000 + 400 x active ads."""
    throttle_wait_seconds: float = Field(default=120.0, gt=0, le=86_400)
    """Wait after a throttle that does not say when access comes back. No number is documented; others' clients wait two
    to ten minutes (third party, read 2026-11), as calls during a block prolong it."""

    def address(self, host: GraphHost, *, versioned: bool = True) -> str:
        """Give the base of a host's paths, without a slash at its end; `versioned` with the API version in it."""
        urls = {
            GraphHost.FACEBOOK: self.graph_url,
            GraphHost.INSTAGRAM: self.instagram_url,
            GraphHost.INSTAGRAM_LOGIN: self.instagram_login_url,
            GraphHost.THREADS: self.threads_url,
        }
        base = urls[host]
        version = self.threads_api_version if host is GraphHost.THREADS else self.api_version
        return f"{base.rstrip('/')}/{version}" if versioned else base.rstrip("/")

    def app_secret(self, credential: Credential) -> str | None:
        """Give the secret of the credential's app: the credential's own, else the configured one, else None."""
        if credential.app_secret is not None:
            return credential.app_secret
        secret = self.app_secrets.get(credential.app_id) if credential.app_id is not None else None
        return secret.get_secret_value() if secret is not None else None


def host_of(credential: Credential) -> GraphHost:
    """Give the host that takes the credential's token. Raises ValueError for a login that Meta has not."""
    return GraphHost(credential.login) if credential.login is not None else GraphHost.FACEBOOK
