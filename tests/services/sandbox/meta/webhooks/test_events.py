"""What a write tells, object by object: fields, verbs and words of the documents' samples."""

from datetime import timedelta
from typing import Any

import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import Cast, make_cast
from services.sandbox.meta.webhooks.events import Event, events_of
from services.sandbox.meta.world import Moment, Node, Ref, World


class Told:
    """Everything that the writes to a world tell."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: list[Event] = []
        world.on_write(self._hear)

    def _hear(self, kind_of_write: str, node: Node) -> None:
        before = None if kind_of_write == "create" else self.world.before_last_write(node.id)
        self.events += events_of(self.world, kind_of_write, node, before, self.world.clock.now())

    def values(self) -> list[dict[str, Any]]:
        return [dict(event.value) for event in self.events]

    def names(self) -> list[tuple[str, str]]:
        return [(event.object, event.field) for event in self.events]


@pytest.fixture(scope="module")
def made() -> tuple[World, Cast]:
    world = World(7, "small", Clock(lambda: 0.0))
    return world, make_cast(world)


@pytest.fixture
def told(made: tuple[World, Cast]) -> Told:
    return Told(made[0])


@pytest.fixture
def cast(made: tuple[World, Cast]) -> Cast:
    return made[1]


def create(world: World, kind: str, account: Node, parent: Node, values: dict[str, Any]) -> Node:
    now = world.clock.now()
    node_id = world.new_id("asset")
    node = Node(node_id, kind, account.id, {"id": node_id, **values}, now, now, (parent.kind, parent.id))
    return world.create(node)


def post(told: Told, page: Node, **values: Any) -> Node:
    at = Moment.at(told.world.clock.now())
    shown = {"message": "Hello", "created_time": at, "updated_time": at, "is_published": True, "is_hidden": False}
    return create(told.world, "post", page, page, {**shown, "status_type": "mobile_status_update", **values})


def test_a_post_is_added_edited_hidden_and_removed(told: Told, cast: Cast) -> None:
    page = cast.pages["busy"]
    node = post(told, page)
    told.world.change(node, {"message": "Hello again"})
    told.world.change(node, {"is_hidden": True})
    told.world.change(node, {"permalink_url": "https://elsewhere.example/"})
    told.world.remove(node)
    assert told.names() == [("page", "feed")] * 4
    added, edited, hidden, removed = told.values()
    assert added == {
        "from": {"id": page.id, "name": page.values["name"]}, "item": "status", "verb": "add", "post_id": node.id,
        "published": 1, "message": "Hello", "created_time": int(node.created_at.timestamp()),
    }  # fmt: skip
    assert (edited["verb"], edited["message"], "edited_time" in edited) == ("edited", "Hello again", True)
    assert (hidden["verb"], removed["verb"], removed["post_id"]) == ("hide", "remove", node.id)


def test_a_planned_post_is_told_unpublished_and_once_more_when_it_goes_out(told: Told, cast: Cast) -> None:
    node = post(told, cast.pages["busy"], is_published=False)
    told.world.change(node, {"is_published": True})
    assert [(value["verb"], value["published"]) for value in told.values()] == [("add", 0), ("add", 1)]


@pytest.mark.parametrize(
    ("values", "item", "more"),
    [
        ({"status_type": "shared_story", "linked": "https://a.example/"}, "share", {"link": "https://a.example/"}),
        (
            {
                "status_type": "added_photos",
                "attached": [{"media_type": "photo", "target": {"id": "77", "url": "https://a.example/77"}}],
            },
            "photo",
            {"photo_id": "77", "link": "https://a.example/77"},
        ),
        (
            {"status_type": "added_video", "attached": [{"media_type": "video", "target": {"id": "78"}}]},
            "video",
            {"video_id": "78"},
        ),
    ],
)
def test_an_item_is_named_after_what_the_post_has(
    told: Told, cast: Cast, values: dict[str, Any], item: str, more: dict[str, str]
) -> None:
    post(told, cast.pages["busy"], **values)
    (value,) = told.values()
    assert value["item"] == item
    assert value.items() >= more.items()


def test_several_photos_are_told_as_a_status_with_their_addresses(told: Told, cast: Cast) -> None:
    photos = [{"media_type": "photo", "target": {"id": one, "url": f"https://a.example/{one}"}} for one in ("7", "8")]
    post(told, cast.pages["busy"], status_type="added_photos", attached=photos)
    (value,) = told.values()
    assert (value["item"], value["photos"]) == ("status", ["https://a.example/7", "https://a.example/8"])


def test_a_comment_below_a_comment_names_the_post_and_what_it_answers(told: Told, cast: Cast) -> None:
    page = cast.pages["busy"]
    above = post(told, page)
    person = {"id": "5", "name": "Jo Park"}
    at = Moment.at(told.world.clock.now())
    first = create(told.world, "comment", page, above, {"message": "One", "from": person, "created_time": at})
    second = create(told.world, "comment", page, first, {"message": "Two", "from": person, "created_time": at})
    told.world.change(second, {"message": "Three"})
    told.world.remove(second)
    _, one, two, three, gone = told.values()
    assert [value["verb"] for value in (one, two, three, gone)] == ["add", "add", "edited", "remove"]
    assert (one["parent_id"], one["post_id"], one["from"]) == (above.id, above.id, person)
    assert (two["parent_id"], two["post_id"], two["comment_id"]) == (first.id, above.id, second.id)
    assert two["post"]["id"] == above.id


def test_a_comment_on_instagram_names_its_medium_and_a_reply_its_comment(told: Told, cast: Cast) -> None:
    profile = cast.instagram["busy"]
    medium = next(iter(told.world.listed(profile, "media")))
    person = {"id": "6", "username": "jo.park"}
    values = {"text": "Nice", "from": person, "media": Ref(medium.id)}
    comment = create(told.world, "ig_comment", profile, medium, values)
    create(told.world, "ig_comment", profile, comment, {**values, "text": "Very"})
    assert told.names() == [("instagram", "comments")] * 2
    one, two = told.values()
    assert one == {
        "id": comment.id, "text": "Nice", "from": person,
        "media": {"id": medium.id, "media_product_type": medium.values["media_product_type"]},
    }  # fmt: skip
    assert two["parent_id"] == comment.id


def test_threads_tells_of_posts_replies_and_removals(told: Told, cast: Cast) -> None:
    profile = cast.threads["busy"]
    root = next(iter(told.world.listed(profile, "threads")))
    at = Moment.at(told.world.clock.now())
    values = {"text": "Yes", "media_type": "TEXT_POST", "timestamp": at, "username": profile.values["username"]}
    node = create(told.world, "threads_post", profile, profile, values)
    told.world.remove(node)
    reply = {**values, "replied_to": {"id": root.id}, "root_post": {"id": root.id}}
    create(told.world, "threads_post", cast.threads["quiet"], root, reply)
    assert told.names() == [("threads", field) for field in ("publish", "delete", "publish", "replies")]
    published, deleted, _, replied = told.values()
    assert (published["id"], published["owner"]) == (node.id, {"owner_id": profile.id})
    assert (deleted["id"], "deleted_at" in deleted) == (node.id, True)
    assert told.events[3].account.id == profile.id
    assert (replied["replied_to"], replied["root_post"]["owner_id"]) == ({"id": root.id}, profile.id)


def test_who_is_mentioned_hears_of_it_on_threads_and_on_instagram(told: Told, cast: Cast) -> None:
    world, writer = told.world, cast.threads["busy"]
    name = cast.threads["second"].values["username"]
    own = writer.values["username"]
    text = f"With @{name.upper()}. and @{own} and @nobody"
    create(world, "threads_post", writer, writer, {"text": text, "timestamp": Moment.at(world.clock.now())})
    profile = cast.instagram["busy"]
    tag = f"@{cast.instagram['second'].values['username']}"
    medium = create(world, "media", profile, profile, {"caption": f"By {tag}", "media_product_type": "FEED"})
    comment = create(world, "ig_comment", profile, medium, {"text": tag, "media": Ref(medium.id)})
    assert [(event.object, event.field, event.account.id) for event in told.events] == [
        ("threads", "publish", writer.id),
        ("threads", "mentions", cast.threads["second"].id),
        ("instagram", "mentions", cast.instagram["second"].id),
        ("instagram", "comments", profile.id),
        ("instagram", "mentions", cast.instagram["second"].id),
    ]
    assert told.values()[2] == {"media_id": medium.id}
    assert told.values()[4] == {"media_id": medium.id, "comment_id": comment.id}


def test_an_ad_object_tells_of_every_effective_status_and_of_the_end_of_its_review(told: Told, cast: Cast) -> None:
    account = cast.ad_accounts["busy"]
    ad = create(told.world, "ad", account, account, {"status": "ACTIVE", "effective_status": "PENDING_REVIEW"})
    told.world.change(ad, {"effective_status": "ACTIVE"})
    told.world.change(ad, {"name": "Renamed"})
    told.world.change(ad, {"effective_status": "WITH_ISSUES"})
    fields = ["in_process_ad_objects", "effective_status", "with_issues_ad_objects", "effective_status"]
    assert told.names() == [("ad_account", field) for field in fields]
    processed, changed, issue, _ = told.values()
    assert processed == {"id": ad.id, "level": "AD", "status_name": "Active"}
    assert changed == {"object_id": ad.id, "object_type": "ad", "changed_fields": ["effective_status"]}
    assert issue["level"] == "AD"
    assert {"error_code", "error_summary", "error_message"} <= set(issue)


def test_a_status_that_follows_from_others_is_told_with_everything_that_follows(told: Told, cast: Cast) -> None:
    account = cast.ad_accounts["busy"]
    adset = next(
        node
        for node in told.world.shown(account, "adsets")
        if node.values["effective_status"] == "ACTIVE"
        and any(ad.status == "ACTIVE" for ad in told.world.listed(node, "ads"))
    )
    below = [ad.id for ad in told.world.listed(adset, "ads") if ad.status == "ACTIVE"]
    told.world.change(adset, {"status": "PAUSED"}, status="PAUSED")
    assert [value["object_id"] for value in told.values()] == [adset.id, *below]
    told.world.change(adset, {"name": "Renamed"})
    assert len(told.events) == 1 + len(below)


def test_nothing_is_told_of_what_nobody_can_subscribe_to(told: Told, cast: Cast) -> None:
    account = cast.ad_accounts["busy"]
    told.world.change(account, {"name": "Renamed"})
    create(told.world, "pixel", account, account, {"name": "New"})
    assert told.events == []


def test_a_lead_is_told_by_its_ids(told: Told, cast: Cast) -> None:
    page = cast.pages["busy"]
    form = next(iter(told.world.listed(page, "leadgen_forms")))
    at = Moment.at(told.world.clock.now() - timedelta(seconds=5))
    lead = create(told.world, "lead", page, form, {"created_time": at, "form_id": form.id, "field_data": []})
    (value,) = told.values()
    assert value == {
        "leadgen_id": lead.id, "page_id": page.id, "form_id": form.id, "created_time": int(at.timestamp()),
    }  # fmt: skip
