"""One account of each type, with its own fields. What lies below: `ad_objects.py`, `posts.py`, `shops.py`.

Fields S (facebook-business 26), of WhatsApp accounts and numbers O (business-messaging-api v23.0), of Threads profiles
O (reference/user). Ids of time zones O (marketing-api/reference/ad-account/timezone-ids); the zones used here never
change their clocks, so that an offset says all about them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import Any

from services.sandbox.meta import statistics
from services.sandbox.meta.node import Late, Moment, Node, Ref
from services.sandbox.meta.world import World

FIRST_WORDS = ("North", "Blue", "Little", "Green", "Silver", "Old", "Bright", "Quiet")
SECOND_WORDS = ("Harbour", "Orchard", "Kiln", "Lantern", "Meadow", "Foundry", "Atlas", "Juniper")
TASKS = ("ANALYZE", "ADVERTISE", "MODERATE", "CREATE_CONTENT", "MANAGE")  # O
_LIFE_DAYS = 900
_OLDEST_AD_DAYS = 400
_MICROS_PER_CENT = 10_000


@dataclass(frozen=True, slots=True)
class Zone:
    """Where an ad account counts its days. `meta_id`: Meta's number of the zone."""

    name: str
    meta_id: int
    offset_hours: int
    currency: str

    @property
    def clock(self) -> timezone:
        return timezone(timedelta(hours=self.offset_hours))


UTC_ZONE = Zone("UTC", 0, 0, "USD")
PHOENIX = Zone("America/Phoenix", 5, -7, "USD")
DUBAI = Zone("Asia/Dubai", 8, 4, "AED")


def company(world: World) -> str:
    return f"{world.random.choice(FIRST_WORDS)} {world.random.choice(SECOND_WORDS)}"


def make_person(world: World, name: str) -> Node:
    first, last = name.split()
    values = {"name": name, "first_name": first, "last_name": last, "short_name": first}
    return _account(world, "user", world.new_id("asset"), values)


def make_business(world: World) -> Node:
    values = {
        "name": f"{company(world)} Group",
        "verification_status": "verified",
        "timezone_id": 0,
        "vertical": "RETAIL",
        "is_hidden": False,
        "two_factor_type": "admin_required",
    }
    node = _account(world, "business", world.new_id("asset"), values)
    node.values |= {"created_time": Moment.at(node.created_at), "updated_time": Moment.at(node.updated_at)}
    return node


def make_page(world: World, business: Node) -> Node:
    name = f"{company(world)} {world.random.randint(10, 99)}"
    username = name.replace(" ", "").lower()
    values = {
        "name": name,
        "about": f"{name}: things for the house.",
        "category": "Shopping & retail",
        "category_list": [{"id": "200600219953504", "name": "Shopping & retail"}],
        "username": username,
        "link": f"https://www.facebook.com/{username}",
        "website": f"https://{username}.example/",
        "fan_count": world.random.randint(100, 90_000),
        "followers_count": world.random.randint(100, 90_000),
        "is_published": True,
        "can_post": True,
        "has_whatsapp_number": False,
        "name_with_location_descriptor": name,
        "talking_about_count": world.random.randint(0, 900),
        "verification_status": "not_verified",
        "business": Ref(business.id),
        "tasks": list(TASKS),
    }
    page = _account(world, "page", world.new_id("asset"), values, business)
    business.edges.setdefault("owned_pages", []).append(page.id)
    business.values.setdefault("primary_page", Ref(page.id))
    return page


def make_instagram(world: World, business: Node, page: Node) -> Node:
    values = {
        "username": page.values["username"],
        "name": page.values["name"],
        "biography": "",
        "website": page.values["link"],
        "profile_picture_url": f"https://scontent.example/{page.id}.jpg",
        "followers_count": world.random.randint(100, 90_000),
        "follows_count": world.random.randint(10, 900),
        "is_published": True,
    }
    node = _account(world, "instagram", world.new_id("instagram"), values, business)
    node.values["media_count"] = Late(lambda: len(world.shown(node, "media")))
    page.values["instagram_business_account"] = page.values["connected_instagram_account"] = Ref(node.id)
    page.edges["instagram_accounts"] = [node.id]
    for edge in ("instagram_accounts", "owned_instagram_accounts"):
        business.edges.setdefault(edge, []).append(node.id)
    return node


def make_threads(world: World, instagram: Node) -> Node:
    """A Threads profile belongs to an Instagram account (O)."""
    values = {
        "username": instagram.values["username"],
        "name": instagram.values["name"],
        "threads_profile_picture_url": instagram.values["profile_picture_url"],
        "threads_biography": "",
        "is_verified": False,
        "followers_count": world.random.randint(100, 40_000),
    }
    node = _account(world, "threads", world.new_id("threads_post"), values, instagram)
    node.values["threads_user_id"] = node.id
    instagram.edges["connected_threads_user"] = [node.id]
    return node


def make_ad_account(world: World, business: Node, zone: Zone) -> Node:
    digits = world.new_id("account")
    values = {
        "account_id": digits,
        "name": f"{company(world)} Ads",
        "account_status": 1,
        "disable_reason": 0,
        "currency": zone.currency,
        "timezone_name": zone.name,
        "timezone_id": zone.meta_id,
        "timezone_offset_hours_utc": zone.offset_hours,
        "business": Ref(business.id),
        "owner": business.id,
        # Money is text in the currency's minor unit (M).
        "balance": str(world.random.randint(0, 90_000)),
        "spend_cap": "0",
        "min_daily_budget": 100,
        "is_prepay_account": False,
        "is_personal": 0,
        "business_name": business.values["name"],
        "business_country_code": "US",
        "funding_source_details": {"id": world.new_id("asset"), "display_string": "VISA *4242", "type": 1},
        "tax_id_status": 0,
        "offsite_pixels_tos_accepted": True,
        "capabilities": ["CAN_CREATE_CALL_ADS", "CAN_USE_CONVERSION_LIFT"],
        "user_tasks": ["DRAFT", "ANALYZE", "ADVERTISE", "MANAGE"],
    }
    account = _account(world, "ad_account", f"act_{digits}", values, business)
    account.values["created_time"] = Moment.at(account.created_at)
    account.values["amount_spent"] = Late(_Spent(world, account).read)
    business.edges.setdefault("owned_ad_accounts", []).append(account.id)
    return account


class _Spent:
    """What an account has spent in its life: summed once a day."""

    def __init__(self, world: World, account: Node) -> None:
        self._world = world
        self._account = account
        self._known: tuple[str, str] | None = None

    def read(self) -> str:
        series = self._world.series[self._account.id]
        until = series.yesterday()
        if self._known is None or self._known[0] != until.isoformat():
            since = series.day_of(self._world.start - timedelta(days=_OLDEST_AD_DAYS))
            rows = statistics.rows(self._world, self._account, since, until)
            self._known = until.isoformat(), str(sum(row.spend_micros for row in rows) // _MICROS_PER_CENT)
        return self._known[1]


def make_pixel(world: World, business: Node, ad_account: Node) -> Node:
    values = {
        "name": f"{ad_account.values['name']} pixel",
        "code": "<!-- Meta Pixel Code -->",
        "is_unavailable": False,
        "is_created_by_business": True,
        "data_use_setting": "ADVERTISING_AND_ANALYTICS",
        "first_party_cookie_status": "FIRST_PARTY_COOKIE_ENABLED",
        "enable_automatic_matching": True,
        "automatic_matching_fields": ["em", "fn", "ln"],
        "owner_business": Ref(business.id),
        "owner_ad_account": Ref(ad_account.id),
    }
    node = _account(world, "pixel", world.new_id("asset"), values, business)
    node.values |= {
        "creation_time": Moment.at(node.created_at),
        "last_fired_time": Moment.at(world.past(0.05, 1.5)),
    }
    business.edges.setdefault("owned_pixels", []).append(node.id)
    ad_account.edges.setdefault("adspixels", []).append(node.id)
    return node


def make_catalog(world: World, business: Node) -> Node:
    values = {
        "name": f"{company(world)} catalog",
        "vertical": "commerce",
        "business": Ref(business.id),
        "owner_business": Ref(business.id),
        "is_catalog_segment": False,
    }
    node = _account(world, "catalog", world.new_id("asset"), values, business)
    for field, edge in (("product_count", "products"), ("feed_count", "product_feeds")):
        node.values[field] = Late(_Count(world, node, edge).read)
    business.edges.setdefault("owned_product_catalogs", []).append(node.id)
    return node


def make_whatsapp(world: World, business: Node, numbers: int) -> Node:
    """An account with that many phone numbers."""
    values = {
        "name": f"{company(world)} messages",
        "currency": "USD",
        "timezone_id": "1",
        "country": "US",
        "account_review_status": "APPROVED",
        "business_verification_status": "verified",
        "status": "ACTIVE",
        "ownership_type": "SELF",
        "message_template_namespace": f"{world.random.getrandbits(64):016x}_{world.random.getrandbits(32):08x}",
        "owner_business_info": {"id": business.id, "name": business.values["name"]},
    }
    node = _account(world, "whatsapp", world.new_id("asset"), values, business)
    for number in range(numbers):
        _phone_number(world, node, number)
    business.edges.setdefault("owned_whatsapp_business_accounts", []).append(node.id)
    return node


def _phone_number(world: World, account: Node, number: int) -> Node:
    created = world.past(30, 300)
    area, line = world.random.randint(201, 989), world.random.randint(100, 199)
    # 555-0100 to 555-0199 belong to nobody in every American area.
    shown = f"+1 {area}-555-0{line}"
    node_id = world.new_id("asset")
    values = {
        "id": node_id,
        "display_phone_number": shown,
        "verified_name": f"{account.values['name']} {number + 1}",
        "name_status": "APPROVED",
        "status": "CONNECTED",
        "quality_rating": "GREEN",
        "code_verification_status": "VERIFIED",
        "account_mode": "LIVE",
        "platform_type": "CLOUD_API",
        "throughput": {"level": "STANDARD"},
        "messaging_limit_tier": "TIER_1K",
        "is_official_business_account": False,
        "last_onboarded_time": Moment.at(created),
    }
    above = ("whatsapp", account.id)
    node = Node(node_id, "phone_number", account.id, values, created, world.touched(created), above)
    return world.add(node, listed_in=(account,), edge="phone_numbers")


class _Count:
    """How many an edge lists by default."""

    def __init__(self, world: World, node: Node, edge: str) -> None:
        self._world = world
        self._node = node
        self._edge = edge

    def read(self) -> int:
        return len(self._world.shown(self._node, self._edge))


def _account(world: World, kind: str, node_id: str, values: Mapping[str, Any], parent: Node | None = None) -> Node:
    created = world.past(400, _LIFE_DAYS)
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
