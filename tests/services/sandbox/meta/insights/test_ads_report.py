"""Reports as they are read: forwards and backwards, and no more of them at hand than somebody needs."""

from datetime import timedelta
from typing import Any

import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import Cast, make_cast
from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.insights import ads_report
from services.sandbox.meta.insights.ads_query import AdsQuery, read_query
from services.sandbox.meta.insights.ads_report import Report, Scope, is_too_much
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
