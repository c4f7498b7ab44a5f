"""Briefs: what is told of an object without making it is what the object itself says."""

from datetime import timedelta

import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import make_cast
from services.sandbox.meta.briefs import Brief, node_of
from services.sandbox.meta.listing import Selection, take_page
from services.sandbox.meta.node import Node
from services.sandbox.meta.statistics import rows
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
        for name in (
            "id",
            "kind",
            "account",
            "hidden",
            "status",
            "parent",
            "created_at",
            "updated_at",
            "title",
            "totals",
        ):
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


def test_an_object_is_glanced_at_without_being_made(world: World, account: Node) -> None:
    first, second, third, fourth = list(world.shown(account, "adsets").ids())[:4]
    world.change(world.nodes[second], {"name": "Renamed"})
    world.remove(world.nodes[third])
    made = len(world.nodes._made)
    glanced = world.glance(first)
    assert isinstance(glanced, Brief)
    assert world.glance(second) is world.nodes[second]
    assert world.glance(third) is None
    assert world.glance("123") is None
    assert len(world.nodes._made) == made
    assert world.glance(fourth, world.clock.now()).id == fourth  # type: ignore[union-attr]
    assert glanced.title == world.nodes[first].title


def test_days_of_a_brief_are_those_of_its_object(world: World, account: Node) -> None:
    until = world.start.date() - timedelta(days=1)
    since = until - timedelta(days=2)
    for edge in EDGES:
        for brief in list(world.shown(account, edge).briefs())[:20]:
            assert rows(world, brief, since, until) == rows(world, node_of(brief), since, until)


def test_rows_that_are_skipped_are_not_made(world: World, account: Node) -> None:
    chosen = Selection(world.shown(account, "ads"), lambda row: row.status == "ACTIVE")
    made = len(world.nodes._made)
    page = take_page(chosen, "ad", {"offset": "100", "limit": "1"})
    assert len(world.nodes._made) <= made + 6
    assert [row.id for row in page.rows] == [row.id for row in chosen.forward(0)][100:101]
