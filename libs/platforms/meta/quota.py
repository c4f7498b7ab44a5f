"""Meta's budgets: which one a read costs, what the usage headers say of them, and which one a throttle closes.

Source: "Graph API rate limiting", read 2026-11, where no other mark is given. An ad account has the business budget
`ads_management`, for itself and every object below it, and beside it `ads_insights` for reads of insights; everything
else read with a user's token counts against that user's budget in the app, with an app's own token against the app's.
Where both could apply the business budget does.

What a bare object id is cannot be seen from outside. It costs the ad account that the caller names (`account_id`) or
that an earlier answer for the same object named in its usage header, else the token's budget. A page's token may really
cost the page's budget (unverified); then the header names that one.

Every item of a batch counts as one call ("Batch requests", read 2026-11): a batch saves connections, not quota.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from libs.platforms.base import Credential
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.meta.wire import (
    BUSINESS_USAGE,
    AdAccountUsage,
    BusinessUsage,
    GraphError,
    InsightsThrottle,
    PlatformUsage,
)
from libs.vocabulary import PlatformName, QuotaScope, QuotaUse, UsageReading

HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400
BUSINESS_WINDOW_SECONDS = {
    "pages": DAY_SECONDS,
    "instagram": DAY_SECONDS,
    "messenger": DAY_SECONDS,
    "leadgen": DAY_SECONDS,
    "threads": DAY_SECONDS,  # the header's word for it: from memory, unverified
}
"""Rolling windows that are not an hour."""
ADS_MANAGEMENT = "ads_management"
ADS_INSIGHTS = "ads_insights"
INSIGHTS_LOAD = "insights_load"
"""Our word for what an app's insights weigh on Meta together; no call is counted in it."""
ADS_KINDS = frozenset({ADS_MANAGEMENT, ADS_INSIGHTS, "custom_audience"})
"""Business budgets whose subject is an ad account."""
FULL_ACCESS = "standard_access"
"""The header's word for full access; the tier is the app's."""

APP_THROTTLES = frozenset({4, 341})
TOKEN_THROTTLES = frozenset({17, 32})
BUSINESS_THROTTLES: Mapping[int, str] = {
    80_000: ADS_INSIGHTS,
    80_001: "pages",
    80_002: "instagram",
    80_003: "custom_audience",
    80_004: ADS_MANAGEMENT,
    80_005: "leadgen",
    80_006: "messenger",
}
AD_ACCOUNT_THROTTLES = frozenset({(613, 1487742), (17, 2446079)})
"""Too many calls to this ad account; 613 alone names no budget, and 17 the user's.
Source: "Marketing API rate limiting", read 2026-11."""

GLOBAL_LOAD = (4, 1504022)
"""Insights are under load for everybody: no budget of ours is used up."""

LONGEST_REGAIN_SECONDS = 7 * DAY_SECONDS
"""No window is longer than a day; a header that tells of more is held to this."""
MOST_USED_PERCENT = 10_000.0
MAX_REMEMBERED_OBJECTS = 50_000
MAX_REMEMBERED_APPS = 1_000

T = TypeVar("T")

_PLATFORM_USAGE = TypeAdapter(PlatformUsage)
_AD_ACCOUNT_USAGE = TypeAdapter(AdAccountUsage)
_INSIGHTS_THROTTLE = TypeAdapter(InsightsThrottle)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about, as far as its budget goes."""

    object_id: str = "me"
    account_id: str | None = None
    """The ad account, without `act_`, as far as the call itself tells."""
    kind: str = ADS_MANAGEMENT
    """The business budget that it costs when it is about an ad account."""


class Budgets:
    """Meta's budgets as the settings and the answers so far tell them.

    What answers told (an app's tier, an object's ad account) is remembered in this process only: each replica learns it
    by itself, and forgets the longest unused. Until it has, the limiter goes by the limit that others have read.
    """

    def __init__(self, settings: MetaSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._now = now
        self._tiers: OrderedDict[str, str] = OrderedDict()
        self._accounts: OrderedDict[str, str] = OrderedDict()

    def uses(self, credential: Credential, subjects: Iterable[Subject]) -> list[QuotaUse]:
        """Add up one unit per call in the budget that it costs, and name the app's, which a throttle can close."""
        units: dict[QuotaScope, int] = {}
        for subject in subjects:
            scope = self._cost_of(credential, subject)
            units[scope] = units.get(scope, 0) + 1
        app = self._app_scope(credential)
        if app is not None:
            units.setdefault(app, 0)
        return [QuotaUse(scope, count) for scope, count in units.items()]

    def readings(self, headers: Mapping[str, str], credential: Credential, about: Subject | None) -> list[UsageReading]:
        """Read the usage headers of one answer or batch item, names in lower case. What cannot be read is skipped.

        `about` is None for the outer answer of a batch.
        """
        readings: list[UsageReading] = []
        business = _read(BUSINESS_USAGE, headers.get("x-business-use-case-usage")) or {}
        account = _read(_AD_ACCOUNT_USAGE, headers.get("x-ad-account-usage"))
        throttle = _read(_INSIGHTS_THROTTLE, headers.get("x-fb-ads-insights-throttle"))
        self._learn(credential, about, business, (account, throttle))
        app_usage = _read(_PLATFORM_USAGE, headers.get("x-app-usage"))
        if app_usage is not None:
            readings.append(self._reading(self._token_scope(credential), _highest(app_usage)))
        for subject, entries in business.items():
            for entry in entries:
                scope = self._business_scope(credential, entry.type, subject)
                readings.append(self._reading(scope, _highest(entry), entry.estimated_time_to_regain_access * 60))
        account_id = self._account_of(about)
        if account is not None and account_id is not None:
            # The header does not name its account; the reset only means waiting once the budget is used up.
            regain = account.reset_time_duration if account.acc_id_util_pct >= 100 else 0.0
            scope = self._business_scope(credential, ADS_MANAGEMENT, account_id)
            reset = account.reset_time_duration
            readings.append(self._reading(scope, account.acc_id_util_pct, regain, resets_after_seconds=reset))
        if throttle is not None:
            readings += self._of_insights(throttle, credential, account_id)
        page = _read(_PLATFORM_USAGE, headers.get("x-page-usage"))
        if page is not None and about is not None:
            scope = self._business_scope(credential, "pages", about.object_id)
            readings.append(self._reading(scope, _highest(page)))
        return readings

    def _of_insights(
        self, throttle: InsightsThrottle, credential: Credential, account_id: str | None
    ) -> list[UsageReading]:
        """Tell the load that insights are under: of the whole app, and of the account that was asked about."""
        readings = []
        if credential.app_id is not None:
            app = self._platform_scope(INSIGHTS_LOAD, credential.app_id)
            readings.append(self._reading(app, throttle.app_id_util_pct))
        if account_id is not None:
            scope = self._business_scope(credential, ADS_INSIGHTS, account_id)
            readings.append(self._reading(scope, throttle.acc_id_util_pct))
        return readings

    def _reading(
        self,
        scope: QuotaScope,
        used_percent: float,
        regain_after_seconds: float = 0.0,
        *,
        resets_after_seconds: float = 0.0,
    ) -> UsageReading:
        regain = min(max(0.0, regain_after_seconds), LONGEST_REGAIN_SECONDS)
        resets = min(max(regain, resets_after_seconds), LONGEST_REGAIN_SECONDS)
        return UsageReading(
            scope,
            min(max(0.0, used_percent), MOST_USED_PERCENT) / 100,
            regain,
            self._now() + timedelta(seconds=resets) if resets else None,
        )

    def closed_by(
        self,
        error: GraphError | None,
        credential: Credential,
        about: Subject | None,
        readings: Sequence[UsageReading],
    ) -> QuotaScope | None:
        """Give the budget that a throttle says is used up: by its code, and by the headers that came with it.

        None when that is not known: then closing any would be a guess that silences others.
        """
        code = error.code if error is not None else None
        if error is None or code is None or (code, error.error_subcode) == GLOBAL_LOAD:
            return None
        if code in APP_THROTTLES:
            return self._app_scope(credential)
        of_account = (code, error.error_subcode) in AD_ACCOUNT_THROTTLES
        if code in TOKEN_THROTTLES and not (of_account and self._account_of(about) is not None):
            return self._token_scope(credential)
        kind = ADS_MANAGEMENT if of_account else BUSINESS_THROTTLES.get(code)
        if kind is None:
            return None
        shown = [reading for reading in readings if reading.scope.name == kind]
        if shown:
            return max(shown, key=lambda reading: (reading.regain_after_seconds, reading.used_fraction)).scope
        account_id = self._account_of(about) if kind in ADS_KINDS else None
        return self._business_scope(credential, kind, account_id) if account_id is not None else None

    def _cost_of(self, credential: Credential, about: Subject) -> QuotaScope:
        account_id = self._account_of(about)
        if account_id is not None:
            return self._business_scope(credential, about.kind, account_id)
        return self._token_scope(credential)

    def _account_of(self, about: Subject | None) -> str | None:
        """Give the ad account whose budget the call costs: Meta's own word is worth more than the caller's."""
        if about is None:
            return None
        learned = _recall(self._accounts, about.object_id)
        return learned if learned is not None else about.account_id

    def _learn(
        self,
        credential: Credential,
        about: Subject | None,
        business: Mapping[str, Sequence[BusinessUsage]],
        others: Sequence[AdAccountUsage | InsightsThrottle | None],
    ) -> None:
        entries = [(subject, entry) for subject, found in business.items() for entry in found]
        shown = [*(entry for _, entry in entries), *(other for other in others if other is not None)]
        tiers = {each.ads_api_access_tier for each in shown if each.ads_api_access_tier is not None}
        if len(tiers) == 1 and credential.app_id is not None:
            _remember(self._tiers, credential.app_id, tiers.pop(), MAX_REMEMBERED_APPS)
        subjects = {subject for subject, entry in entries if entry.type in ADS_KINDS}
        # `me` is someone else for every token; a post `<page>_<post>` is under no ad account.
        if len(subjects) == 1 and about is not None and about.object_id.isdecimal():
            _remember(self._accounts, about.object_id, subjects.pop(), MAX_REMEMBERED_OBJECTS)

    def _app_scope(self, credential: Credential) -> QuotaScope | None:
        """Give the budget of all the app's calls together; None where the app is not known."""
        return self._platform_scope("app", credential.app_id) if credential.app_id is not None else None

    def _token_scope(self, credential: Credential) -> QuotaScope:
        """Give the budget of the app (app's own token) or of the user in the app.

        The user is told apart by a digest of the token, since nothing else is known here; a refreshed token starts a
        new budget in our books until the next usage header corrects it.
        """
        app = credential.app_id or "unknown"
        if "|" in credential.access_token:  # an app's token is literally `<app id>|<app secret>`
            return self._platform_scope("app", app)
        digest = hashlib.sha256(credential.access_token.encode()).hexdigest()[:16]
        return self._platform_scope("user", f"{app}:{digest}")

    def _platform_scope(self, name: str, subject: str) -> QuotaScope:
        return QuotaScope(PlatformName.META, name, subject, self._settings.platform_units_per_hour, HOUR_SECONDS)

    def _business_scope(self, credential: Credential, kind: str, subject: str) -> QuotaScope:
        """Give a business budget; ad accounts go without `act_`, as the usage header writes them (third party)."""
        full = credential.app_id is not None and _recall(self._tiers, credential.app_id) == FULL_ACCESS
        told = self._settings
        units, of_full = told.ads_management_units_per_hour, told.ads_management_full_units_per_hour
        if kind == ADS_INSIGHTS:
            units, of_full = told.ads_insights_units_per_hour, told.ads_insights_full_units_per_hour
        if full and kind in (ADS_MANAGEMENT, ADS_INSIGHTS):
            units = max(units, of_full)
        return QuotaScope(
            platform=PlatformName.META,
            name=kind,
            subject=subject.removeprefix("act_"),
            limit_units=units,
            window_seconds=BUSINESS_WINDOW_SECONDS.get(kind, HOUR_SECONDS),
        )


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
            max((at for at in (reading.resets_at, known.resets_at) if at is not None), default=None),
        )
    return tuple(highest.values())


def wait_told(readings: Iterable[UsageReading], scope: QuotaScope | None) -> float:
    """Give the longest wait that the headers tell: of the budget that is used up, of any where that is not known."""
    said = [reading.regain_after_seconds for reading in readings if scope is None or reading.scope == scope]
    return max(said, default=0.0)


def _remember(memory: OrderedDict[str, str], key: str, value: str, size: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > size:
        memory.popitem(last=False)


def _recall(memory: OrderedDict[str, str], key: str) -> str | None:
    if key in memory:
        memory.move_to_end(key)
    return memory.get(key)


def _highest(usage: PlatformUsage | BusinessUsage) -> float:
    return max(usage.call_count, usage.total_time, usage.total_cputime)


def _read(adapter: TypeAdapter[T], text: str | None) -> T | None:
    if text is None:
        return None
    try:
        return adapter.validate_json(text)
    except ValidationError:
        return None  # an answer is worth more than the note on its cost
