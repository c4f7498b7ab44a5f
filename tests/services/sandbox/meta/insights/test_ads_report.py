"""Reports as they are read: forwards and backwards, and no more of them at hand than somebody needs."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import Cast, make_cast
from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.insights import ads_report
from services.sandbox.meta.insights.ads_query import AdsQuery, read_query
from services.sandbox.meta.insights.ads_report import Report, Scope, is_too_much
from services.sandbox.meta.insights.days import Period
from services.sandbox.meta.statistics import rows
from services.sandbox.meta.world import World


@pytest.fixture(scope="module")
def world() -> tuple[World, Cast]:
    made = World(7, "small", Clock())
    return made, make_cast(made)


def ask(world: tuple[World, Cast], **params: str) -> tuple[Scope, AdsQuery]:
    today = world[0].clock.now().date()
    scope = Scope(world[0], world[1].ad_accounts["busy"], today)
    return scope, read_query(params, "account", today, today - timedelta(days=360))


def test_pages_forwards_and_backwards_are_parts_of_the_same_rows(
    world: tuple[World, Cast], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ads_report, "KEPT_ROWS", 20)
    scope, query = ask(world, level="campaign", fields="campaign_id,spend", date_preset="last_3d", time_increment="1")
    whole, more = Report(scope, query).page(0, 10_000)
    assert not more
    report = Report(scope, query)
    read: list[dict[str, Any]] = []
    more = True
    while more:
        rows, more = report.page(len(read), 30)
        read += rows
    assert read == whole
    for start in (300, 290, 0, 100, 10_000):
        assert report.page(start, 25)[0] == whole[start : start + 25]


def test_days_before_there_was_anything_cost_nothing(world: tuple[World, Cast]) -> None:
    scope, query = ask(world, level="ad", date_preset="maximum", sort="ad_id")
    long_ago = Period(scope.today - timedelta(days=1_100), scope.today)
    query = replace(query, periods=(long_ago,))
    assert not is_too_much(scope, query, as_a_job=False)
    since = scope.world.listed(scope.target, "ads")[-1].created_at.date()
    short = replace(query, periods=(Period(since, scope.today),))
    found, expected = (Report(scope, each).page(0, 500)[0] for each in (query, short))
    assert [row["impressions"] for row in found] == [row["impressions"] for row in expected]


def test_no_more_rows_are_made_than_are_read(world: tuple[World, Cast]) -> None:
    scope, query = ask(world, level="ad", date_preset="maximum", time_increment="1")
    made: list[str] = []
    report = Report(scope, query)
    rows = report._rows()
    report._coming = (made.append("row") or row for row in rows)  # type: ignore[func-returns-value]
    report.page(0, 25)
    assert len(made) == 26


def test_one_answer_holds_so_many_rows(world: tuple[World, Cast], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ads_report, "MAX_ROWS_SHOWN", 50)
    scope, query = ask(world, level="campaign", date_preset="yesterday")
    assert len(Report(scope, query).page(0, 50)[0]) == 50
    with pytest.raises(GraphError) as refused:
        Report(scope, query).page(0, 51)
    assert (refused.value.code, refused.value.subcode) == (100, 1487534)


def test_a_job_may_count_more_than_a_call_and_sorting_less(world: tuple[World, Cast]) -> None:
    hourly = {"breakdowns": "hourly_stats_aggregated_by_advertiser_time_zone"}
    large = {"level": "ad", "date_preset": "maximum"}
    assert not is_too_much(*ask(world, **large), as_a_job=False)
    assert is_too_much(*ask(world, **large, **hourly), as_a_job=False)
    assert not is_too_much(*ask(world, **large, **hourly), as_a_job=True)
    daily = {**large, "time_increment": "1", "breakdowns": "age,gender", "date_preset": "last_90d"}
    assert not is_too_much(*ask(world, **daily), as_a_job=False)
    assert is_too_much(*ask(world, **daily, sort="spend"), as_a_job=False)


WORLD = World(7, "small", Clock())
ACCOUNT = make_cast(WORLD).ad_accounts["second"]
BREAKDOWNS = ["", "age", "gender", "age,gender", "country", "publisher_platform,platform_position", "device_platform"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["account", "campaign", "adset", "ad"]),
    st.sampled_from(BREAKDOWNS),
    st.sampled_from(["1", "3", "monthly", "all_days"]),
    st.integers(1, 60),
    st.integers(0, 6),
)
def test_any_report_adds_up_to_the_accounts_days(
    level: str, breakdowns: str, increment: str, begun_days_ago: int, length: int
) -> None:
    today = WORLD.clock.now().date()
    since = today - timedelta(days=begun_days_ago)
    until = min(since + timedelta(days=length), today)
    params = {
        "level": level,
        "breakdowns": breakdowns,
        "time_increment": increment,
        "time_range": f"{{since:'{since}',until:'{until}'}}",
        "fields": "impressions,clicks,spend,inline_link_clicks",
        "default_summary": "true",
    }
    report = Report(Scope(WORLD, ACCOUNT, today), read_query(params, "account", today, since))
    shown, more = report.page(0, 50_000)
    true = rows(WORLD, ACCOUNT, since, until)
    expected = {
        "impressions": sum(row.impressions for row in true),
        "clicks": sum(row.clicks for row in true),
        "inline_link_clicks": sum(row.link_clicks for row in true),
        "spend": Decimal(sum(row.spend_micros for row in true)) / 1_000_000,
    }
    assert not more
    assert {name: sum((Decimal(row[name]) for row in shown), Decimal(0)) for name in expected} == expected
    summary = report.summary()
    assert summary is not None
    assert {name: Decimal(summary[name]) for name in expected} == expected
