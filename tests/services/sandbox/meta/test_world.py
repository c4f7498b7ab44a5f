"""The world: what there is, how it is written to, and how it was before."""

from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import Cast, make_cast
from services.sandbox.meta.catalog import known_fields
from services.sandbox.meta.node import Late, Moment, Node, Values
from services.sandbox.meta.statistics import rows
from services.sandbox.meta.world import MAX_HELD, World


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def world(hand: Hand) -> World:
    return World(7, "small", Clock(hand))


@pytest.fixture
def cast(world: World) -> Cast:
    return make_cast(world)


def campaign(world: World, account: Node, name: str = "New") -> Node:
    node_id, now = world.new_id("ad"), world.clock.now()
    values = {"id": node_id, "name": name, "updated_time": Moment.at(now)}
    return Node(node_id, "campaign", account.id, values, now, now, ("ad_account", account.id))


def test_a_million_objects_are_there_at_once_and_few_are_made() -> None:
    world = World(7, "large", Clock())
    cast = make_cast(world)
    assert len(world.nodes) > 1_000_000
    ads = world.shown(cast.ad_accounts["busy"], "ads")
    assert ads[len(ads) - 1].kind == "ad"
    assert len(world.nodes._made) < 10


def test_the_same_seed_makes_the_same_objects_in_any_order_of_looking() -> None:
    clock = Clock(Hand())
    first, second = World(3, "small", clock), World(3, "small", clock)
    accounts = [make_cast(world).ad_accounts["busy"] for world in (first, second)]
    forwards = list(first.shown(accounts[0], "ads"))
    backwards = list(reversed([second.nodes[ad.id] for ad in reversed(forwards)]))
    assert [(ad.id, dict(ad.values), ad.created_at) for ad in forwards] == [
        (ad.id, dict(ad.values), ad.created_at) for ad in backwards
    ]
    other = World(4, "small", clock)
    assert make_cast(other).ad_accounts["busy"].id != accounts[0].id


def test_every_object_that_is_listed_is_found_by_its_id_and_names_its_parent(world: World, cast: Cast) -> None:
    for group, edges in (
        (cast.ad_accounts, ("campaigns", "adsets", "ads", "adcreatives")),
        (cast.pages, ("posts", "leadgen_forms")),
        (cast.instagram, ("media",)),
        (cast.threads, ("threads",)),
        (cast.catalogs, ("products", "product_feeds")),
        (cast.whatsapp, ("phone_numbers",)),
    ):
        for account in group.values():
            for edge in edges:
                for node in world.listed(account, edge):
                    assert world.nodes[node.id].id == node.id
                    assert node.parent is not None
                    assert node.parent[1] in world.nodes
                    assert node.created_at >= world.nodes[node.parent[1]].created_at
                    assert node.account == account.id


def test_lists_below_campaigns_and_ad_sets_add_up_to_those_of_the_account(world: World, cast: Cast) -> None:
    account = cast.ad_accounts["busy"]
    campaigns = world.shown(account, "campaigns")
    for edge in ("adsets", "ads"):
        ids = [node.id for above in campaigns for node in world.shown(above, edge)]
        assert ids == [node.id for node in world.shown(account, edge)]
    for adset in world.shown(account, "adsets"):
        assert all(ad.parent == ("adset", adset.id) for ad in world.listed(adset, "ads"))
        assert all(ad.values["campaign_id"] == adset.values["campaign_id"] for ad in world.listed(adset, "ads"))


def test_comments_and_leads_are_as_many_as_their_counters_say(world: World, cast: Cast) -> None:
    for account, edge, below in (
        (cast.pages["busy"], "posts", "comments"),
        (cast.instagram["busy"], "media", "comments"),
        (cast.threads["busy"], "threads", "replies"),
    ):
        for post in world.shown(account, edge)[:40]:
            comments = world.shown(post, below)
            assert post.totals is not None
            assert len(comments) == post.totals["comments"]
            times = [comment.created_at for comment in comments]
            assert times == sorted(times, reverse=True)
            assert all(post.created_at <= at <= world.clock.now() for at in times)
            assert [comments.position(comment.id) for comment in comments] == list(range(len(comments)))
            assert all(world.nodes[comment.id].parent == (post.kind, post.id) for comment in comments)
    for form in world.shown(cast.pages["busy"], "leadgen_forms"):
        assert form.values["leads_count"] == len(world.shown(form, "leads"))


def test_every_photo_of_a_page_is_that_of_one_post_and_the_other_way_round(world: World, cast: Cast) -> None:
    for page in cast.pages.values():
        photos = world.shown(page, "photos")
        shown = [
            (post.id, target["id"])
            for post in world.shown(page, "posts")
            for target in (each.get("target") for each in post.values.get("attached", ()))
            if target
        ]
        assert [(photo.values["page_story_id"], photo.id) for photo in photos] == shown
        assert all(world.nodes[photo.id].account == page.id for photo in photos)
    photos = world.shown(cast.pages["busy"], "photos")
    assert len(photos) == 28
    world.remove(world.nodes[photos[3].values["page_story_id"]])
    world.nodes._made.clear()
    assert len(list(photos)) == 28


@pytest.mark.parametrize(("group", "edge"), [("instagram", "media"), ("threads", "threads")])
def test_a_carousel_has_children_without_numbers_of_their_own(world: World, cast: Cast, group: str, edge: str) -> None:
    profile = getattr(cast, group)["busy"]
    carousels = [post for post in world.shown(profile, edge) if post.values["media_type"] == "CAROUSEL_ALBUM"]
    assert carousels
    assert not any(
        "children" in post.runs for post in world.shown(profile, edge) if post.values["media_type"] != "CAROUSEL_ALBUM"
    )
    for post in carousels:
        children = world.shown(post, "children")
        assert 2 <= len(children) <= 10
        assert [children.position(child.id) for child in children] == list(range(len(children)))
        for child in children:
            assert world.nodes[child.id].parent == (post.kind, post.id)
            assert child.values["media_type"] in {"IMAGE", "VIDEO"}
            days = rows(world, child, child.created_at.date(), world.clock.now().date())
            assert not any(row.views for row in days)


@pytest.mark.parametrize("text", ["", "0", "_", "1_2", "act_", "1" * 50, "120200000000000000", "x_122000000000001"])
def test_ids_of_nothing_are_nothing(world: World, cast: Cast, text: str) -> None:
    assert world.nodes.get(text) is None
    assert text not in world.nodes


def test_what_is_created_heads_its_lists_and_is_told(world: World, cast: Cast) -> None:
    told: list[tuple[str, str]] = []
    world.on_write(lambda kind, node: told.append((kind, node.id)))
    account = cast.ad_accounts["busy"]
    node = world.create(campaign(world, account), listed_in=(account,), edge="campaigns")
    assert world.shown(account, "campaigns")[0] is node
    assert world.shown(account, "campaigns").position(node.id) == 0
    assert len(world.shown(account, "campaigns")) == 131
    assert told == [("create", node.id)]


def test_a_change_lasts_moves_its_times_and_its_place(world: World, cast: Cast, hand: Hand) -> None:
    account = cast.ad_accounts["busy"]
    old = world.shown(account, "campaigns")[5]
    hand.seconds += 60
    world.change(old, {"name": "Renamed", "status": "DELETED"}, status="DELETED", hidden=True)
    world.nodes._made.clear()
    node = world.nodes[old.id]
    assert (node.values["name"], node.status, node.hidden) == ("Renamed", "DELETED", True)
    assert node.updated_at == node.values["updated_time"] == world.clock.now()
    assert len(world.shown(account, "campaigns")) == 129
    assert world.shown(account, "campaigns").position(old.id) is None
    assert world.listed(account, "campaigns").position(old.id) == 5
    world.change(node, {}, hidden=False, status="PAUSED")
    assert world.shown(account, "campaigns").position(old.id) == 5


def test_what_is_removed_is_unknown_and_in_no_list(world: World, cast: Cast) -> None:
    page = cast.pages["busy"]
    gone = world.shown(page, "posts")[3]
    world.remove(gone)
    world.remove(gone)
    assert world.nodes.get(gone.id) is None
    for edge in ("feed", "posts", "published_posts"):
        assert len(world.listed(page, edge)) == 139
        assert gone.id not in {post.id for post in world.listed(page, edge)}
    made = world.create(campaign(world, page), listed_in=(page,), edge="posts")
    world.remove(made)
    assert made.id not in {post.id for post in world.listed(page, "posts")}


def test_a_removed_post_as_it_was_still_knows_its_comments(world: World, cast: Cast, hand: Hand) -> None:
    post = next(post for post in world.shown(cast.pages["busy"], "posts") if len(world.shown(post, "comments")))
    counters, comments = post.totals, [comment.id for comment in world.shown(post, "comments")]
    moment = world.clock.now()
    hand.seconds += 5
    world.remove(post)
    past = world.find(post.id, moment)
    assert past is not None
    assert past.totals == counters
    assert list(world.shown(past, "comments").ids()) == comments


def test_an_object_may_be_put_into_lists_and_taken_out_again(world: World, cast: Cast) -> None:
    page = cast.pages["busy"]
    node = world.create(campaign(world, page))
    world.enlist(node, page, "scheduled_posts")
    world.enlist(node, page, "scheduled_posts")
    assert [row.id for row in world.shown(page, "scheduled_posts")] == [node.id]
    world.delist(node, page, "scheduled_posts")
    world.delist(node, page, "scheduled_posts")
    assert len(world.shown(page, "scheduled_posts")) == 0


def test_reads_may_see_the_world_as_it_was(world: World, cast: Cast, hand: Hand) -> None:
    account, page = cast.ad_accounts["busy"], cast.pages["busy"]
    before = [node.id for node in world.shown(account, "campaigns")]
    posts = [node.id for node in world.shown(page, "posts")]
    moment = world.clock.now()
    hand.seconds += 10
    made = world.create(campaign(world, account), listed_in=(account,), edge="campaigns")
    changed = world.shown(account, "campaigns")[4]
    old_name = changed.values["name"]
    world.change(changed, {"name": "Other"}, hidden=True)
    world.change(changed, {"name": "Third"})
    gone = world.shown(page, "posts")[7]
    world.remove(gone)
    brief = world.create(campaign(world, page), listed_in=(page,), edge="posts")
    world.remove(brief)
    assert [node.id for node in world.shown(account, "campaigns", as_of=moment)] == before
    assert [node.id for node in world.shown(page, "posts", as_of=moment)] == posts
    assert world.as_of(made, moment) is None
    assert world.find(made.id, moment) is None
    past = world.as_of(changed, moment)
    assert past is not None
    assert (past.values["name"], past.hidden) == (old_name, False)
    found = world.find(gone.id, moment)
    assert found is not None
    assert found.values["message"] == gone.values["message"]
    now = world.clock.now()
    assert next(iter(world.shown(account, "campaigns", as_of=now))).id == made.id
    assert len(world.shown(page, "posts", as_of=now)) == 139


def test_the_first_moment_of_a_removed_posts_list_keeps_its_order(world: World, cast: Cast, hand: Hand) -> None:
    page = cast.pages["quiet"]
    posts = [node.id for node in world.shown(page, "posts")]
    moment = world.clock.now() - timedelta(seconds=1)
    for node_id in (posts[2], posts[0]):
        world.remove(world.nodes[node_id])
    assert [node.id for node in world.shown(page, "posts", as_of=moment)] == posts


@settings(deadline=None, max_examples=40)
@example(acts=[("create", 0), ("create", 0), ("remove", 1), ("remove", 0)])
@given(
    acts=st.lists(
        st.tuples(
            st.sampled_from(["create", "rename", "hide", "show", "remove", "delist", "enlist"]), st.integers(0, 200)
        ),
        max_size=25,
    )
)
def test_whatever_is_written_every_moment_can_be_read_again(acts: list[tuple[str, int]]) -> None:
    hand = Hand()
    world = World(5, "small", Clock(hand))
    account = make_cast(world).ad_accounts["second"]
    moments, out = [(world.clock.now(), _seen(world, account))], list[Node]()
    for act, number in acts:
        hand.seconds += 1
        every = world.listed(account, "campaigns")
        chosen = every[number % len(every)]
        if act == "create":
            world.create(campaign(world, account), listed_in=(account,), edge="campaigns")
        elif act == "rename":
            world.change(chosen, {"name": f"Renamed {number}"})
        elif act == "remove":
            world.remove(chosen)
        elif act == "delist":
            world.delist(chosen, account, "campaigns")
            out.append(chosen)
        elif act == "enlist":
            for node in out:
                if node.id in world.nodes and world.nodes.place_of(node.id) is None:
                    world.enlist(node, account, "campaigns")
        else:
            world.change(chosen, {}, hidden=act == "hide")
        moments.append((world.clock.now(), _seen(world, account)))
    for moment, seen in moments:
        assert _seen(world, account, moment) == seen


def _seen(world: World, account: Node, as_of: datetime | None = None) -> list[list[tuple[str, str]]]:
    """What both lists give, and what each row is called."""
    lists = (world.shown(account, "campaigns", as_of=as_of), world.listed(account, "campaigns", as_of=as_of))
    return [[(node.id, node.values["name"]) for node in listed] for listed in lists]


def test_few_objects_are_kept_however_many_are_looked_at() -> None:
    world = World(7, "large", Clock())
    cast = make_cast(world)
    for node in world.shown(cast.catalogs["busy"], "products")[: MAX_HELD + 100]:
        assert node.kind == "product"
    assert len(world.nodes._made) <= MAX_HELD


def test_switching_a_campaign_off_shows_below_it_at_once(world: World, cast: Cast) -> None:
    account = cast.ad_accounts["busy"]
    above = next(node for node in world.shown(account, "campaigns") if node.status == "ACTIVE")
    world.change(above, {"status": "PAUSED"}, status="PAUSED")
    for node in (*world.shown(above, "adsets"), *world.shown(above, "ads")):
        own = node.status
        assert node.values["effective_status"] in ({"CAMPAIGN_PAUSED", "ADSET_PAUSED"} if own == "ACTIVE" else {own})


def test_no_object_has_a_field_whose_name_meta_does_not_know(world: World, cast: Cast) -> None:
    # `tasks` is a field of pages on the edges that list them for somebody (O); the others are the sandbox's own notes.
    own = {
        "page": {"tasks"},
        "threads": {"followers_count", "threads_user_id"},
        "post": {"attached", "linked"},
        "photo": {"is_posted"},
    }
    strange = {
        (node.kind, name)
        for node in world.nodes.values()
        for name in node.values
        if name not in known_fields()[node.kind] | own.get(node.kind, set())
    }
    assert strange == set()


def test_late_values_are_worked_out_by_every_way_of_reading() -> None:
    number = iter(range(100))
    values = Values({"a": Late(lambda: next(number)), "b": 1})
    assert values["a"] == 0
    assert values.get("a") == 1
    assert dict(values) == {"a": 2, "b": 1}
    assert {**values} == {"a": 3, "b": 1}
    assert list(values.items()) == [("a", 4), ("b", 1)]
    assert list(values.values()) == [5, 1]
    assert values.copy()["a"] == 6


def test_a_list_of_the_past_makes_no_more_objects_than_are_looked_at(world: World, cast: Cast, hand: Hand) -> None:
    account = cast.ad_accounts["busy"]
    ids, then = list(world.shown(account, "ads").ids()), world.clock.now()
    hand.seconds += 5
    first, second = world.shown(account, "ads")[:2]
    world.change(first, {"name": "Renamed"})
    world.change(second, {"status": "DELETED"}, hidden=True, status="DELETED")
    made = len(world.nodes._made)
    listed = world.shown(account, "ads", as_of=then)
    assert list(listed.ids()) == ids
    assert [node.values["status"] for node in listed[:2]] == [first.values["status"], "ACTIVE"]
    assert listed[0].values["name"] != "Renamed"
    assert len(world.nodes._made) <= made + 2
