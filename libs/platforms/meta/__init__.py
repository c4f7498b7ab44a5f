"""Meta: Graph API and Marketing API.

Version: v26.0 (2026-07-29), set by META_API_VERSION.
Abilities: batching (`get_object`, `list_edge`, `get_ad_accounts`, `get_insights`), tokens (three logins, each with
 hosts and apps' secrets of its own), assets (all eight types), webhooks (every topic of their reference, and Threads).
`get_object`: `object_id`, `fields`; for a campaign, ad set, ad or creative also `account_id`, the ad account it is
 below, so that the first read already counts against that account's budget; later ones learn it from the answers.
`list_edge`: `object_id`, `edge` (one of `edges.EDGES`), `fields`, `limit`, `after` (the page before names it in
 `paging.cursors.after`; the last page has no `paging.next`); of campaigns, ad sets and ads also `effective_status` and
 `filtering`; below an ad account also `account_id`, as above.
`get_ad_accounts`: the list of the person's ad accounts: `fields`, `limit`, `after`.
`get_insights`: `object_id` (ad account, campaign, ad set, ad), `fields`, `date_preset` or `time_range`, and `level`,
 `time_increment`, `breakdowns`, `action_breakdowns`, `action_attribution_windows`, `filtering`, `sort`, `limit`,
 `after`; `account_id` as above. It costs the ad account's budget `ads_insights`.
Pages read, as stored copies, in 2026-11, below developers.facebook.com/docs/graph-api: batch-requests,
 overview/rate-limiting, guides/error-handling, guides/secure-requests, guides/field-expansion, changelog/versions,
 results (paging), webhooks/reference; facebook-login/guides/access-tokens; marketing-api/insights/best-practices;
 instagram-graph-api/reference/error-codes; and the source of facebook-python-business-sdk. What is marked third party
 or from memory was in no official text.
Limits: 50 items a batch; every item counts as one call; budgets see `quota.py`.
Quirks: errors are told apart by `error.code`, hardly by HTTP status; a batch item can be null (not done); there is no
 idempotency key; paging addresses repeat the token; a read of a list gives one page.
"""

import httpx

from libs.platforms.base import Platform
from libs.platforms.meta.assets import MetaAssets
from libs.platforms.meta.batching import MetaBatching
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.meta.tokens import MetaTokens
from libs.platforms.meta.webhooks import ACCOUNT_TYPES, MetaWebhooks
from libs.platforms.meta.webhooks.drill import MetaDrill
from libs.vocabulary import PlatformName


def build_platform(http: httpx.AsyncClient | None, settings: MetaSettings) -> Platform:
    """Give Meta's abilities; without a client only those that do no I/O."""
    client = GraphClient(http, settings)
    return Platform(
        name=PlatformName.META,
        api_version=settings.api_version,
        account_types=ACCOUNT_TYPES,
        batching=MetaBatching(client),
        tokens=MetaTokens(client),
        assets=MetaAssets(client),
        webhooks=MetaWebhooks(),
        webhook_drill=MetaDrill(),
    )
