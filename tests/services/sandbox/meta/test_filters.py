"""Which rows of an ad list a call asks for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.clock import Clock
from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.filters import OPERATORS, by_time, check_days, parent_ids, read_choice
from services.sandbox.meta.listings import written_listing
from services.sandbox.meta.node import Moment, Node
from services.sandbox.meta.world import World

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def make_world() -> tuple[World, list[Node], list[Node]]:
    """Three campaigns, the last one archived, and an ad set in each."""
    world = World(7, "small", Clock())
    campaigns, adsets = [], []
    for number, status in enumerate(("ACTIVE", "PAUSED", "ARCHIVED")):
        changed = NOW - timedelta(days=number)
        values: dict[str, Any] = {"id": str(number), "name": f"Campaign {number}", "effective_status": status}
        values |= {"daily_budget": str(500 * (number + 1)), "updated_time": Moment.at(changed)}
        if number:
            values["stop_time"] = Moment.at(NOW + timedelta(days=3 - 2 * number))
        hidden = status == "ARCHIVED"
        campaign = Node(str(number), "campaign", "act_1", values, changed, changed, status=status, hidden=hidden)
        campaigns.append(world.add(campaign))
        below = {"id": f"9{number}", "name": f"Set {number}", "campaign_id": str(number), "effective_status": "ACTIVE"}
        adsets.append(world.add(Node(f"9{number}", "adset", "act_1", below, changed, changed)))
    return world, campaigns, adsets


WORLD, CAMPAIGNS, ADSETS = make_world()
MOMENTS = [NOW.replace(microsecond=0) - timedelta(minutes=number) for number in range(2_100)]
LONG = written_listing(Node(f"p{number}", "post", "1", {}, at, at) for number, at in enumerate(MOMENTS))


def chosen(kind: str = "campaign", /, **params: object) -> str:
    """Ids of what is left, one after the other."""
    rows = CAMPAIGNS if kind == "campaign" else ADSETS
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    choice = read_choice(WORLD, kind, texts, NOW)
    shown = [node for node in rows if choice.shows_hidden or not node.hidden]
    return "".join(node.id[-1] for node in shown if choice.keeps(node))


def condition(field: str, operator: str, value: object) -> list[dict[str, object]]:
    return [{"field": field, "operator": operator, "value": value}]


def test_ids_that_differ_in_their_last_digit_are_told_apart() -> None:
    ids = ["120200000008332911", "120200000008332912"]
    nodes = [Node(node_id, "campaign", "act_1", {"id": node_id}, NOW, NOW) for node_id in ids]
    for node_id in ids:
        text = json.dumps(condition("id", "IN", [node_id]))
        choice = read_choice(WORLD, "campaign", {"filtering": text}, NOW)
        assert [node.id for node in nodes if choice.keeps(node)] == [node_id]


def test_archived_objects_are_shown_where_a_status_asks_for_them() -> None:
    assert chosen() == "01"
    assert chosen(effective_status=["ARCHIVED", "PAUSED"]) == "12"
    assert chosen(filtering=condition("effective_status", "IN", ["ARCHIVED"])) == "2"
    assert chosen(filtering=condition("campaign.effective_status", "EQUAL", "ARCHIVED")) == "2"
    assert chosen(filtering=condition("effective_status", "NOT_IN", ["ACTIVE"])) == "1"


@pytest.mark.parametrize(
    ("field", "operator", "value", "left"),
    [
        ("name", "CONTAIN", "campaign 1", "1"),
        ("name", "NOT_CONTAIN", "1", "0"),
        ("name", "STARTS_WITH", "Camp", "01"),
        ("name", "ENDS_WITH", "0", "0"),
        ("id", "IN", ["0", 1, "7"], "01"),
        ("campaign.id", "NOT_IN", ["0"], "1"),
        ("daily_budget", "GREATER_THAN", 500, "1"),
        ("daily_budget", "GREATER_THAN_OR_EQUAL", "500", "01"),
        ("daily_budget", "LESS_THAN", 1000, "0"),
        ("daily_budget", "IN_RANGE", [600, 2000], "1"),
        ("daily_budget", "NOT_IN_RANGE", [600, 2000], "0"),
        ("updated_time", "GREATER_THAN", int((NOW - timedelta(hours=3)).timestamp()), "0"),
        ("updated_time", "ON_OR_BEFORE", "2026-11-20", "1"),
        ("spend_cap", "EQUAL", "5", ""),
        ("spend_cap", "NOT_EQUAL", "5", "01"),
        ("delivery_info", "IN", ["INACTIVE"], "1"),
        ("delivery_info", "IN", ["active", "archived"], "02"),
        ("campaign.delivery_info", "NOT_IN", ["active", "deleted"], "1"),
    ],
)
def test_a_filter_compares_like_with_like(field: str, operator: str, value: object, left: str) -> None:
    assert chosen(filtering=condition(field, operator, value)) == left


def test_a_list_can_be_filtered_by_what_is_above_it() -> None:
    assert chosen("adset", filtering=condition("campaign.name", "EQUAL", "Campaign 1")) == "1"
    assert chosen("adset", filtering="[{field:'campaign.id',operator:'IN',value:['2']}]") == "2"


@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [
        ("ad", condition("adset.id", "IN", ["1", 2, "1"]), ["1", "2"]),
        ("ad", condition("campaign.id", "EQUAL", "7"), ["7"]),
        ("adset", condition("name", "EQUAL", "a") + condition("campaign.id", "EQUAL", 7), ["7"]),
        ("ad", condition("ad.id", "IN", ["1"]), None),
        ("ad", condition("campaign.id", "NOT_IN", ["1"]), None),
        ("ad", condition("campaign.name", "EQUAL", "1"), None),
        ("campaign", condition("campaign.id", "IN", ["1"]), None),
        ("page", condition("campaign.id", "IN", ["1"]), None),
    ],
)
def test_a_filter_may_name_what_every_row_hangs_below(kind: str, given: object, named: list[str] | None) -> None:
    assert parent_ids(kind, {"filtering": json.dumps(given)}) == named


def test_several_conditions_must_all_hold() -> None:
    both = condition("name", "CONTAIN", "Campaign") + condition("id", "EQUAL", "1")
    assert chosen(filtering=both) == "1"
    assert chosen(filtering=both, effective_status=["ACTIVE"]) == ""
    assert chosen(filtering=[]) == "01"


def test_what_has_ended_is_completed_and_what_was_changed_is_newer() -> None:
    assert chosen(is_completed="true", effective_status=["ARCHIVED", "PAUSED", "ACTIVE"]) == "2"
    assert chosen(is_completed="false") == "01"
    assert chosen(updated_since=str(int((NOW - timedelta(hours=1)).timestamp()))) == "0"
    assert chosen(since="-1 day", until="now") == "01"
    assert chosen(until="2026-11-20") == "1"


@pytest.mark.parametrize(
    "params",
    [
        {"effective_status": "ACTIVE"},
        {"effective_status": ["SLEEPING"]},
        {"filtering": "{}"},
        {"filtering": ["name"]},
        {"filtering": [{"field": "name"}]},
        {"filtering": condition("colour", "EQUAL", "red")},
        {"filtering": condition("adset.name", "EQUAL", "a")},
        {"filtering": condition("moon.name", "EQUAL", "a")},
        {"filtering": condition("name", "RHYMES", "a")},
        {"filtering": condition("name", "IN", "a")},
        {"filtering": condition("name", "EQUAL", ["a"])},
        {"filtering": condition("daily_budget", "IN_RANGE", [1])},
        {"filtering": condition("name", "EQUAL", "a") * 51},
        {"updated_since": "soon"},
    ],
)
def test_what_cannot_be_filtered_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(GraphError) as caught:
        chosen(**params)
    assert caught.value.code == 100


def test_what_chooses_no_rows_makes_no_test() -> None:
    assert read_choice(WORLD, "ad", {"limit": "5", "date_preset": "today", "fields": "id"}, NOW).tests == ()


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_long_list_in_the_order_of_time_gives_the_same_rows_as_a_short_one(since: int, until: int) -> None:
    moments = {"since": str(int(NOW.timestamp()) - since * 60), "until": str(int(NOW.timestamp()) - until * 60)}
    choice = read_choice(WORLD, "post", moments, NOW)
    chosen = by_time(LONG, choice)
    assert list(chosen.forward(0)) == [node for node in LONG if choice.keeps(node)]
    assert list(chosen.backward(len(LONG)))[::-1] == [node for node in LONG if choice.keeps(node)]
    assert chosen.begin == until


@pytest.mark.parametrize("params", [{"date_preset": "whenever"}, {"time_range": "{}"}, {"time_range": "[1]"}])
def test_days_that_cannot_be_read_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(GraphError):
        check_days(params)
    check_days({"date_preset": "last_7d", "time_range": "{'since':'2026-01-01','until':'2026-01-31'}"})


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@given(
    st.sampled_from(["name", "id", "daily_budget", "updated_time", "campaign.stop_time", "x"]),
    st.sampled_from(sorted(OPERATORS)),
    values | st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=2), values, max_size=1),
)
def test_any_condition_is_answered_or_refused(field: str, operator: str, value: object) -> None:
    try:
        assert set(chosen(filtering=json.dumps(condition(field, operator, value)))) <= set("012")
    except GraphError as error:
        assert error.code == 100
