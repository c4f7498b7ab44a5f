"""Whose budgets a call is counted in, and how large they are.

Formulas O (overview/rate-limiting, marketing-apis/rate-limiting, threads/overview); what Meta does not publish is made
up and says so. A business use case wins over the platform's limits where both could apply (O).
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from services.sandbox.clock import Clock
from services.sandbox.meta.ad_objects import count_active_ads
from services.sandbox.meta.catalog import KINDS
from services.sandbox.meta.operations import Operation
from services.sandbox.meta.quota import DAY, HOUR, MINUTE, Bucket
from services.sandbox.meta.statistics import Row, rows
from services.sandbox.meta.tokens import App, Token
from services.sandbox.meta.world import Node, World

CALLS_PER_DAILY_USER = 200  # O
USER_CALLS_PER_HOUR = 100_000  # hidden by Meta; made up, and wide: no header could warn of it
ADS_CALLS = {"standard_access": 100_000, "development_access": 300}  # O: full and limited tier, per hour
ADS_CALLS_PER_ACTIVE_AD = 40  # O
INSIGHTS_CALLS = {"standard_access": 190_000, "development_access": 600}  # O
INSIGHTS_CALLS_PER_ACTIVE_AD = 400  # O
APP_INSIGHTS_CALLS = {"standard_access": 2_000_000, "development_access": 5_000}  # that there is a limit O; made up
MUTATIONS_PER_SECOND = 100  # T, per app and ad account
CALLS_PER_ENGAGED_USER = 4_800  # O: pages, per 24 hours
CALLS_PER_IMPRESSION = 4_800  # O: Instagram and Threads, per 24 hours
LEAST_IMPRESSIONS = 10  # O for Threads
CALLS_PER_LEAD = 4_800  # O: leads of 90 days, per 24 hours
CATALOG_CALLS, CATALOG_CALLS_PER_DOUBLING = 20_000, 20_000  # O: per hour
CATALOG_BATCHES, CATALOG_BATCHES_PER_DOUBLING = 8, 8  # O: per minute
WHATSAPP_CALLS, WHATSAPP_CALLS_WITH_NUMBER = 200, 5_000  # O: per hour
MESSAGES_PER_SECOND = 80  # O: default throughput of a number, cloud-api/overview
_COUNT_HOLDS = timedelta(minutes=1)


class Budgets:
    """Buckets of calls in one world."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._active_ads: dict[str, tuple[datetime, int]] = {}
        self._days: dict[str, Row] = {}

    def of(self, token: Token | None, operation: Operation | None, node_id: str, method: str) -> tuple[Bucket, ...]:
        """The first one is the quota that the documents name for such a call."""
        if token is None:
            return ()
        node = self._world.nodes.get(node_id)
        use_case = (operation.bucket if operation else None) or (KINDS[node.kind].quota if node else "app")
        make = _MAKERS.get(use_case)
        account = self._world.nodes.get(node.account) if node else None
        if make is None or account is None:
            return platform_buckets(token)
        buckets = make(self, token, account)
        if use_case == "ads_management" and method != "GET":
            subject = f"{token.app.id}/{account.id.removeprefix('act_')}"
            buckets += (Bucket("mutations", subject, MUTATIONS_PER_SECOND, 1, is_shown=False),)
        return buckets

    def count_active_ads(self, account: Node) -> int:
        """As of a minute ago at most."""
        now = self._clock.now()
        counted_at, count = self._active_ads.get(account.id, (None, 0))
        if counted_at is None or not counted_at <= now < counted_at + _COUNT_HOLDS:
            count = count_active_ads(self._world, account)
            self._active_ads[account.id] = (now, count)
        return count

    def ads_management(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        limit = ADS_CALLS[token.app.tier] + ADS_CALLS_PER_ACTIVE_AD * self.count_active_ads(account)
        return (Bucket("ads_management", _ad_subject(token, account), limit, HOUR, token.app.tier),)

    def ads_insights(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        """The account's budget, then the app's over all accounts."""
        tier = token.app.tier
        limit = INSIGHTS_CALLS[tier] + INSIGHTS_CALLS_PER_ACTIVE_AD * self.count_active_ads(account)
        whole = Bucket("insights_app", token.app.id, APP_INSIGHTS_CALLS[tier], HOUR, is_shown=False)
        return Bucket("ads_insights", _ad_subject(token, account), limit, HOUR, tier), whole

    def pages(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        """Calls with the tokens of users and apps fall under the platform's limits (O)."""
        if token.kind not in {"page", "system_user"}:
            return platform_buckets(token, user_scope="page_user")
        # Who does two things counts twice: the world knows of no people behind its numbers.
        day = self._yesterday(account)
        engaged = day.clicks + day.likes + day.comments + day.shares
        return (Bucket("pages", f"{token.app.id}/{account.id}", CALLS_PER_ENGAGED_USER * max(engaged, 1), DAY),)

    def leadgen(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        forms = self._world.listed(account, "leadgen_forms")
        leads = sum(len(self._world.shown(form, "leads")) for form in forms)
        return (Bucket("leadgen", f"{token.app.id}/{account.id}", CALLS_PER_LEAD * max(leads, 1), DAY),)

    def instagram(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        return (self._by_impressions("instagram", token, account),)

    def threads(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        return (self._by_impressions("threads", token, account),)

    def whatsapp(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        has_number = len(self._world.shown(account, "phone_numbers")) > 0
        limit = WHATSAPP_CALLS_WITH_NUMBER if has_number else WHATSAPP_CALLS
        return (Bucket("whatsapp", f"{token.app.id}/{account.id}", limit, HOUR),)

    def messages(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        subject = f"{token.app.id}/{account.id}"
        return (Bucket("messages", subject, MESSAGES_PER_SECOND, 1, is_shown=False),)

    def catalog(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        limit = _doubling(CATALOG_CALLS, CATALOG_CALLS_PER_DOUBLING, account)
        return (Bucket("catalog", f"{token.app.id}/{account.id}", limit, HOUR),)

    def catalog_batch(self, token: Token, account: Node) -> tuple[Bucket, ...]:
        limit = _doubling(CATALOG_BATCHES, CATALOG_BATCHES_PER_DOUBLING, account)
        return (Bucket("catalog_batch", f"{token.app.id}/{account.id}", limit, MINUTE),)

    def _by_impressions(self, scope: str, token: Token, account: Node) -> Bucket:
        """Per app and profile (O)."""
        impressions = max(self._yesterday(account).impressions, LEAST_IMPRESSIONS)
        return Bucket(scope, f"{token.app.id}/{account.id}", CALLS_PER_IMPRESSION * impressions, DAY)

    def _yesterday(self, account: Node) -> Row:
        """The last day with numbers stands for "the last 24 hours" of the formulas."""
        series = self._world.series.get(account.id)
        if series is None:
            return Row()
        day = series.yesterday()
        known = self._days.get(account.id)
        if known is None or known.date != day:
            known = self._days[account.id] = rows(self._world, account, day, day)[0]
        return known


_Make = Callable[[Budgets, Token, Node], tuple[Bucket, ...]]
_MAKERS: Mapping[str, _Make] = {
    "ads_management": Budgets.ads_management,
    "ads_insights": Budgets.ads_insights,
    "pages": Budgets.pages,
    "leadgen": Budgets.leadgen,
    "instagram": Budgets.instagram,
    "threads": Budgets.threads,
    "whatsapp": Budgets.whatsapp,
    "messages": Budgets.messages,
    "catalog": Budgets.catalog,
    "catalog_batch": Budgets.catalog_batch,
}
"""Words that `Kind.quota` and `Operation.bucket` may say; `app` and every other: the platform's limits."""


def app_bucket(app: App) -> Bucket:
    return Bucket("app", app.id, CALLS_PER_DAILY_USER * app.daily_users, HOUR)


def platform_buckets(token: Token, *, user_scope: str = "user") -> tuple[Bucket, ...]:
    """Platform limits: the app's, and the user's for a user token, which refuses page calls in its own way (O)."""
    if token.kind != "user":
        return (app_bucket(token.app),)
    subject = f"{token.app.id}/{token.owner[1]}"
    user = Bucket("user", subject, USER_CALLS_PER_HOUR, HOUR, refuses_as=user_scope)
    return app_bucket(token.app), user


def _ad_subject(token: Token, account: Node) -> str:
    """Without `act_`: so it stands in the header (O)."""
    return f"{token.app.id}/{account.id.removeprefix('act_')}"


def _doubling(base: int, step: int, account: Node) -> int:
    """`base + step * log2(unique users)`; the users of a catalog are not in the world: as many as products, made up."""
    return base + step * int(math.log2(max(int(account.values.get("product_count", 0)), 2)))
