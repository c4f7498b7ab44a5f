"""The platforms, written out: adding one is a folder, a line in `PlatformName` and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

import httpx

from libs.platforms import meta
from libs.platforms.base import Platform
from libs.platforms.meta.settings import MetaSettings
from libs.vocabulary import PlatformName


def build_platforms(
    http: httpx.AsyncClient | None, *, meta_settings: MetaSettings | None = None
) -> Mapping[PlatformName, Platform]:
    """Give every platform, ready to use; read its settings from the environment where none are given.

    Without an HTTP client only what does no I/O works (`batching.plan`, `batching.quota_uses`). The client's owner
    closes it.
    """
    return MappingProxyType(
        {
            PlatformName.META: meta.build_platform(http, meta_settings or MetaSettings()),
        }
    )
