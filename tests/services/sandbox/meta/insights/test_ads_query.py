"""What a call for ads insights asks: defaults, what overrides what, what is refused and how."""

from datetime import date

import pytest

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.insights.ads_query import AdsQuery, read_query
from services.sandbox.meta.insights.days import PRESETS, Period
from services.sandbox.meta.listing import NotCovered

TODAY = date(2026, 11, 21)


def read(own_level: str = "account", /, **params: str) -> AdsQuery:
    return read_query(params, own_level, TODAY, date(2026, 1, 1))


def test_without_parameters_the_last_thirty_days_are_one_row_of_impressions_and_spend() -> None:
    query = read("adset")
    assert query.periods == (Period(date(2026, 10, 22), date(2026, 11, 20)),)
    assert query.fields == ("account_id", "campaign_id", "adset_id", "impressions", "spend")
    assert query.level == "adset"
    assert query.action_breakdowns == ("action_type",)


def test_ranges_go_before_a_range_and_a_range_before_a_name() -> None:
    one = '{"since":"2026-11-01","until":"2026-11-02"}'
    two = "[{'since':'2026-10-01','until':'2026-10-01'},{'since':'2026-09-01','until':'2026-10-31'}]"
    assert read(time_range=one, date_preset="today", time_increment="1").periods == (
        Period(date(2026, 11, 1), date(2026, 11, 1)),
        Period(date(2026, 11, 2), date(2026, 11, 2)),
    )
    ranges = read(time_ranges=two, time_range=one, date_preset="today", time_increment="1")
    assert ranges.periods == (
        Period(date(2026, 10, 1), date(2026, 10, 1)),
        Period(date(2026, 9, 1), date(2026, 10, 31)),
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_every_named_range_of_the_sdk_is_taken(preset: str) -> None:
    assert read(date_preset=preset).since <= TODAY


def test_a_summary_takes_its_own_fields_before_those_of_the_rows() -> None:
    assert read(fields="clicks").summary is None
    assert read(fields="clicks", default_summary="true").summary == ("clicks",)
    assert read(fields="clicks", default_summary="true", summary='["spend"]').summary == ("spend",)


def test_sorting_ascends_unless_it_says_otherwise() -> None:
    assert read(sort="reach").sort == ("reach", False)
    assert read(sort='["reach_descending"]').sort == ("reach", True)
    assert read(sort="actions:link_click_ascending").sort == ("actions:link_click", False)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"level": "galaxy"}, 100),
        ({"fields": "impressions,colour"}, 100),
        ({"fields": "age_targeting"}, 100),
        ({"fields": "[1]"}, 100),
        ({"date_preset": "lifetime"}, 100),
        ({"time_range": "yesterday"}, 100),
        ({"time_range": '{"since":"2026-11-02","until":"2026-11-01"}'}, 100),
        ({"time_range": '{"since":1700000000,"until":1700000001}'}, 100),
        ({"time_range": '{"since":"2026-11-02"}'}, 100),
        ({"time_ranges": "[]"}, 100),
        ({"time_range": '{"since":"2023-10-20","until":"2023-10-30"}'}, 3018),
        ({"time_range": '{"since":"0001-01-01","until":"2026-10-30"}'}, 100),
        ({"time_increment": "0"}, 100),
        ({"time_increment": "91"}, 100),
        ({"time_increment": "weekly"}, 100),
        ({"breakdowns": "colour"}, 100),
        ({"breakdowns": "impression_device"}, 100),
        ({"breakdowns": "platform_position"}, 100),
        ({"breakdowns": "age,country"}, 100),
        ({"action_breakdowns": "colour"}, 100),
        ({"action_attribution_windows": "['99d_click']"}, 100),
        ({"sort": "reach,clicks"}, 100),
        ({"sort": "colour_descending"}, 100),
        ({"summary": "colour"}, 100),
        ({"filtering": "impressions"}, 100),
        (
            {
                "fields": "video_play_actions",
                "breakdowns": "hourly_stats_aggregated_by_advertiser_time_zone",
            },
            2,
        ),
        ({"fields": "video_p50_watched_actions", "breakdowns": "region"}, 2),
        ({"fields": "clicks", "breakdowns": "frequency_value"}, 2),
    ],
)
def test_what_cannot_be_asked_is_refused_with_metas_code(params: dict[str, str], code: int) -> None:
    with pytest.raises(GraphError) as refused:
        read(**params)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_a_level_above_the_object_is_refused() -> None:
    assert read("campaign", level="ad").level == "ad"
    with pytest.raises(GraphError):
        read("campaign", level="account")


def test_a_wrong_combination_names_its_columns_the_breakdown_of_actions_first() -> None:
    with pytest.raises(GraphError, match=r"data breakdown columns \(action_type, platform_position\) is invalid"):
        read(breakdowns="platform_position")


@pytest.mark.parametrize(
    "breakdowns",
    [
        "age",
        "age,gender",
        "country",
        "region",
        "dma",
        "comscore_market",
        "publisher_platform",
        "publisher_platform,platform_position",
        "publisher_platform,impression_device",
        "publisher_platform,device_platform",
        "publisher_platform,platform_position,impression_device",
        "publisher_platform,platform_position,device_platform",
        "device_platform",
        "hourly_stats_aggregated_by_audience_time_zone",
    ],
)
@pytest.mark.parametrize("actions", ["", "action_type", "action_type,action_target_id,action_destination"])
def test_documented_combinations_are_taken(breakdowns: str, actions: str) -> None:
    query = read(breakdowns=breakdowns, action_breakdowns=actions, fields="impressions,clicks")
    assert query.breakdowns == tuple(breakdowns.split(","))


@pytest.mark.parametrize(
    "params",
    [
        {"breakdowns": "product_id"},
        {"breakdowns": "skan_conversion_id,app_id"},
        {"action_breakdowns": "action_carousel_card_id"},
        {"breakdowns": "media_type", "action_breakdowns": "action_type"},
        {"action_breakdowns": "action_video_sound"},
        {"breakdowns": "publisher_platform,platform_position", "action_breakdowns": "action_type,action_video_type"},
        {"summary_action_breakdowns": "action_device"},
        {"filtering": '[{"field":"campaign.name","operator":"STEM_MATCH","value":"x"}]'},
    ],
)
def test_what_meta_has_and_the_world_has_not_is_said(params: dict[str, str]) -> None:
    with pytest.raises(NotCovered):
        read(**params)
