"""Reads of insights: what is asked, what is refused before any call, and what it costs."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from facebook_business.adobjects.adsinsights import AdsInsights

from libs.platforms.base import Credential, InvalidParams
from libs.platforms.meta.insights import DATE_PRESETS, LEVELS
from libs.platforms.meta.quota import Budgets
from libs.platforms.meta.reads import item_of, plan_read, subject_of
from libs.platforms.meta.settings import MetaSettings

USER = Credential("token", "4711")
GOOD: dict[str, Any] = {"object_id": "act_10", "fields": ["impressions", "spend"], "date_preset": "last_7d"}


def query(**params: Any) -> dict[str, str]:
    item = item_of(plan_read("get_insights", {**GOOD, **params}), USER)
    assert item.path == "act_10/insights"
    assert item.is_list
    return dict(parse_qsl(urlencode(item.params)))


def test_the_plainest_read_says_what_it_must() -> None:
    assert query() == {"fields": "impressions,spend", "date_preset": "last_7d", "limit": "25"}


def test_every_parameter_is_written_as_the_sdk_writes_it() -> None:
    asked = query(
        level="campaign",
        date_preset=None,
        time_range={"until": "2026-11-07", "since": "2026-11-01"},
        time_increment=1,
        breakdowns=["gender", "age", "gender"],
        action_breakdowns=["action_type"],
        action_attribution_windows=["7d_click", "1d_view"],
        filtering=[{"field": "ad.impressions", "operator": "GREATER_THAN", "value": 0}],
        sort=["actions:onsite_conversion.lead_grouped_descending", "spend_descending"],
        limit=100,
        after="QVFIUk1==",
    )
    assert asked["time_range"] == '{"since":"2026-11-01","until":"2026-11-07"}'
    assert asked["breakdowns"] == '["age","gender"]'
    assert asked["action_attribution_windows"] == '["1d_view","7d_click"]'
    assert json.loads(asked["filtering"]) == [{"field": "ad.impressions", "operator": "GREATER_THAN", "value": 0}]
    assert (asked["level"], asked["time_increment"], asked["limit"], asked["after"]) == (
        *("campaign", "1"),
        *("100", "QVFIUk1=="),
    )
    assert "date_preset" not in asked


def test_equal_reads_have_equal_keys_however_they_are_written() -> None:
    filters = [
        {"field": "campaign.name", "operator": "CONTAIN", "value": "x"},
        {"field": "spend", "operator": "GREATER_THAN", "value": 1},
    ]
    one = plan_read("get_insights", GOOD | {"breakdowns": ["age", "gender"], "filtering": filters})
    other = plan_read("get_insights", GOOD | {"breakdowns": ["gender", "age"], "filtering": filters[::-1]})
    assert one == other
    assert plan_read(one.request_type, one.params) == one
    assert one.request_key != plan_read("get_insights", GOOD).request_key


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"date_preset": None}, "/params"),
        ({"time_range": {"since": "2026-11-01", "until": "2026-11-02"}}, "/params"),
        ({"date_preset": "last_5d"}, "/params/date_preset"),
        ({"date_preset": ["today"]}, "/params/date_preset"),
        ({"date_preset": None, "time_range": {"since": "2026-11-02", "until": "2026-11-01"}}, "/params/time_range"),
        ({"date_preset": None, "time_range": {"since": "yesterday", "until": "today"}}, "/params/time_range"),
        ({"date_preset": None, "time_range": {"since": "2026-11-01"}}, "/params/time_range"),
        ({"time_increment": 0}, "/params/time_increment"),
        ({"time_increment": 91}, "/params/time_increment"),
        ({"time_increment": True}, "/params/time_increment"),
        ({"time_increment": "weekly"}, "/params/time_increment"),
        ({"level": "adgroup"}, "/params/level"),
        ({"level": {}}, "/params/level"),
        ({"breakdowns": "age"}, "/params/breakdowns"),
        ({"breakdowns": ["age;"]}, "/params/breakdowns"),
        ({"breakdowns": []}, "/params/breakdowns"),
        ({"filtering": [{"field": "spend"}]}, "/params/filtering"),
        ({"filtering": [{"field": "spend", "operator": "IN", "value": {"a": 1}}]}, "/params/filtering"),
        ({"filtering": [{"field": "a b", "operator": "IN", "value": 1}]}, "/params/filtering"),
        ({"filtering": [{"field": "a", "operator": "IN", "value": 10**5_000}]}, "/params/filtering"),
        ({"filtering": [{"field": "a", "operator": "IN", "value": float("nan")}]}, "/params/filtering"),
        ({"filtering": [{"field": "a", "operator": "IN", "value": ["{result=b:$.id}"]}]}, "/params/filtering"),
        ({"sort": ["spend"]}, "/params/sort"),
        ({"sort": ["{result=b:$.id}_descending"]}, "/params/sort"),
        ({"sort": [5]}, "/params/sort"),
        ({"object_id": "me"}, "/params/object_id"),
        ({"object_id": "7_8"}, "/params/object_id"),
        ({"fields": ["access_token"]}, "/params/fields/0"),
        ({"limit": 501}, "/params/limit"),
        ({"use_async": True}, "/params/use_async"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_place(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        plan_read("get_insights", {**GOOD, **wrong})
    assert where in [place for place, _, _ in caught.value.errors]


def test_insights_cost_the_accounts_budget_of_insights_and_nothing_else() -> None:
    budgets = Budgets(MetaSettings())
    calls = [
        plan_read("get_insights", GOOD),
        plan_read("get_insights", GOOD | {"object_id": "55", "account_id": "act_10"}),
        plan_read("get_object", {"object_id": "act_10", "fields": ["id"]}),
    ]
    uses = budgets.uses(USER, map(subject_of, calls))
    assert {(use.scope.name, use.scope.subject, use.units, use.scope.limit_units) for use in uses} == {
        ("ads_insights", "10", 2, 600),
        ("ads_management", "10", 1, 300),
        ("app", "4711", 0, 20_000),
    }


def test_with_full_access_the_budget_of_insights_is_larger_too() -> None:
    budgets = Budgets(MetaSettings())
    throttle = '{"app_id_util_pct":3.5,"acc_id_util_pct":10,"ads_api_access_tier":"standard_access"}'
    about = subject_of(plan_read("get_insights", GOOD))
    readings = budgets.readings({"x-fb-ads-insights-throttle": throttle}, USER, about)
    assert {(each.scope.name, each.scope.subject, each.used_fraction) for each in readings} == {
        ("insights_load", "4711", 0.035),
        ("ads_insights", "10", 0.1),
    }
    assert {use.scope.limit_units for use in budgets.uses(USER, [about]) if use.units} == {190_000}


def test_presets_and_levels_are_those_of_metas_own_sdk() -> None:
    of_sdk = {value for name, value in vars(AdsInsights.DatePreset).items() if not name.startswith("_")}
    assert of_sdk == DATE_PRESETS
    assert set(LEVELS) == {value for name, value in vars(AdsInsights.Level).items() if not name.startswith("_")}
