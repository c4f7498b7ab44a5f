"""What a world has at hand of reports: kept for the next page, forgotten with a write, gone with the world."""

import gc
import weakref
from datetime import timedelta

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import make_cast
from services.sandbox.meta.insights.ads_query import read_query
from services.sandbox.meta.insights.ads_report import Scope
from services.sandbox.meta.insights.desk import MAX_OPEN, desk_of
from services.sandbox.meta.world import World


def make() -> tuple[World, Scope]:
    world = World(7, "small", Clock())
    account = make_cast(world).ad_accounts["quiet"]
    return world, Scope(world, account, world.clock.now().date())


def test_a_report_is_kept_for_its_next_page_until_its_account_is_written_to() -> None:
    world, scope = make()
    query = read_query({"level": "ad"}, "account", scope.today, scope.today - timedelta(days=60))
    first = desk_of(world).report(scope, query)
    assert desk_of(world).report(scope, query) is first
    world.change(next(node for node in world.nodes.values() if node.kind == "page"), {"name": "Another"})
    assert desk_of(world).report(scope, query) is first
    world.change(world.shown(scope.target, "campaigns")[0], {"name": "Another"})
    assert desk_of(world).report(scope, query) is not first


def test_the_report_that_was_not_read_for_longest_makes_room() -> None:
    world, scope = make()
    queries = [
        read_query({"date_preset": "last_90d", "time_increment": str(days)}, "account", scope.today, scope.today)
        for days in range(1, MAX_OPEN + 2)
    ]
    reports = [desk_of(world).report(scope, query) for query in queries[:-1]]
    assert desk_of(world).report(scope, queries[0]) is reports[0]
    desk_of(world).report(scope, queries[-1])
    assert desk_of(world).report(scope, queries[0]) is reports[0]
    assert desk_of(world).report(scope, queries[1]) is not reports[1]


def test_a_world_that_nobody_has_any_more_takes_its_reports_with_it() -> None:
    world, scope = make()
    query = read_query({}, "account", scope.today, scope.today)
    desk_of(world).report(scope, query).page(0, 25)
    gone = weakref.ref(world)
    del world, scope
    gc.collect()
    assert gone() is None
