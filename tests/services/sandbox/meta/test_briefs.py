"""Briefs: what is told of an object without making it is what the object itself says."""

import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import make_cast
from services.sandbox.meta.briefs import Brief, node_of
from services.sandbox.meta.listing import Selection
from services.sandbox.meta.node import Node
from services.sandbox.meta.world import World

EDGES = ("campaigns", "adsets", "ads", "adcreatives")


@pytest.fixture
def world() -> World:
    return World(7, "small", Clock())


@pytest.fixture
def account(world: World) -> Node:
    return make_cast(world).ad_accounts["busy"]


@pytest.mark.parametrize("edge", EDGES)
def test_a_brief_says_what_the_object_says(world: World, account: Node, edge: str) -> None:
    for brief, node in zip(world.listed(account, edge).briefs(), world.listed(account, edge), strict=True):
        assert isinstance(brief, Brief)
        for name in ("id", "account", "status", "parent", "created_at", "updated_at", "title", "totals"):
            assert getattr(brief, name) == getattr(node, name)
        for field in {*brief.outline.values, *node.values}:
            assert brief.values.get(field, "lacks it") == node.values.get(field, "lacks it"), field
        assert node_of(brief) is node


def test_an_effective_status_follows_who_writes_above(world: World, account: Node) -> None:
    # Two of three campaigns change sides, and some first ad sets are deleted: what is below them says so at once.
    for number, campaign in enumerate(world.shown(account, "campaigns")[:60]):
        if number % 3:
            status = "PAUSED" if campaign.status == "ACTIVE" else "ACTIVE"
            world.change(campaign, {"status": status, "effective_status": status}, status=status)
        if number % 10 == 0:
            adset = world.shown(campaign, "adsets")[0]
            world.change(adset, {"status": "DELETED", "effective_status": "DELETED"}, hidden=True, status="DELETED")
    for edge in EDGES[:3]:
        told = [(row.id, row.values.get("effective_status")) for row in world.listed(account, edge).briefs()]
        assert told == [(node.id, node.values.get("effective_status")) for node in world.listed(account, edge)]


def test_what_was_written_to_is_no_longer_told_in_brief(world: World, account: Node) -> None:
    ad = world.shown(account, "ads")[3]
    world.change(ad, {"name": "Renamed"})
    rows = list(world.shown(account, "ads").briefs())
    assert rows[3] is world.nodes[ad.id]
    assert rows[3].title == "Renamed"
    world.remove(ad)
    assert ad.id not in {row.id for row in world.shown(account, "ads").briefs()}


def test_rows_that_do_not_count_are_not_made(world: World, account: Node) -> None:
    chosen = Selection(world.shown(account, "ads"), lambda row: row.values.get("name") == "Ad 7")
    before = len(world.nodes._made)
    assert len(chosen) == 1
    assert len(world.nodes._made) == before
    assert [node.values["name"] for node in chosen.forward(0)] == ["Ad 7"]
    assert [node.values["name"] for node in chosen.backward(len(chosen.rows))] == ["Ad 7"]
    assert len(world.nodes._made) <= before + 3


def test_a_list_in_brief_begins_at_any_place(world: World, account: Node) -> None:
    now = world.clock.now()
    world.create(Node("1", "ad", account.id, {"id": "1", "name": "New"}, now, now), listed_in=(account,), edge="ads")
    ids = list(world.shown(account, "ads").ids())
    for place in (0, 1, 2, 77, len(ids) - 1, len(ids)):
        assert [row.id for row in world.shown(account, "ads").briefs(place)] == ids[place:]
