"""The lists that can be read of an object, and the largest page of each.

Names from the Python business SDK (`get_*` of User, Business, AdAccount, Campaign, AdSet, Page, IGUser,
WhatsAppBusinessAccount and ProductCatalog), read 2026-11. What is not listed here is not asked for: some lists hold
credentials or what people wrote in private.
"""

from collections.abc import Mapping

MAX_PAGE_SIZE = 500
"""Our own bound where no other number is given: the largest page of most lists is not documented."""

AD_EDGES = frozenset({"campaigns", "adsets", "ads"})
"""Lists that can be filtered by status and by `filtering`. Source: the Python business SDK, read 2026-11."""

_OF_PEOPLE = (
    "accounts",
    "adaccounts",
    "assigned_ad_accounts",
    "assigned_pages",
    "assigned_product_catalogs",
    "assigned_whatsapp_business_accounts",
    "businesses",
)
_OF_BUSINESSES = (
    "client_ad_accounts",
    "client_pages",
    "client_pixels",
    "client_product_catalogs",
    "instagram_accounts",
    "owned_ad_accounts",
    "owned_businesses",
    "owned_instagram_accounts",
    "owned_pages",
    "owned_pixels",
    "owned_product_catalogs",
)
_OF_AD_ACCOUNTS = ("activities", "adcreatives", "adspixels", "customaudiences", *sorted(AD_EDGES))
_OF_PAGES = (
    "leadgen_forms",
    "photos",
    "posts",
    "published_posts",
    "scheduled_posts",
    "video_reels",
    "videos",
)
_OF_OTHERS = ("comments", "media", "product_feeds", "products", "product_sets", "stories", "tags")

EDGES: Mapping[str, int] = {
    **dict.fromkeys((*_OF_PEOPLE, *_OF_BUSINESSES, *_OF_AD_ACCOUNTS, *_OF_PAGES, *_OF_OTHERS), MAX_PAGE_SIZE),
    "feed": 100,  # third party, quoting "Page Feed"
    # "WhatsApp Business Account" reference, read 2026-11
    **dict.fromkeys(("client_whatsapp_business_accounts", "owned_whatsapp_business_accounts", "phone_numbers"), 100),
}
"""Name of the list and its largest page."""
