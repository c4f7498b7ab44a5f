"""Daily numbers: every level adds up to the one above, every cut to the whole."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import Cast, make_cast
from services.sandbox.meta.node import Moment, Node
from services.sandbox.meta.patterns import DIMENSIONS, PERIOD, count
from services.sandbox.meta.statistics import Numbers, Row, added, lifetime, rows, split
from services.sandbox.meta.world import World

NAMES = [field.name for field in fields(Numbers)]


def numbers(row: Row) -> dict[str, int]:
    return {name: getattr(row, name) for name in NAMES}


def by_date(some: Iterable[Row]) -> dict[date, dict[str, int]]:
    sums: dict[date, dict[str, int]] = {}
    for row in some:
        of_day = sums.setdefault(row.date, dict.fromkeys(NAMES, 0))
        for name in NAMES:
            of_day[name] += getattr(row, name)
    return sums


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, "small", Clock())


@pytest.fixture(scope="module")
def cast(world: World) -> Cast:
    return make_cast(world)


@pytest.fixture(scope="module")
def yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


@pytest.mark.parametrize("part", ["busy", "quiet", "empty", "second"])
@pytest.mark.parametrize("by", ["campaigns", "adsets", "ads", "adcreatives"])
def test_an_account_is_the_sum_of_each_level_day_by_day(
    world: World, cast: Cast, yesterday: date, part: str, by: str
) -> None:
    account, since = cast.ad_accounts[part], yesterday - timedelta(days=13)
    whole, parts = rows(world, account, since, yesterday), rows(world, account, since, yesterday, by)
    assert len(whole) in {13, 14}
    assert len(parts) == account.runs[by].count(everything=False) * len(whole)
    if parts:
        assert by_date(parts) == by_date(whole)


def test_campaigns_are_sums_of_their_ad_sets_and_these_of_their_ads(world: World, cast: Cast, yesterday: date) -> None:
    since = yesterday - timedelta(days=3)
    for campaign in world.shown(cast.ad_accounts["busy"], "campaigns")[:30]:
        whole = by_date(rows(world, campaign, since, yesterday))
        assert by_date(rows(world, campaign, since, yesterday, "adsets")) == whole
        assert by_date(rows(world, campaign, since, yesterday, "ads")) == whole


@pytest.mark.parametrize("part", ["busy", "quiet"])
def test_every_campaign_ad_set_and_ad_brings_something_for_forty_days(
    world: World, cast: Cast, yesterday: date, part: str
) -> None:
    account = cast.ad_accounts[part]
    last = world.series[account.id].yesterday()
    for by in ("campaigns", "adsets", "ads"):
        found = rows(world, account, last - timedelta(days=39), last, by)
        assert found
        assert all(row.impressions > 0 for row in found)


def test_numbers_of_a_row_are_possible(world: World, cast: Cast, yesterday: date) -> None:
    for row in rows(world, cast.ad_accounts["busy"], yesterday - timedelta(days=6), yesterday, "ads"):
        assert row.impressions >= row.clicks >= row.link_clicks >= row.landing_page_views >= row.purchases
        assert row.impressions >= row.reach
        assert row.video_p25 >= row.video_p50 >= row.video_p75 >= row.video_p95 >= row.video_p100
        assert (row.spend_micros > 0) is (row.impressions > 0)


def test_before_an_object_was_made_and_after_yesterday_there_is_nothing(
    world: World, cast: Cast, yesterday: date
) -> None:
    account = cast.ad_accounts["busy"]
    ad = world.shown(account, "ads")[0]
    made = ad.created_at.date()
    found = rows(world, ad, made - timedelta(days=5), made + timedelta(days=5))
    assert [row.impressions > 0 for row in found] == [row.date >= made for row in found]
    assert len(found) == 11
    assert rows(world, account, yesterday + timedelta(days=1), yesterday + timedelta(days=9)) == []
    assert rows(world, account, yesterday, yesterday - timedelta(days=1)) == []
    assert rows(world, cast.businesses["first"], yesterday, yesterday) == []


def test_days_are_those_of_the_accounts_zone() -> None:
    clock = Clock()
    clock.move_to(clock.now().replace(hour=23, minute=30) + timedelta(days=1))
    world = World(7, "small", clock)
    cast = make_cast(world)
    today = clock.now().date()
    assert {part: world.series[cast.ad_accounts[part].id].yesterday() for part in ("busy", "quiet", "empty")} == {
        "busy": today - timedelta(days=1),
        "quiet": today - timedelta(days=1),
        "empty": today,
    }


@settings(deadline=None, max_examples=25)
@given(
    dimensions=st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=2, unique=True).map(tuple),
    place=st.integers(0, 129),
    days=st.integers(1, 5),
)
def test_the_parts_of_a_row_add_up_to_it(
    world: World, cast: Cast, dimensions: tuple[str, ...], place: int, days: int
) -> None:
    last = world.series[cast.ad_accounts["busy"].id].yesterday()
    campaign = world.shown(cast.ad_accounts["busy"], "campaigns")[place]
    row = added(rows(world, campaign, last - timedelta(days=days - 1), last))
    parts = split(row, *dimensions)
    assert numbers(added(part for _, part in parts)) == numbers(row)
    assert len({values for values, _ in parts}) == len(parts)
    assert all(len(values) == len(dimensions) and part.impressions for values, part in parts)


def test_each_part_of_an_account_is_the_sum_of_that_part_of_its_ads(world: World, cast: Cast, yesterday: date) -> None:
    account = cast.ad_accounts["busy"]
    whole = {values: numbers(part) for values, part in split(rows(world, account, yesterday, yesterday)[0], "age")}
    sums: dict[tuple[str, ...], list[Row]] = {}
    for row in rows(world, account, yesterday, yesterday, "ads"):
        for values, part in split(row, "age"):
            sums.setdefault(values, []).append(part)
    assert {values: numbers(added(parts)) for values, parts in sums.items()} == whole


def test_an_unknown_dimension_is_refused(world: World, cast: Cast, yesterday: date) -> None:
    with pytest.raises(KeyError):
        split(rows(world, cast.ad_accounts["busy"], yesterday, yesterday)[0], "shoe_size")


@pytest.mark.parametrize("group", ["pages", "instagram", "threads"])
def test_a_profile_is_the_sum_of_its_posts_and_a_posts_counters_of_its_days(
    world: World, cast: Cast, yesterday: date, group: str
) -> None:
    profile = getattr(cast, group)["busy"]
    since = yesterday - timedelta(days=39)
    assert by_date(rows(world, profile, since, yesterday, "posts")) == by_date(rows(world, profile, since, yesterday))
    for edge in profile.runs.keys() - {"photos"}:
        for post in world.shown(profile, edge)[::9]:
            total = added(lifetime(world, post))
            assert post.totals is not None
            assert {name: getattr(total, name) for name in post.totals} == post.totals
            all_days = added(rows(world, post, post.created_at.date(), yesterday))
            assert numbers(all_days) == numbers(total)


@pytest.mark.parametrize("group", ["pages", "instagram", "threads"])
def test_a_post_that_is_removed_takes_its_numbers_along(yesterday: date, group: str) -> None:
    world = World(7, "small", Clock())
    profile = getattr(make_cast(world), group)["busy"]
    edge = {"pages": "posts", "instagram": "media"}.get(group, group)
    since = yesterday - timedelta(days=4)
    before = by_date(rows(world, profile, since, yesterday))
    for post in [world.shown(profile, edge)[place] for place in (0, 3, 4)]:
        taken = by_date(rows(world, post, since, yesterday))
        world.remove(post)
        after = by_date(rows(world, profile, since, yesterday))
        assert after == {day: {name: row[name] - taken[day][name] for name in NAMES} for day, row in before.items()}
        assert by_date(rows(world, profile, since, yesterday, "posts")) == after
        before = after


def test_a_post_that_came_later_counts_from_the_next_day_on() -> None:
    clock = Clock()
    world = World(7, "small", clock)
    cast = make_cast(world)
    page, now = cast.pages["empty"], clock.now()
    values = {"message": "New", "created_time": Moment.at(now)}
    post = world.create(
        Node(f"{page.id}_{world.new_id('post')}", "post", page.id, values, now, now, ("page", page.id)),
        listed_in=(page,),
        edge="posts",
    )
    assert post.totals == {"views": 0, "likes": 0, "comments": 0, "shares": 0}
    clock.advance(20 * 86_400)
    assert post.totals["views"] > 0
    assert len(world.shown(post, "comments")) == post.totals["comments"]
    since, until = now.date(), clock.now().date()
    assert by_date(rows(world, page, since, until)) == by_date(rows(world, post, since, until))


def test_a_draft_is_seen_by_nobody_before_its_publication() -> None:
    clock = Clock()
    world = World(7, "small", clock)
    page, made = make_cast(world).pages["empty"], clock.now()
    values = {"created_time": Moment.at(made), "is_published": False}
    post_id = f"{page.id}_{world.new_id('post')}"
    post = world.create(Node(post_id, "post", page.id, values, made, made, ("page", page.id)))
    clock.advance(10 * 86_400)
    assert post.totals == {"views": 0, "likes": 0, "comments": 0, "shares": 0}
    published = clock.now()
    world.change(post, {"created_time": Moment.at(published), "is_published": True})
    world.enlist(post, page, "posts")
    clock.advance(3 * 86_400)
    assert post.totals["views"] > 0
    found = rows(world, page, made.date(), clock.now().date())
    assert [row.views > 0 for row in found] == [row.date >= published.date() for row in found]


def test_what_is_deleted_later_keeps_its_numbers(yesterday: date) -> None:
    world = World(7, "small", Clock())
    account = make_cast(world).ad_accounts["second"]
    before = rows(world, account, yesterday, yesterday, "campaigns")
    world.change(world.shown(account, "campaigns")[2], {}, hidden=True, status="DELETED")
    assert rows(world, account, yesterday, yesterday, "campaigns") == before


@given(low=st.integers(0, 20_000), length=st.integers(0, 20_000), places=st.sets(st.integers(0, PERIOD - 1)))
def test_places_are_counted_as_if_they_were_written_out(low: int, length: int, places: set[int]) -> None:
    expected = sum(number % PERIOD in places for number in range(low, low + length))
    assert count(sorted(places), low, low + length) == expected
