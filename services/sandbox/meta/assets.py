"""Who there is in Meta's world, which accounts they have, and how much lies below each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.sandbox.meta import accounts, posts
from services.sandbox.meta.accounts import DUBAI, PHOENIX, UTC_ZONE, Zone
from services.sandbox.meta.ad_objects import AdCounts, fill_ad_account
from services.sandbox.meta.families import Run, whole
from services.sandbox.meta.node import Node
from services.sandbox.meta.shops import fill_catalog, fill_lead_form
from services.sandbox.meta.world import OnWrite, World

_PEOPLE = {
    "first": "Ada Marsh",
    "second": "Ben Okafor",
    "newcomer": "Chloe Ruiz",
    "system": "Reports Robot",
    "agency": "Agency Robot",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One set of accounts, an account of each type. `owner`: the business whose they are."""

    owner: str
    zone: Zone
    ads: AdCounts
    posts: int
    media: int
    threads: int
    products: int
    feeds: int
    leads: tuple[int, ...]
    numbers: int


_SMALL: Mapping[str, Part] = {
    "busy": Part("first", UTC_ZONE, AdCounts(130, 180, 240, 150), 140, 120, 115, 150, 2, (40, 3), 3),
    "quiet": Part("first", PHOENIX, AdCounts(2, 3, 4, 3), 3, 2, 4, 3, 1, (2,), 1),
    "empty": Part("first", DUBAI, AdCounts(0, 0, 0, 0), 0, 0, 0, 0, 0, (), 0),
    "second": Part("second", UTC_ZONE, AdCounts(40, 60, 80, 60), 4, 3, 3, 4, 1, (5,), 2),
    "hidden": Part("hidden", UTC_ZONE, AdCounts(2, 2, 2, 2), 2, 1, 1, 1, 1, (1,), 1),
}
_LARGE_BUSY = Part(
    "first", UTC_ZONE, AdCounts(6_000, 18_000, 60_000, 30_000), 30_000, 25_000, 20_000, 40_000, 4, (4_000, 900), 40
)
_LARGE_BRANCH = Part(
    "first", PHOENIX, AdCounts(4_000, 12_000, 40_000, 20_000), 15_000, 12_000, 10_000, 12_000, 3, (900,), 5
)
_LARGE_BRANCHES = 8
_OWNED_AND_CLIENT = (
    ("owned_pages", "client_pages"),
    ("owned_ad_accounts", "client_ad_accounts"),
    ("owned_pixels", "client_pixels"),
    ("owned_product_catalogs", "client_product_catalogs"),
    ("owned_whatsapp_business_accounts", "client_whatsapp_business_accounts"),
    ("owned_instagram_accounts", "client_instagram_accounts"),
)


@dataclass(slots=True)
class Cast:
    """The objects that tokens are written for, by the part they play."""

    users: dict[str, Node] = field(default_factory=dict)
    businesses: dict[str, Node] = field(default_factory=dict)
    pages: dict[str, Node] = field(default_factory=dict)
    instagram: dict[str, Node] = field(default_factory=dict)
    threads: dict[str, Node] = field(default_factory=dict)
    ad_accounts: dict[str, Node] = field(default_factory=dict)
    pixels: dict[str, Node] = field(default_factory=dict)
    catalogs: dict[str, Node] = field(default_factory=dict)
    whatsapp: dict[str, Node] = field(default_factory=dict)

    @property
    def accounts(self) -> tuple[dict[str, Node], ...]:
        return (
            self.businesses, self.pages, self.instagram, self.threads, self.ad_accounts, self.pixels, self.catalogs,
            self.whatsapp,
        )  # fmt: skip


def make_cast(world: World) -> Cast:
    """Fill the world. The hidden business and what it has are seen by no token."""
    cast = Cast()
    for part, name in _PEOPLE.items():
        cast.users[part] = accounts.make_person(world, name)
    for part in ("first", "second", "hidden"):
        cast.businesses[part] = accounts.make_business(world)
    parts = _parts(world)
    for part, plan in parts.items():
        _make_part(world, cast, part, plan)
    # The first business works for the second one too: it has access to what belongs to the other.
    first, second = cast.businesses["first"], cast.businesses["second"]
    for owned, client in _OWNED_AND_CLIENT:
        first.edges[client] = list(second.edges[owned])
    of_first = tuple(part for part, plan in parts.items() if plan.owner == "first")
    _give(cast, "first", ("first",), of_first)
    _give(cast, "second", ("second",), ("second",))
    _give(cast, "system", ("first",), of_first)
    _give(cast, "agency", ("first", "second"), (*of_first, "second"))
    world.accounts = [node.id for group in cast.accounts for node in group.values()]
    world.on_write(_take_up(world))
    return cast


def _parts(world: World) -> Mapping[str, Part]:
    if world.size == "small":
        return _SMALL
    branches = {f"branch{number}": _LARGE_BRANCH for number in range(1, _LARGE_BRANCHES + 1)}
    return {**_SMALL, "busy": _LARGE_BUSY, **branches}


def _make_part(world: World, cast: Cast, part: str, plan: Part) -> None:
    business = cast.businesses[plan.owner]
    page = cast.pages[part] = accounts.make_page(world, business)
    instagram = cast.instagram[part] = accounts.make_instagram(world, business, page)
    threads = cast.threads[part] = accounts.make_threads(world, instagram)
    ad_account = cast.ad_accounts[part] = accounts.make_ad_account(world, business, plan.zone)
    for edge, shown in (
        ("promote_pages", page),
        ("instagram_accounts", instagram),
        ("connected_instagram_accounts", instagram),
    ):
        ad_account.edges[edge] = [shown.id]
    cast.pixels[part] = accounts.make_pixel(world, business, ad_account)
    catalog = cast.catalogs[part] = accounts.make_catalog(world, business)
    cast.whatsapp[part] = accounts.make_whatsapp(world, business, plan.numbers)
    stories: Run = whole(posts.fill_page(world, page, plan.posts))
    posts.fill_instagram(world, instagram, plan.media)
    posts.fill_threads(world, threads, plan.threads)
    fill_ad_account(world, ad_account, plan.ads, zone=plan.zone.clock, page=page, story_posts=stories)
    fill_catalog(world, catalog, plan.products, plan.feeds)
    for number, leads in enumerate(plan.leads):
        fill_lead_form(world, page, number, leads)


def _give(cast: Cast, person: str, businesses: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """What the edges of a person, or of a system user, list."""
    user = cast.users[person]
    user.edges["businesses"] = [cast.businesses[name].id for name in businesses]
    for edge, group in (
        ("accounts", cast.pages),
        ("adaccounts", cast.ad_accounts),
        ("assigned_product_catalogs", cast.catalogs),
        ("assigned_whatsapp_business_accounts", cast.whatsapp),
    ):
        user.edges[edge] = [group[name].id for name in parts]


def _take_up(world: World) -> OnWrite:
    """Posts that are published later have counters and comments like all others."""
    count = {"post": posts.count_post, "media": posts.count_media, "threads_post": posts.count_thread}

    def take_up(kind_of_write: str, node: Node) -> None:
        if kind_of_write == "create" and node.kind in count and node.parent and node.parent[0] != node.kind:
            count[node.kind](world, node)

    return take_up
