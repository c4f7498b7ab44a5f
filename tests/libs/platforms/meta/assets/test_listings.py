"""Everything that discovery asks for is something that Meta has: one unknown field fails a whole listing."""

import inspect
import re
from collections.abc import Iterator

import pytest
from facebook_business.adobjects import (
    adaccount,
    adspixel,
    business,
    iguser,
    page,
    productcatalog,
    threadsuser,
    user,
    whatsappbusinessaccount,
)

from libs.platforms.meta.assets.listings import Listing, of_asset, of_business, of_page, of_person
from libs.vocabulary import AccountRef

NODES = {
    "business": business.Business,
    "page": page.Page,
    "page_instagram": page.Page,
    "instagram": iguser.IGUser,
    "threads": threadsuser.ThreadsUser,
    "ad_account": adaccount.AdAccount,
    "pixel": adspixel.AdsPixel,
    "catalog": productcatalog.ProductCatalog,
    "whatsapp": whatsappbusinessaccount.WhatsAppBusinessAccount,
}
OWNERS = {"business": business, "ad_account": adaccount, "instagram": iguser}
ONLY_IN_THE_DOCUMENTS = {"tasks"}
"""Of pages in `me/accounts`: "Page access tokens", read 2026-11."""
LISTINGS = [
    *of_person(),
    *of_page(),
    *of_business(AccountRef("business", "1")),
    *of_asset(AccountRef("ad_account", "act_1")),
    *of_asset(AccountRef("instagram", "1")),
]


def top_level(fields: str) -> Iterator[str]:
    """Give the fields that stand outside of braces."""
    while (shorter := re.sub(r"\{[^{}]*\}", "", fields)) != fields:
        fields = shorter
    yield from fields.split(",")


def inner_of_instagram(fields: str) -> list[str]:
    found = re.search(r"instagram_business_account\{([^{}]*)\}", fields)
    return found[1].split(",") if found else []


def known(node: type) -> set[str]:
    return {value for name, value in vars(node.Field).items() if not name.startswith("_")}  # type: ignore[attr-defined]


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.name)
def test_every_field_is_one_that_the_sdk_or_the_documents_know(listing: Listing) -> None:
    assert set(top_level(listing.fields)) <= known(NODES[listing.kind]) | ONLY_IN_THE_DOCUMENTS
    assert set(inner_of_instagram(listing.fields)) <= known(iguser.IGUser)


@pytest.mark.parametrize("listing", [one for one in LISTINGS if one.is_list], ids=lambda listing: listing.name)
def test_every_edge_is_one_that_the_sdk_knows(listing: Listing) -> None:
    owner = OWNERS[listing.above.type] if listing.above is not None else user
    edge = listing.path.partition("/")[2]
    assert f"endpoint='/{edge}'" in inspect.getsource(owner)


def test_listings_have_names_of_their_own() -> None:
    names = [listing.name for listing in LISTINGS]
    assert len(names) == len(set(names))
