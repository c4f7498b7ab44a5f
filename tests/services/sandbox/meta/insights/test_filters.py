"""Rules of `filtering`: what they compare, what they are about, how wrong ones are refused."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.insights.filters import Filter, passes, read_filters
from services.sandbox.meta.node import Node

TODAY = date(2026, 11, 21)


def rule(field: str, operator: str, value: Any) -> Filter:
    return read_filters(json.dumps([{"field": field, "operator": operator, "value": value}]), TODAY)[0]


@pytest.mark.parametrize(
    ("operator", "value", "passing", "failing"),
    [
        ("EQUAL", 5, ["5", 5], ["6"]),
        ("NOT_EQUAL", 5, ["6"], ["5"]),
        ("GREATER_THAN", 5, ["6", "5.5"], ["5", "-10"]),
        ("GREATER_THAN_OR_EQUAL", "5", ["5"], ["4"]),
        ("LESS_THAN", 10, ["9"], ["10", "11"]),
        ("LESS_THAN_OR_EQUAL", 10, ["10"], ["11"]),
        ("IN_RANGE", [1, 3], ["1", "2", "3"], ["4", "x"]),
        ("NOT_IN_RANGE", [1, 3], ["4"], ["2"]),
        ("IN", ["1", 2], ["1", "2"], ["3"]),
        ("NOT_IN", ["1"], ["2"], ["1"]),
    ],
)
def test_numbers_are_compared_as_numbers(operator: str, value: Any, passing: list[Any], failing: list[Any]) -> None:
    compared = rule("impressions", operator, value)
    assert [compared.passes(found) for found in passing] == [True] * len(passing)
    assert [compared.passes(found) for found in failing] == [False] * len(failing)


@pytest.mark.parametrize(
    ("operator", "value", "passes"),
    [
        ("CONTAIN", "spring", True),
        ("NOT_CONTAIN", "spring", False),
        ("CONTAINS_ANY", ["autumn", "SPRING"], True),
        ("CONTAINS_ALL", ["spring", "autumn"], False),
        ("NOT_CONTAINS_ANY", ["autumn"], True),
        ("STARTS_WITH", "spring", True),
        ("ENDS_WITH", "7", True),
        ("EQUAL", "Spring campaign 7", True),
        ("IN", ["Spring campaign 7"], True),
    ],
)
def test_names_are_compared_as_texts(operator: str, value: Any, passes: bool) -> None:
    assert rule("campaign.name", operator, value).passes("Spring campaign 7") is passes


def test_a_field_in_dots_is_about_an_object_or_about_numbers() -> None:
    about = [(rule(field, "IN", ["x"]).level, rule(field, "IN", ["x"]).name) for field in ("adset.id", "age")]
    assert about == [("adset", "id"), (None, "age")]
    number = rule("ad.impressions", "GREATER_THAN", 0)
    assert (number.level, number.name) == (None, "impressions")


def test_only_a_rule_about_a_status_asks_for_what_is_gone() -> None:
    assert rule("ad.effective_status", "IN", ["ARCHIVED"]).asks_for_status
    assert rule("campaign.delivery_info", "IN", ["archived"]).asks_for_status
    assert not rule("ad.name", "CONTAIN", "x").asks_for_status


def test_times_of_objects_are_compared_as_moments() -> None:
    changed = datetime(2026, 11, 20, 8, tzinfo=UTC)
    node = Node("1", "ad", "act_1", {"updated_time": changed}, changed, changed)
    for operator, value, expected in (
        ("GREATER_THAN", int(changed.timestamp()) - 1, True),
        ("GREATER_THAN", "2026-11-20T08:00:00+0000", False),
        ("BEFORE", "2026-11-21", True),
        ("IN_RANGE", ["2026-11-19", "2026-11-20"], False),
    ):
        assert passes(node, rule("ad.updated_time", operator, value)) is expected
    for wrong in ("soon", ["2026-11-19", "2026-11-20"], None):
        with pytest.raises(GraphError):
            rule("ad.updated_time", "GREATER_THAN", wrong)


def test_the_same_rule_is_equal_however_often_it_is_read() -> None:
    for field in ("campaign.delivery_info", "campaign.name", "age"):
        assert rule(field, "IN", ["active"]) == rule(field, "IN", ["active"])
        assert rule(field, "IN", ["active"]) != rule(field, "IN", ["inactive"])


def test_a_rule_about_delivery_knows_its_own_words() -> None:
    made = datetime(2026, 11, 1, tzinfo=UTC)
    paused = Node("1", "adset", "act_1", {"effective_status": "CAMPAIGN_PAUSED"}, made, made)
    assert passes(paused, rule("adset.delivery_info", "IN", ["active", "inactive"]))
    assert not passes(paused, rule("adset.delivery_info", "NOT_IN", ["inactive"]))
    with pytest.raises(GraphError, match=r"Filtering field account\.delivery_info is invalid"):
        rule("account.delivery_info", "IN", ["active"])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("[1]", "must have the keys"),
        ('[{"field":"impressions"}]', "must have the keys"),
        ('[{"field":"impressions","operator":"LIKE","value":1}]', "must be one of the following values"),
        ('[{"field":"impressions","operator":"EQUAL","value":"many"}]', "must be a number"),
        ('[{"field":"impressions","operator":"IN_RANGE","value":[1]}]', "two numbers"),
        ('[{"field":"campaign.name","operator":"IN","value":7}]', "must be an array"),
        ('[{"field":"campaign_name","operator":"EQUAL","value":"x"}]', "please use campaign.name instead"),
        ('[{"field":"delivery","operator":"EQUAL","value":"x"}]', "Filtering field delivery is invalid"),
        ("nothing", "must be an array"),
        ("[", "must be an array"),
    ],
)
def test_a_rule_that_is_none_is_refused(given: str, text: str) -> None:
    with pytest.raises(GraphError, match=text) as refused:
        read_filters(given, TODAY)
    assert refused.value.code == 100
