"""What is asked for to find assets: an edge, its fields, and what its entries are. Each is a batch item of its own, so
that a permission that is missing for one kind hides no other kind.

Edges and fields: the reference of each node, read 2026-11, and the Python business SDK; `connected_threads_user` is in
the SDK only. How much one page may hold is documented for WhatsApp's lists (100); 100 is asked for everywhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from libs.platforms.base import Ownership
from libs.vocabulary import AccountRef

PAGE_SIZE: Final = 100
_INSTAGRAM: Final = "id,username,name,profile_picture_url,followers_count,follows_count,media_count,website,biography"
_FIELDS: Final[Mapping[str, str]] = {
    "business": "id,name,verification_status,timezone_id,vertical,created_time,primary_page{id,name}",
    "page": "id,name,category,category_list{id,name},link,username,fan_count,followers_count,is_published",
    "instagram": _INSTAGRAM,
    "page_instagram": f"id,instagram_business_account{{{_INSTAGRAM}}},connected_instagram_account{{id,username}}",
    "threads": "threads_user_id,threads_user_profile_pic",
    "ad_account": (
        "id,account_id,name,account_status,disable_reason,currency,timezone_name,timezone_id,"
        "timezone_offset_hours_utc,business{id,name},owner,amount_spent,balance,spend_cap,created_time,user_tasks"
    ),
    "pixel": "id,name,creation_time,last_fired_time,is_unavailable,owner_business{id,name},owner_ad_account{id}",
    "catalog": "id,name,vertical,product_count,feed_count,business{id,name}",
    "whatsapp": (
        "id,name,currency,timezone_id,account_review_status,business_verification_status,status,ownership_type,"
        "message_template_namespace"
    ),
}
OF_A_PAGES_TOKEN: Final = _FIELDS["page"]
OF_AN_INSTAGRAM_LOGIN: Final = (
    "user_id,username,name,account_type,profile_picture_url,followers_count,follows_count,media_count"
)
"""Source: "Instagram API with Instagram Login: get started", read 2026-11."""
OF_A_THREADS_LOGIN: Final = "id,username,name,threads_profile_picture_url,threads_biography,is_verified"
"""Source: Meta's sample `threads_api`, read 2026-11."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One thing to be asked for, page by page."""

    path: str
    """An object's id or `me`, and one of its edges; without an edge it is the object itself."""
    kind: str
    """What the entries are: a type of ours, or `page_instagram`."""
    fields: str
    above: AccountRef | None = None
    """Whose edge it is."""
    ownership: Ownership | None = None
    """How what is above has the entries, where the edge tells that."""
    limit: int = PAGE_SIZE
    position: Mapping[str, str] = field(default_factory=dict)
    """Where the page begins."""
    tries: int = 0
    """How often this page was asked for in vain."""

    @property
    def name(self) -> str:
        """Tell it from the others of a discovery."""
        return f"{self.path}#instagram" if self.kind == "page_instagram" else self.path

    @property
    def type(self) -> str:
        """Our type of what it lists."""
        return "instagram" if self.kind == "page_instagram" else self.kind

    @property
    def is_list(self) -> bool:
        """Whether it is an edge."""
        return "/" in self.path

    @property
    def params(self) -> dict[str, str]:
        """What the address says besides the credential."""
        asked = {"fields": self.fields, **self.position}
        return {**asked, "limit": str(self.limit)} if self.is_list else asked


def of_person() -> Iterator[Listing]:
    """Give what a person or a system user is asked for, the businesses first."""
    yield _listing("me/businesses", "business")
    yield _listing("me/accounts", "page", more=",access_token,tasks")
    yield _listing("me/accounts", "page_instagram")
    yield _listing("me/adaccounts", "ad_account")
    yield _listing("me/assigned_whatsapp_business_accounts", "whatsapp")


def of_page() -> Iterator[Listing]:
    """Give what a page's own token is asked for: the page is `me`."""
    yield Listing("me", "page", OF_A_PAGES_TOKEN)
    yield Listing("me", "page_instagram", _FIELDS["page_instagram"])


def of_business(business: AccountRef) -> Iterator[Listing]:
    """Give the edges of a business: what it owns, and what others let it work with."""
    for ownership, prefix in _OWNERSHIPS.items():
        for edge, kind in _OF_BUSINESSES.items():
            more = ",access_token" if kind == "page" else ""
            yield _listing(f"{business.id}/{prefix}_{edge}", kind, business, ownership, more=more)
    yield _listing(f"{business.id}/owned_pages", "page_instagram", business)
    yield _listing(f"{business.id}/owned_instagram_accounts", "instagram", business, "owned")
    yield _listing(f"{business.id}/instagram_accounts", "instagram", business, "client")


def of_asset(asset: AccountRef) -> Iterator[Listing]:
    """Give the edges of an asset that lead to others."""
    if asset.type == "ad_account":
        yield _listing(f"{asset.id}/adspixels", "pixel", asset)
    elif asset.type == "instagram":
        yield _listing(f"{asset.id}/connected_threads_user", "threads", asset)


_OWNERSHIPS: Final[Mapping[Ownership, str]] = {"owned": "owned", "client": "client"}
_OF_BUSINESSES: Final[Mapping[str, str]] = {
    "pages": "page",
    "ad_accounts": "ad_account",
    "pixels": "pixel",
    "product_catalogs": "catalog",
    "whatsapp_business_accounts": "whatsapp",
}


def _listing(
    path: str, kind: str, above: AccountRef | None = None, ownership: Ownership | None = None, *, more: str = ""
) -> Listing:
    return Listing(path, kind, _FIELDS[kind] + more, above, ownership)
