"""What may stand together in a campaign or an ad set: budgets, bids, goals, targets.

Which goals go with which objective and which events with which goal: bidding/overview and the ODAX announcement (O), as
far as they could be read; nothing is made with the old ones. Smallest budgets M: Meta's depend on currency and event.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.meta.ad_writes import refusals
from services.sandbox.meta.inputs import missing

LEAST_DAILY = 100  # M: minor units
BUDGETS = ("daily_budget", "lifetime_budget")
CAPPED = {"LOWEST_COST_WITH_BID_CAP", "COST_CAP"}
_VISITS = {"LINK_CLICKS", "LANDING_PAGE_VIEWS", "REACH", "IMPRESSIONS"}
_TALKS = {"CONVERSATIONS", "QUALITY_CALL", "MEANINGFUL_CALL_ATTEMPT"}
GOALS_OF: Mapping[str, frozenset[str]] = {
    "OUTCOME_AWARENESS": frozenset({"REACH", "IMPRESSIONS", "AD_RECALL_LIFT", "THRUPLAY"}),
    "OUTCOME_TRAFFIC": frozenset(
        {*_VISITS, *_TALKS, "VISIT_INSTAGRAM_PROFILE", "PROFILE_VISIT", "ENGAGED_PAGE_VIEWS"}
    ),
    "OUTCOME_ENGAGEMENT": frozenset(
        {
            *_VISITS, *_TALKS, "POST_ENGAGEMENT", "PAGE_LIKES", "EVENT_RESPONSES", "THRUPLAY", "OFFSITE_CONVERSIONS",
            "REMINDERS_SET", "PROFILE_AND_PAGE_ENGAGEMENT", "ENGAGED_USERS", "SUBSCRIBERS",
        }
    ),
    "OUTCOME_LEADS": frozenset(
        {
            *_VISITS, *_TALKS, "LEAD_GENERATION", "QUALITY_LEAD", "OFFSITE_CONVERSIONS", "VALUE", "SUBSCRIBERS",
            "MESSAGING_APPOINTMENT_CONVERSION",
        }
    ),
    "OUTCOME_APP_PROMOTION": frozenset(
        {
            "APP_INSTALLS", "APP_INSTALLS_AND_OFFSITE_CONVERSIONS", "LINK_CLICKS", "OFFSITE_CONVERSIONS", "VALUE",
            "IN_APP_VALUE", "ENGAGED_USERS",
        }
    ),
    "OUTCOME_SALES": frozenset(
        {*_VISITS, *_TALKS, "OFFSITE_CONVERSIONS", "VALUE", "MESSAGING_PURCHASE_CONVERSION", "IN_APP_VALUE"}
    ),
}  # fmt: skip
_EVENTS_BESIDE_IMPRESSIONS = {
    "APP_INSTALLS": {"APP_INSTALLS"},
    "LINK_CLICKS": {"LINK_CLICKS"},
    "PAGE_LIKES": {"PAGE_LIKES"},
    "POST_ENGAGEMENT": {"POST_ENGAGEMENT"},
    "THRUPLAY": {"THRUPLAY"},
}
_PROMOTED = {
    "OFFSITE_CONVERSIONS": ("pixel_id", "custom_conversion_id", "application_id", "product_set_id", "page_id"),
    "LEAD_GENERATION": ("page_id",),
    "QUALITY_LEAD": ("page_id",),
    "PAGE_LIKES": ("page_id",),
    "APP_INSTALLS": ("application_id",),
}
"""Goal -> one of these is needed in `promoted_object`."""


def check_objective(given: Mapping[str, Any]) -> None:
    """Since v17.0 no campaign is made with an old objective (O, blog of 13 February 2023). Raises: GraphError 100."""
    objective = given.get("objective")
    if objective is not None and objective not in GOALS_OF:
        raise refusals.old_objective(objective)


def check_campaign(given: Mapping[str, Any]) -> None:
    """Raises: GraphError 100. `is_adset_budget_sharing_enabled` may be left out: see docs/decisions/0031."""
    for name in ("name", "objective"):
        if not given.get(name):
            raise missing(name)
    if "special_ad_categories" not in given:
        raise missing("special_ad_categories")
    check_objective(given)
    check_budgets(given, days=1)
    if "lifetime_budget" in given and "stop_time" not in given:
        raise refusals.no_end("stop_time")
    check_sharing(given)


def check_sharing(given: Mapping[str, Any]) -> None:
    if not given.get("is_adset_budget_sharing_enabled"):
        return
    if any(given.get(name) for name in BUDGETS):
        raise refusals.sharing_with_campaign_budget()
    if "bid_strategy" not in given:
        raise refusals.sharing_without_strategy()


def check_adset(given: Mapping[str, Any], campaign: Mapping[str, Any], now: datetime) -> None:
    """Raises: GraphError 100. `campaign`: the values of the campaign above."""
    for name in ("name", "optimization_goal", "billing_event", "targeting"):
        if not given.get(name):
            raise missing(name)
    shared = any(int(campaign.get(name) or 0) for name in BUDGETS)
    own = [name for name in BUDGETS if given.get(name)]
    if shared and own:
        raise refusals.budget_on_both_levels(own[0])
    if not shared and not own:
        raise refusals.no_budget()
    check_times(given, now)
    if "lifetime_budget" in own and "end_time" not in given:
        raise refusals.no_end("end_time")
    check_budgets(given, days=_days(given, now))
    strategy = given.get("bid_strategy") or campaign.get("bid_strategy")
    if strategy in CAPPED and not given.get("bid_amount"):
        raise refusals.bid_required()
    check_goal(given, str(campaign.get("objective")))
    check_targeting(given["targeting"])


def check_budgets(given: Mapping[str, Any], *, days: int) -> None:
    """Raises: GraphError 100/1885272 when it is too low, 100 when there are two."""
    if all(given.get(name) for name in BUDGETS):
        raise refusals.two_budgets()
    for name, least in (("daily_budget", LEAST_DAILY), ("lifetime_budget", LEAST_DAILY * days)):
        if name in given and given[name] < least:
            raise refusals.budget_too_low(name, f"{least / 100:.2f}")


def check_times(given: Mapping[str, Any], now: datetime) -> None:
    end = given.get("end_time")
    if end is not None and end <= max(given.get("start_time") or now, now):
        raise refusals.wrong_times("end_time")


def check_goal(given: Mapping[str, Any], objective: str) -> None:
    goal = given["optimization_goal"]
    allowed = GOALS_OF.get(objective)
    if allowed is not None and goal not in allowed:
        raise refusals.goal_not_available()
    if given["billing_event"] not in {"IMPRESSIONS", *_EVENTS_BESIDE_IMPRESSIONS.get(goal, ())}:
        raise refusals.event_not_available(goal)
    promoted = given.get("promoted_object") or {}
    wanted = _PROMOTED.get(goal)
    if wanted and not (isinstance(promoted, dict) and any(promoted.get(name) for name in wanted)):
        raise refusals.nothing_promoted(wanted[0])


def check_targeting(targeting: Any) -> None:
    places = targeting.get("geo_locations") if isinstance(targeting, dict) else None
    custom = isinstance(targeting, dict) and targeting.get("custom_audiences")
    if not custom and not (isinstance(places, dict) and any(places.values())):
        raise refusals.no_place()
    youngest, oldest = targeting.get("age_min", 18), targeting.get("age_max", 65)
    whole = all(isinstance(age, int) and not isinstance(age, bool) for age in (youngest, oldest))
    if not whole or not 13 <= youngest <= oldest <= 65:
        raise refusals.wrong_ages()


def _days(given: Mapping[str, Any], now: datetime) -> int:
    end, start = given.get("end_time"), given.get("start_time") or now
    return max(1, -((start - end) // timedelta(days=1))) if end is not None else 1
