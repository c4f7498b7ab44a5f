"""The words for how an ad object is being delivered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.sandbox.meta.delivery import OPERATORS, WORDS, delivery_of, keeper
from services.sandbox.meta.filters import STATUSES
from services.sandbox.meta.node import Node

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)


def ad_object(status: str = "ACTIVE", **values: Any) -> Node:
    return Node("1", "campaign", "act_1", {"effective_status": status, **values}, NOW, NOW)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, {"active"}),
        ({"stop_time": NOW - DAY}, {"completed", "recently_completed"}),
        ({"end_time": NOW - 4 * DAY}, {"completed"}),
        ({"stop_time": NOW + DAY, "start_time": NOW - DAY}, {"active"}),
        ({"start_time": NOW + DAY}, {"scheduled"}),
        ({"status": "PAUSED", "stop_time": NOW - DAY}, {"inactive"}),
        ({"status": "DELETED"}, {"deleted", "permanently_deleted"}),
        ({"status": "WITH_ISSUES"}, {"not_delivering"}),
    ],
)
def test_delivery_follows_from_status_and_times(values: dict[str, Any], words: set[str]) -> None:
    assert delivery_of(ad_object(**values), NOW) == words


def test_whoever_names_every_word_gets_every_object() -> None:
    everything = keeper("IN", sorted(WORDS), NOW)
    assert all(everything(ad_object(status)) for status in STATUSES)


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_an_operator_wants_one_of_the_words_or_none(operator: str) -> None:
    kept = [keeper(operator, wanted, NOW)(ad_object()) for wanted in (["ACTIVE"], "active", ["archived"])]
    assert kept == ([True, True, False] if operator in {"IN", "ANY", "EQUAL"} else [False, False, True])
