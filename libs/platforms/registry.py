"""The platforms, written out: adding one is a folder, a line in `PlatformName` and a line in each part here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import httpx

from libs.platforms import meta
from libs.platforms.base import Platform
from libs.platforms.meta.settings import MetaSettings
from libs.vocabulary import PlatformName


@dataclass(frozen=True, slots=True)
class PlatformSettings:
    """Every platform's own settings; made in `app.py`, it reads the environment for those that are not given."""

    meta: MetaSettings = field(default_factory=MetaSettings)

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Addresses that an HTTP client for the platforms must be allowed to reach, also when they are local."""
        return (self.meta.graph_url, self.meta.instagram_url, self.meta.instagram_login_url, self.meta.threads_url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets to be hidden wherever they turn up."""
        return tuple(secret.get_secret_value() for secret in self.meta.app_secrets.values())

    @property
    def app_secrets(self) -> Mapping[tuple[str, str], str]:
        """The same secrets by platform and app: what the apps' webhooks are signed with too."""
        return {(PlatformName.META.value, app): text.get_secret_value() for app, text in self.meta.app_secrets.items()}


def build_platforms(
    http: httpx.AsyncClient | None, settings: PlatformSettings | None = None
) -> Mapping[PlatformName, Platform]:
    """Give every platform, ready to use.

    Without an HTTP client only what does no I/O works (`batching.plan`, `batching.quota_uses`). The client's builder
    closes it.
    """
    settings = settings or PlatformSettings()
    return MappingProxyType({PlatformName.META: meta.build_platform(http, settings.meta)})
