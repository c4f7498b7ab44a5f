"""What every platform's abilities must do, whatever their wire: classes that each platform's tests inherit.

A class per ability. Its hooks say how the platform writes things; its tests say what must follow. A platform that has
an ability inherits that ability's classes.
"""

from tests.libs.platforms.conformance.assets import AssetsConformance
from tests.libs.platforms.conformance.batching import BatchingConformance
from tests.libs.platforms.conformance.errors import APP_SECRET, TOKEN, ErrorsConformance, Handler, always
from tests.libs.platforms.conformance.limits import LimitsConformance
from tests.libs.platforms.conformance.paging import PagingConformance
from tests.libs.platforms.conformance.sharing import SharingConformance
from tests.libs.platforms.conformance.tokens import TokensConformance
from tests.libs.platforms.conformance.webhooks import WebhooksConformance

__all__ = [
    "APP_SECRET",
    "TOKEN",
    "AssetsConformance",
    "BatchingConformance",
    "ErrorsConformance",
    "Handler",
    "LimitsConformance",
    "PagingConformance",
    "SharingConformance",
    "TokensConformance",
    "WebhooksConformance",
    "always",
]
