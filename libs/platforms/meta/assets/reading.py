"""From an entry of a listing to assets, relations and the assets' own tokens. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from libs.platforms.base import Access, Asset, AssetCredential, AssetRelation
from libs.platforms.meta.assets.listings import Listing
from libs.platforms.meta.assets.wire import (
    AdAccountNode,
    CatalogNode,
    InstagramNode,
    InstagramProfile,
    Node,
    PageNode,
    PageWithInstagram,
    PixelNode,
    Ref,
    ThreadsLink,
)
from libs.vocabulary import AccountRef

DELIVERING: Final = frozenset({1, 8, 9})
"""Values of `account_status` with which an ad account can spend. Source: "Ad Account" reference, read 2026-11."""
_ACCESS_OF_TASKS: Final[Mapping[str, Access]] = {
    **dict.fromkeys(("MANAGE", "PROFILE_PLUS_MANAGE", "PROFILE_PLUS_FULL_CONTROL"), "admin"),
    **dict.fromkeys(("ANALYZE", "AA_ANALYZE", "PROFILE_PLUS_ANALYZE", "VIEW_MONETIZATION_INSIGHTS"), "read"),
}
"""Tasks of pages and ad accounts; any other one lets its holder change something. Words: the Python business SDK."""
_ORDER: Final[tuple[Access, ...]] = ("read", "write", "admin")
_SECRETS: Final = frozenset({"access_token", "page_token"})


@dataclass(slots=True)
class Sighting:
    """What one entry tells."""

    assets: list[Asset] = field(default_factory=list)
    relations: list[AssetRelation] = field(default_factory=list)
    credentials: list[AssetCredential] = field(default_factory=list)


def read_entry(listing: Listing, entry: Mapping[str, Any], app_id: str | None) -> Sighting | None:
    """Give what an entry tells; None when it is of no shape that we know."""
    try:
        return _READERS[listing.kind](listing, entry, app_id)
    except ValidationError:
        return None


def _business(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    node = Node.model_validate(entry)
    ref = AccountRef("business", node.id)
    return Sighting([Asset(ref, node.name, public(entry), business_id=node.id)])


def _page(listing: Listing, entry: Mapping[str, Any], app_id: str | None) -> Sighting:
    node = PageNode.model_validate(entry)
    ref = AccountRef("page", node.id)
    found = _under(listing, ref, node.name, entry, roles=node.tasks)
    if node.access_token is not None:
        found.credentials.append(AssetCredential(ref, node.access_token, app_id))
    return found


def _instagram(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    node = InstagramNode.model_validate(entry)
    return _under(listing, AccountRef("instagram", node.id), node.username or node.name, entry)


def _page_instagram(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    """Read a page's Instagram accounts; a page without one tells nothing."""
    node = PageWithInstagram.model_validate(entry)
    page, found = AccountRef("page", node.id), Sighting()
    for name, kind in (
        ("instagram_business_account", "page_owns_instagram"),
        ("connected_instagram_account", "page_connects_instagram"),
    ):
        account: InstagramNode | None = getattr(node, name)
        if account is None:
            continue
        ref = AccountRef("instagram", account.id)
        parent = page if kind == "page_owns_instagram" else None
        found.assets.append(Asset(ref, account.username or account.name, public(entry[name]), parent))
        found.relations.append(AssetRelation(page, ref, kind))
    return found


def _threads(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    node = ThreadsLink.model_validate(entry)
    ref = AccountRef("threads", node.threads_user_id)
    found = Sighting([Asset(ref, None, public(entry), listing.above)])
    if listing.above is not None:
        found.relations.append(AssetRelation(listing.above, ref, "instagram_has_threads"))
    return found


def _ad_account(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    node = AdAccountNode.model_validate(entry)
    usable = node.account_status is None or node.account_status in DELIVERING
    ref = AccountRef("ad_account", node.id)
    return _under(listing, ref, node.name, entry, node.business, roles=node.user_tasks, usable=usable)


def _pixel(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    node = PixelNode.model_validate(entry)
    ref = AccountRef("pixel", node.id)
    found = _under(listing, ref, node.name, entry, node.owner_business, usable=not node.is_unavailable)
    if listing.above is not None and listing.above.type == "ad_account":
        found.relations.append(AssetRelation(listing.above, ref, "ad_account_uses_pixel"))
    return found


def _catalog(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    node = CatalogNode.model_validate(entry)
    return _under(listing, AccountRef("catalog", node.id), node.name, entry, node.business)


def _whatsapp(listing: Listing, entry: Mapping[str, Any], _: str | None) -> Sighting:
    node = Node.model_validate(entry)
    return _under(listing, AccountRef("whatsapp", node.id), node.name, entry)


def read_instagram_login(entry: Mapping[str, Any]) -> Asset | None:
    """Give the account of a token of Instagram's own login; None for an odd answer."""
    try:
        node = InstagramProfile.model_validate(entry)
    except ValidationError:
        return None
    return Asset(AccountRef("instagram", node.user_id), node.username or node.name, public(entry))


def read_threads_login(entry: Mapping[str, Any]) -> Asset | None:
    """Give the profile of a token of Threads' login; None for an odd answer."""
    try:
        node = InstagramNode.model_validate(entry)
    except ValidationError:
        return None
    return Asset(AccountRef("threads", node.id), node.username or node.name, public(entry))


def _under(
    listing: Listing,
    ref: AccountRef,
    name: str | None,
    entry: Mapping[str, Any],
    told: Ref | None = None,
    *,
    roles: tuple[str, ...] = (),
    usable: bool = True,
) -> Sighting:
    """Make the asset, and its relation to the business that lists it or that it names (`told`)."""
    business = listing.above if listing.above is not None and listing.above.type == "business" else None
    named = AccountRef("business", told.id) if told is not None else None
    found = Sighting()
    for each, kind in ((business, _RELATIONS.get(listing.ownership or "")), (named, "owns")):
        relation = AssetRelation(each, ref, f"business_{kind}_{ref.type}") if each is not None and kind else None
        if relation is not None and relation not in found.relations:
            found.relations.append(relation)
    parent = named or business or listing.above
    found.assets.append(
        Asset(
            ref,
            name,
            public(entry),
            parent,
            business_id=parent.id if parent is not None and parent.type == "business" else None,
            ownership=listing.ownership if business is not None else None,
            roles=roles,
            access=access_of(roles),
            usable=usable,
        )
    )
    return found


def access_of(tasks: tuple[str, ...]) -> tuple[Access, ...]:
    """Give what the tasks let one do, weakest first."""
    most = max((_ORDER.index(_ACCESS_OF_TASKS.get(task, "write")) for task in tasks), default=-1)
    return _ORDER[: most + 1]


def public(value: Any) -> Any:
    """Copy JSON without what is a credential by its name, at any depth."""
    if isinstance(value, dict):
        return {name: public(part) for name, part in value.items() if name not in _SECRETS}
    return [public(part) for part in value] if isinstance(value, list) else value


_RELATIONS: Final[Mapping[str, str]] = {"owned": "owns", "client": "manages"}
_READERS: Final[Mapping[str, Callable[[Listing, Mapping[str, Any], str | None], Sighting]]] = {
    "business": _business,
    "page": _page,
    "instagram": _instagram,
    "page_instagram": _page_instagram,
    "threads": _threads,
    "ad_account": _ad_account,
    "pixel": _pixel,
    "catalog": _catalog,
    "whatsapp": _whatsapp,
}
