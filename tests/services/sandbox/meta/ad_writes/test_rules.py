"""What may stand together in a campaign or an ad set."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.sandbox.meta.ad_writes import rules
from services.sandbox.meta.errors import GraphError

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CAMPAIGN: dict[str, Any] = {"name": "n", "objective": "OUTCOME_TRAFFIC", "special_ad_categories": []}
ADSET: dict[str, Any] = {
    "name": "n",
    "daily_budget": 100,
    "optimization_goal": "REACH",
    "billing_event": "IMPRESSIONS",
    "targeting": {"geo_locations": {"countries": ["US"]}},
}


@pytest.mark.parametrize(
    ("given", "subcode"),
    [
        ({"daily_budget": 100, "lifetime_budget": 100}, None),
        ({"lifetime_budget": 100}, None),
        ({"is_adset_budget_sharing_enabled": True}, 4834005),
        ({"is_adset_budget_sharing_enabled": True, "daily_budget": 500}, 4834002),
    ],
)
def test_a_campaigns_budgets_are_checked_against_each_other(given: dict[str, Any], subcode: int | None) -> None:
    with pytest.raises(GraphError) as refused:
        rules.check_campaign({**CAMPAIGN, **given})
    assert refused.value.subcode == subcode


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"is_adset_budget_sharing_enabled": False},
        {"is_adset_budget_sharing_enabled": True, "bid_strategy": "LOWEST_COST_WITHOUT_CAP"},
        {"daily_budget": 100},
        {"lifetime_budget": 100, "stop_time": NOW},
    ],
)
def test_a_campaign_that_stands_is_taken(given: dict[str, Any]) -> None:
    rules.check_campaign({**CAMPAIGN, **given})


def test_a_lifetime_budget_has_to_last_for_all_its_days() -> None:
    given = {name: value for name, value in ADSET.items() if name != "daily_budget"}
    ten = {**given, "end_time": NOW + timedelta(days=9, hours=1)}
    rules.check_adset({**ten, "lifetime_budget": 1000}, CAMPAIGN, NOW)
    with pytest.raises(GraphError, match="1885272"):
        rules.check_adset({**ten, "lifetime_budget": 999}, CAMPAIGN, NOW)


@pytest.mark.parametrize("objective", sorted(rules.GOALS_OF))
def test_every_objective_has_a_goal_that_every_ad_set_may_name(objective: str) -> None:
    promoted = {"page_id": "1", "pixel_id": "1", "application_id": "1"}
    for goal in rules.GOALS_OF[objective]:
        given = {**ADSET, "optimization_goal": goal, "promoted_object": promoted}
        rules.check_adset(given, {"objective": objective}, NOW)


def test_some_goals_need_what_they_promote() -> None:
    with pytest.raises(GraphError) as refused:
        rules.check_goal({**ADSET, "optimization_goal": "LEAD_GENERATION"}, "OUTCOME_LEADS")
    assert refused.value.data == {"blame_field_specs": [["promoted_object", "page_id"]]}
    rules.check_goal({**ADSET, "optimization_goal": "PAGE_LIKES", "promoted_object": {"page_id": "1"}}, "LINK_CLICKS")


@pytest.mark.parametrize(
    "targeting",
    [[], {}, {"geo_locations": {}}, {"geo_locations": {"countries": []}}, {"geo_locations": []}, {"age_min": 20}],
)
def test_a_target_has_a_place(targeting: Any) -> None:
    with pytest.raises(GraphError, match="Invalid parameter"):
        rules.check_targeting(targeting)


@pytest.mark.parametrize(("least", "most"), [(12, 65), (18, 66), (40, 30), ("18", 65), (True, 65)])
def test_ages_go_from_thirteen_to_sixty_five(least: Any, most: Any) -> None:
    with pytest.raises(GraphError, match="Invalid parameter"):
        rules.check_targeting({"geo_locations": {"countries": ["US"]}, "age_min": least, "age_max": most})
    rules.check_targeting({"custom_audiences": [{"id": "1"}], "age_min": 13, "age_max": 13})
