"""Meta's budgets: which one a read costs, and what the usage headers say of them.

Assumption, unverified: the documents name the budget by token and product ("Graph API rate limiting", read 2026-11): ad
accounts have the business budget `ads_management` each, everything else read with a user's token counts against that
user's budget in the app, with an app's own token against the app's. Neither the kind of a token nor the kind of a bare
object id can be seen from outside, so here an id `act_<n>` costs that ad account, any other id costs app and token.
A page's token may really cost the page's budget, and a campaign its ad account's. Then the usage header names that
budget, and a throttle closes the token's budget here: more than needed, since calls during a block prolong it.

Every item of a batch counts as one call ("Batch requests", read 2026-11): a batch saves connections, not quota.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from libs.platforms.base import Credential
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.meta.wire import BUSINESS_USAGE, AdAccountUsage, PlatformUsage
from libs.vocabulary import PlatformName, QuotaScope, UsageReading

HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400
BUSINESS_WINDOW_SECONDS = {
    "pages": DAY_SECONDS,
    "instagram": DAY_SECONDS,
    "messenger": DAY_SECONDS,
    "leadgen": DAY_SECONDS,
}
"""Rolling windows that are not an hour. Source: "Graph API rate limiting", read 2026-11."""
AD_ACCOUNT_PREFIX = "act_"

T = TypeVar("T")

_PLATFORM_USAGE = TypeAdapter(PlatformUsage)
_AD_ACCOUNT_USAGE = TypeAdapter(AdAccountUsage)


def scope_of(credential: Credential, object_id: str, settings: MetaSettings) -> QuotaScope:
    """Give the budget that one read of the object costs."""
    if object_id.startswith(AD_ACCOUNT_PREFIX):
        return business_scope("ads_management", object_id, settings)
    return platform_scope(credential, settings)


def platform_scope(credential: Credential, settings: MetaSettings) -> QuotaScope:
    """Give the budget of the app (app's own token) or of the user in the app.

    The user is told apart by a digest of the token, since nothing else is known here; a refreshed token starts a new
    budget in our books until the next usage header corrects it.
    """
    app = credential.app_id or "unknown"
    own_token = "|" in credential.access_token  # an app's token is literally `<app id>|<app secret>`
    digest = hashlib.sha256(credential.access_token.encode()).hexdigest()[:16]
    return QuotaScope(
        platform=PlatformName.META,
        name="app" if own_token else "user",
        subject=app if own_token else f"{app}:{digest}",
        limit_units=settings.platform_units_per_hour,
        window_seconds=HOUR_SECONDS,
    )


def business_scope(kind: str, subject: str, settings: MetaSettings) -> QuotaScope:
    """Give a business-use-case budget; ad accounts go without `act_`, as the usage header writes them (third party)."""
    return QuotaScope(
        platform=PlatformName.META,
        name=kind,
        subject=subject.removeprefix(AD_ACCOUNT_PREFIX),
        limit_units=settings.ads_management_units_per_hour,
        window_seconds=BUSINESS_WINDOW_SECONDS.get(kind, HOUR_SECONDS),
    )


def usage_readings(
    headers: Mapping[str, str], credential: Credential, object_id: str | None, settings: MetaSettings
) -> list[UsageReading]:
    """Read the usage headers of one answer or batch item, names in lower case. What cannot be read is skipped.

    `object_id` is what was read, None for the outer answer of a batch.
    """
    readings: list[UsageReading] = []
    app_usage = _read(_PLATFORM_USAGE, headers.get("x-app-usage"))
    if app_usage is not None:
        readings.append(_reading(platform_scope(credential, settings), _highest(app_usage)))
    business = _read(BUSINESS_USAGE, headers.get("x-business-use-case-usage"))
    for subject, entries in (business or {}).items():
        for entry in entries:
            highest = max(entry.call_count, entry.total_time, entry.total_cputime)
            minutes = entry.estimated_time_to_regain_access
            readings.append(_reading(business_scope(entry.type, subject, settings), highest, minutes * 60))
    account = _read(_AD_ACCOUNT_USAGE, headers.get("x-ad-account-usage"))
    if account is not None and object_id is not None and object_id.startswith(AD_ACCOUNT_PREFIX):
        # The header does not name its account; the reset only means waiting once the budget is used up.
        regain = account.reset_time_duration if account.acc_id_util_pct >= 100 else 0.0
        readings.append(_reading(scope_of(credential, object_id, settings), account.acc_id_util_pct, regain))
    page = _read(_PLATFORM_USAGE, headers.get("x-page-usage"))
    if page is not None and object_id is not None:
        readings.append(_reading(business_scope("pages", object_id, settings), _highest(page)))
    return readings


def highest_per_scope(readings: Iterable[UsageReading]) -> tuple[UsageReading, ...]:
    """Keep the highest use and the longest wait of each scope: the items of one batch report at different moments."""
    highest: dict[QuotaScope, UsageReading] = {}
    for reading in readings:
        known = highest.get(reading.scope)
        if known is None:
            highest[reading.scope] = reading
            continue
        highest[reading.scope] = UsageReading(
            reading.scope,
            max(reading.used_fraction, known.used_fraction),
            max(reading.regain_after_seconds, known.regain_after_seconds),
        )
    return tuple(highest.values())


def _highest(usage: PlatformUsage) -> float:
    return max(usage.call_count, usage.total_time, usage.total_cputime)


def _reading(scope: QuotaScope, used_percent: float, regain_after_seconds: float = 0.0) -> UsageReading:
    return UsageReading(scope, used_percent / 100, max(0.0, regain_after_seconds))


def _read(adapter: TypeAdapter[T], text: str | None) -> T | None:
    if text is None:
        return None
    try:
        return adapter.validate_json(text)
    except ValidationError:
        return None  # an answer is worth more than the note on its cost
