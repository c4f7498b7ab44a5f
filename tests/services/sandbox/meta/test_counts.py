"""Counts of narrowed lists: made once, and never those of before a write or of another list."""

import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.counts import MAX_KEPT, kept_count
from services.sandbox.meta.node import Node
from services.sandbox.meta.world import World

STATUS = {"effective_status": '["ACTIVE"]'}


@pytest.fixture
def world() -> World:
    return World(7, "small", Clock())


@pytest.fixture
def account(world: World) -> Node:
    now = world.clock.now()
    return world.add(Node("act_1", "ad_account", "act_1", {"id": "act_1"}, now, now))


def never() -> int:
    raise AssertionError("it was counted again")


def test_all_pages_of_a_list_have_one_count(world: World, account: Node) -> None:
    assert kept_count(world, account, "ads", {**STATUS, "limit": "5", "summary": "true"}, lambda: 7) == 7
    assert kept_count(world, account, "ads", {**STATUS, "limit": "9", "after": "x", "fields": "id"}, never) == 7


def test_another_list_has_its_own_count(world: World, account: Node) -> None:
    other = Node("act_2", "ad_account", "act_2", {}, account.created_at, account.created_at)
    paused = {"effective_status": '["PAUSED"]'}
    assert kept_count(world, account, "ads", STATUS, lambda: 1) == 1
    assert kept_count(world, account, "ads", paused, lambda: 2) == 2
    assert kept_count(world, account, "adsets", STATUS, lambda: 3) == 3
    assert kept_count(world, other, "ads", STATUS, lambda: 4) == 4
    assert kept_count(world, account, "ads", STATUS, never) == 1


def test_a_write_makes_every_count_anew(world: World, account: Node) -> None:
    assert kept_count(world, account, "ads", STATUS, lambda: 1) == 1
    world.change(account, {"name": "Renamed"})
    assert kept_count(world, account, "ads", STATUS, lambda: 2) == 2


@pytest.mark.parametrize(
    "chosen",
    [
        {"is_completed": "true"},
        {"updated_since": "yesterday"},
        {"filtering": '[{"field":"ad.updated_time","operator":"GREATER_THAN","value":"yesterday"}]'},
        {"filtering": '[{"field":"ad.delivery_info","operator":"IN","value":["active"]}]'},
    ],
)
def test_what_the_clock_chooses_is_counted_each_time(world: World, account: Node, chosen: dict[str, str]) -> None:
    assert kept_count(world, account, "ads", chosen, lambda: 1) == 1
    assert kept_count(world, account, "ads", chosen, lambda: 2) == 2


def test_few_counts_are_kept(world: World, account: Node) -> None:
    for number in range(3 * MAX_KEPT):
        kept_count(world, account, "ads", {"name_filter": str(number)}, lambda: 1)
        assert len(world.kept["services.sandbox.meta.counts"][1]) <= MAX_KEPT
