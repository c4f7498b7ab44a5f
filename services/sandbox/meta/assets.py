"""Businesses, pages, Instagram accounts, ad accounts and people of Meta's world, and who has which."""

from dataclasses import dataclass, field
from typing import Any

from services.sandbox.meta.ad_objects import AdCounts, fill_ad_account
from services.sandbox.meta.world import Moment, Node, Ref, World

_FIRST = ("North", "Blue", "Little", "Green", "Silver", "Old", "Bright", "Quiet")
_SECOND = ("Harbour", "Orchard", "Kiln", "Lantern", "Meadow", "Foundry", "Atlas", "Juniper")
_PEOPLE = {
    "first": "Ada Marsh",
    "second": "Ben Okafor",
    "newcomer": "Chloe Ruiz",
    "system": "Reports Robot",
    "agency": "Agency Robot",
}
_ZONES = {"UTC": (0, 0), "America/New_York": (7, -5), "Europe/Berlin": (47, 1)}


@dataclass(slots=True)
class Cast:
    """The objects that tokens are written for, by the part they play."""

    users: dict[str, Node] = field(default_factory=dict)
    businesses: dict[str, Node] = field(default_factory=dict)
    pages: dict[str, Node] = field(default_factory=dict)
    instagram: dict[str, Node] = field(default_factory=dict)
    ad_accounts: dict[str, Node] = field(default_factory=dict)


def make_cast(world: World) -> Cast:
    """Fill the world. The hidden business and what it has are seen by no token."""
    cast = Cast()
    for part, name in _PEOPLE.items():
        cast.users[part] = _person(world, name)
    for part in ("first", "second", "hidden"):
        cast.businesses[part] = _business(world)
    scale = 1 if world.size == "small" else 20
    for part, owner, posts, media in (
        ("busy", "first", 140 * scale, 120 * scale),
        ("quiet", "first", 3, 2),
        ("empty", "first", 0, 0),
        ("second", "second", 4, 3),
        ("hidden", "hidden", 2, 1),
    ):
        page = cast.pages[part] = _page(world, cast.businesses[owner], posts)
        cast.instagram[part] = _instagram(world, cast.businesses[owner], page, media)
    counts = {
        "busy": ("first", "UTC", AdCounts(130 * scale, 180 * scale, 240 * scale, 150 * scale)),
        "quiet": ("first", "America/New_York", AdCounts(2, 3, 4, 3)),
        "empty": ("first", "Europe/Berlin", AdCounts(0, 0, 0, 0)),
        "second": ("second", "UTC", AdCounts(40 * scale, 60 * scale, 80 * scale, 60 * scale)),
        "hidden": ("hidden", "UTC", AdCounts(2, 2, 2, 2)),
    }
    for part, (owner, zone, count) in counts.items():
        page = cast.pages[part]
        account = cast.ad_accounts[part] = _ad_account(world, cast.businesses[owner], zone)
        fill_ad_account(world, account, count, offset_hours=_ZONES[zone][1], page_id=page.id)
    first, second = ("busy", "quiet", "empty"), ("second",)
    _give(cast, "first", ("first",), first)
    _give(cast, "second", ("second",), second)
    _give(cast, "system", ("first",), first)
    _give(cast, "agency", ("first", "second"), (*first, *second))
    world.accounts = [
        node.id for group in (cast.businesses, cast.pages, cast.instagram, cast.ad_accounts) for node in group.values()
    ]
    return cast


def _give(cast: Cast, person: str, businesses: tuple[str, ...], accounts: tuple[str, ...]) -> None:
    """What the edges of a person, or of a system user, list."""
    user = cast.users[person]
    user.edges["businesses"] = [cast.businesses[name].id for name in businesses]
    user.edges["accounts"] = [cast.pages[name].id for name in accounts]
    user.edges["adaccounts"] = [cast.ad_accounts[name].id for name in accounts]


def _company(world: World) -> str:
    return f"{world.random.choice(_FIRST)} {world.random.choice(_SECOND)}"


def _account(world: World, kind: str, node_id: str, values: dict[str, Any], parent: Node | None = None) -> Node:
    created = world.past(400, 900)
    node = Node(
        id=node_id,
        kind=kind,
        account=node_id,
        values={"id": node_id, **values},
        created_at=created,
        updated_at=world.touched(created),
        parent=(parent.kind, parent.id) if parent else None,
    )
    return world.add(node)


def _person(world: World, name: str) -> Node:
    first, last = name.split()
    values = {"name": name, "first_name": first, "last_name": last, "short_name": first}
    return _account(world, "user", world.new_id("asset"), values)


def _business(world: World) -> Node:
    values = {
        "name": f"{_company(world)} Group",
        "verification_status": "verified",
        "timezone_id": 0,
        "vertical": "RETAIL",
    }
    node = _account(world, "business", world.new_id("asset"), values)
    node.values["created_time"] = Moment.fromtimestamp(node.created_at.timestamp(), node.created_at.tzinfo)
    return node


def _page(world: World, business: Node, posts: int) -> Node:
    name = f"{_company(world)} {world.random.randint(10, 99)}"
    values = {
        "name": name,
        "category": "Shopping & retail",
        "category_list": [{"id": "200600219953504", "name": "Shopping & retail"}],
        "username": name.replace(" ", "").lower(),
        "link": f"https://www.facebook.com/{name.replace(' ', '').lower()}",
        "fan_count": world.random.randint(100, 90_000),
        "followers_count": world.random.randint(100, 90_000),
        "is_published": True,
        "business": Ref(business.id),
        "tasks": ["ANALYZE", "ADVERTISE", "MODERATE", "CREATE_CONTENT", "MANAGE"],
    }
    page = _account(world, "page", world.new_id("asset"), values, business)
    business.edges.setdefault("owned_pages", []).append(page.id)
    made = sorted((world.past(0.1, 300) for _ in range(posts)), reverse=True)
    ids = [_post(world, page, created, number) for number, created in enumerate(made)]
    for edge in ("feed", "posts", "published_posts"):
        page.edges[edge] = ids
    return page


def _post(world: World, page: Node, created: Any, number: int) -> str:
    """Posts are named `{page}_{post}` (O)."""
    post_id = f"{page.id}_{world.new_id('post')}"
    updated = max(created, world.touched(created))
    totals = {"shares": world.random.randint(0, 40)}
    values: dict[str, Any] = {
        "id": post_id,
        "message": f"News {number + 1} from {page.values['name']}: {world.random.choice(_SECOND)} is here",
        "created_time": Moment.fromtimestamp(created.timestamp(), created.tzinfo),
        "updated_time": Moment.fromtimestamp(updated.timestamp(), updated.tzinfo),
        "from": Ref(page.id),
        "permalink_url": f"https://www.facebook.com/{post_id.replace('_', '/posts/')}",
        "is_published": True,
        "is_hidden": False,
        "status_type": "mobile_status_update",
    }
    if totals["shares"]:
        values["shares"] = {"count": totals["shares"]}
    above = ("page", page.id)
    world.add(Node(post_id, "post", page.id, values, created, updated, above, totals=totals))
    return post_id


def _instagram(world: World, business: Node, page: Node, media: int) -> Node:
    values = {
        "username": page.values["username"],
        "name": page.values["name"],
        "biography": "",
        "website": page.values["link"],
        "followers_count": world.random.randint(100, 90_000),
        "follows_count": world.random.randint(10, 900),
        "media_count": media,
    }
    node = _account(world, "instagram", f"178414{world.new_id('asset')[-11:]}", values, business)
    page.values["instagram_business_account"] = page.values["connected_instagram_account"] = Ref(node.id)
    business.edges.setdefault("instagram_accounts", []).append(node.id)
    made = sorted((world.past(0.1, 300) for _ in range(media)), reverse=True)
    node.edges["media"] = [_media(world, node, created, number) for number, created in enumerate(made)]
    return node


def _media(world: World, owner: Node, created: Any, number: int) -> str:
    media_id = f"179{world.new_id('asset')[-14:]}"
    totals = {"likes": world.random.randint(0, 900), "comments": world.random.randint(0, 90)}
    values = {
        "id": media_id,
        "caption": f"Picture {number + 1} of {owner.values['name']}",
        "media_type": "IMAGE",
        "media_product_type": "FEED",
        "timestamp": Moment.fromtimestamp(created.timestamp(), created.tzinfo),
        "permalink": f"https://www.instagram.com/p/{media_id}/",
        "username": owner.values["username"],
        "owner": Ref(owner.id),
        "like_count": totals["likes"],
        "comments_count": totals["comments"],
        "is_comment_enabled": True,
    }
    above = ("instagram", owner.id)
    world.add(Node(media_id, "media", owner.id, values, created, created, above, totals=totals))
    return media_id


def _ad_account(world: World, business: Node, zone: str) -> Node:
    digits = world.new_id("account")
    zone_id, offset = _ZONES[zone]
    values = {
        "account_id": digits,
        "name": f"{_company(world)} Ads",
        "account_status": 1,
        "disable_reason": 0,
        "currency": "EUR" if zone.startswith("Europe") else "USD",
        "timezone_name": zone,
        "timezone_id": zone_id,
        "timezone_offset_hours_utc": offset,
        "business": Ref(business.id),
        "owner": business.id,
        # Money is text in the currency's minor unit (M).
        "amount_spent": str(world.random.randint(0, 9_000_000)),
        "balance": str(world.random.randint(0, 90_000)),
        "spend_cap": "0",
        "user_tasks": ["DRAFT", "ANALYZE", "ADVERTISE", "MANAGE"],
    }
    account = _account(world, "ad_account", f"act_{digits}", values, business)
    account.values["created_time"] = Moment.fromtimestamp(account.created_at.timestamp(), account.created_at.tzinfo)
    business.edges.setdefault("owned_ad_accounts", []).append(account.id)
    return account
