"""What a discovery asks, in which order, and what it makes of the answers."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from libs.platforms.base import Asset, AssetPage, Credential
from libs.platforms.errors import (
    AuthRevoked,
    ContractBroken,
    PermissionMissing,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.platforms.meta import build_platform
from libs.platforms.meta.assets.discovery import MAX_TRIES, SMALLEST_LIMIT, merge
from libs.platforms.meta.settings import MetaSettings
from libs.vocabulary import AccountRef
from tests.support.meta_graph import RecordedGraph, recorded_listings, refused

BUSINESS = "104000000000001"
CREDENTIAL = Credential("user-token-that-is-secret", "4711", "app-secret-that-is-secret")


async def discover(handler: Any, *, kind: str = "user", credential: Credential = CREDENTIAL) -> list[AssetPage]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    assets = build_platform(client, MetaSettings()).assets
    assert assets is not None
    return [page async for page in assets.discover(credential, kind=kind)]


def latest(pages: Sequence[AssetPage]) -> dict[str, Asset]:
    """Give each asset as it was told last, by type and id."""
    return {str(asset.ref): asset for page in pages for asset in page.assets}


def relations(pages: Sequence[AssetPage]) -> list[tuple[str, str, str]]:
    return [(str(each.parent), each.kind, str(each.child)) for page in pages for each in page.relations]


async def test_all_eight_types_are_found_with_what_stands_above_them() -> None:
    found = latest(await discover(RecordedGraph()))
    parents = {ref: str(asset.parent) if asset.parent else None for ref, asset in found.items()}
    business = f"business:{BUSINESS}"
    assert parents == {
        business: None,
        "page:153125381133": business,
        "page:153125381134": None,
        "instagram:17841405309211844": "page:153125381133",
        "instagram:17841405309211845": business,
        "threads:78901": "instagram:17841405309211844",
        "ad_account:act_4711": business,
        "ad_account:act_4712": None,
        "ad_account:act_4713": "business:104000000000002",
        "pixel:105000000000001": business,
        "pixel:105000000000002": "ad_account:act_4712",
        "catalog:106000000000001": business,
        "whatsapp:102290129340398": business,
    }


async def test_how_a_business_has_an_asset_is_told_and_what_nobody_has_is_personal() -> None:
    found = latest(await discover(RecordedGraph()))
    assert {ref: asset.ownership for ref, asset in found.items() if asset.ref.type in ("page", "ad_account")} == {
        "page:153125381133": "owned",
        "page:153125381134": "personal",
        "ad_account:act_4711": "owned",
        "ad_account:act_4712": "personal",
        "ad_account:act_4713": "client",
    }
    assert found["ad_account:act_4711"].business_id == BUSINESS


async def test_relations_are_told_once_each() -> None:
    told = relations(await discover(RecordedGraph()))
    assert len(told) == len(set(told))
    business = f"business:{BUSINESS}"
    for expected in [
        (business, "business_owns_page", "page:153125381133"),
        (business, "business_owns_ad_account", "ad_account:act_4711"),
        (business, "business_manages_ad_account", "ad_account:act_4713"),
        ("business:104000000000002", "business_owns_ad_account", "ad_account:act_4713"),
        (business, "business_owns_pixel", "pixel:105000000000001"),
        (business, "business_owns_catalog", "catalog:106000000000001"),
        (business, "business_owns_whatsapp", "whatsapp:102290129340398"),
        (business, "business_manages_instagram", "instagram:17841405309211845"),
        ("page:153125381133", "page_owns_instagram", "instagram:17841405309211844"),
        ("page:153125381133", "page_connects_instagram", "instagram:17841405309211844"),
        ("ad_account:act_4711", "ad_account_uses_pixel", "pixel:105000000000001"),
        ("instagram:17841405309211844", "instagram_has_threads", "threads:78901"),
    ]:
        assert expected in told


async def test_tasks_become_access_and_closed_accounts_are_not_usable() -> None:
    found = latest(await discover(RecordedGraph()))
    assert found["page:153125381133"].access == ("read", "write", "admin")
    assert found["page:153125381134"].access == ("read",)
    assert found["ad_account:act_4711"].access == ("read", "write")
    assert found["ad_account:act_4711"].roles == ("DRAFT", "ANALYZE", "ADVERTISE")
    assert found["catalog:106000000000001"].access == ()
    usable = {ref: asset.usable for ref, asset in found.items()}
    assert [ref for ref, yes in usable.items() if not yes] == ["ad_account:act_4712", "pixel:105000000000002"]


async def test_every_pages_token_comes_once_and_apart() -> None:
    pages = await discover(RecordedGraph())
    tokens = [(str(each.asset), each.access_token, each.app_id) for page in pages for each in page.credentials]
    assert sorted(tokens) == [
        ("page:153125381133", "conformance-asset-token-that-must-stay-secret", "4711"),
        ("page:153125381134", "EAAorchardtokenorchardtoken", "4711"),
    ]
    public = json.dumps([dict(asset.data) for page in pages for asset in page.assets])
    assert "access_token" not in public
    assert latest(pages)["page:153125381133"].data["fan_count"] == 4211


async def test_a_field_that_repeats_a_token_does_not_make_it_public() -> None:
    listings = recorded_listings()
    (page,) = listings["me/accounts"][0]["data"]
    page["link"] = f"https://www.facebook.com/?access_token={page['access_token']}&of={CREDENTIAL.access_token}"
    page["owner"] = {"access_token": "inner", "cover": [{"page_token": "inner", "id": "1"}]}
    data = latest(await discover(RecordedGraph(listings)))["page:153125381133"].data
    text = json.dumps(dict(data))
    assert page["access_token"] not in text
    assert CREDENTIAL.access_token not in text
    assert data["owner"] == {"cover": [{"id": "1"}]}


async def test_five_calls_are_enough_for_a_small_business() -> None:
    graph = RecordedGraph()
    await discover(graph)
    assert graph.http_calls == 5  # roots, edges of the business, second pages and pixels, the third page, its pixels
    assert len(graph.asked) == len(graph.listings) + 3
    assert set(graph.asked) == set(graph.listings)


async def test_a_listing_that_may_not_be_read_is_told_and_what_it_leads_to_is_not_asked() -> None:
    def change(name: str, answer: Any) -> Any:
        return (
            refused(200, "(#200) Requires business_management permission", 403) if name == "me/businesses" else answer
        )

    graph = RecordedGraph(change=change)
    pages = await discover(graph)
    failed = [page for page in pages if page.error is not None]
    assert [(page.listing, page.type, type(page.error)) for page in failed] == [
        ("me/businesses", "business", PermissionMissing)
    ]
    found = latest(pages)
    assert not any(name.startswith(BUSINESS) for name in graph.asked)
    assert found["page:153125381134"].ownership is None, "nobody knows what a business that cannot be seen has"
    assert found["ad_account:act_4711"].parent == AccountRef("business", BUSINESS)


async def test_what_meta_did_not_get_to_is_asked_again() -> None:
    misses = {"me/accounts": 2, f"{BUSINESS}/owned_pages": 1}

    def change(name: str, answer: Any) -> Any:
        if misses.get(name):
            misses[name] -= 1
            return None
        return answer

    assert latest(await discover(RecordedGraph(change=change))) == latest(await discover(RecordedGraph()))


async def test_what_meta_never_gets_to_is_given_up_alone() -> None:
    graph = RecordedGraph(change=lambda name, answer: None if name == "me/adaccounts" else answer)
    pages = await discover(graph)
    (failed,) = [page for page in pages if page.error is not None]
    assert failed.listing == "me/adaccounts"
    assert isinstance(failed.error, Unavailable)
    assert graph.asked.count("me/adaccounts") == MAX_TRIES


async def test_a_page_that_is_too_heavy_is_asked_for_in_smaller_ones() -> None:
    words = "Please reduce the amount of data you're asking for, then retry your request"

    def change(name: str, answer: Any) -> Any:
        return refused(1, words, 500) if name == "me/adaccounts" and graph.limits[name][-1] > 20 else answer

    graph = RecordedGraph(change=change)
    assert all(page.error is None for page in await discover(graph))
    assert graph.limits["me/adaccounts"] == [100, 50, 25, 12, 12, 12]
    graph = RecordedGraph(change=lambda name, answer: refused(1, words, 500) if name == "me/accounts" else answer)
    (failed,) = [page for page in await discover(graph) if page.error is not None]
    assert isinstance(failed.error, Rejected)
    assert graph.limits["me/accounts"][-1] == SMALLEST_LIMIT


async def test_a_throttled_listing_is_not_asked_again() -> None:
    throttled = refused(80004, "(#80004) There have been too many calls to this ad-account.")
    graph = RecordedGraph(change=lambda name, answer: throttled if name == "act_4711/adspixels" else answer)
    (failed,) = [page for page in await discover(graph) if page.error is not None]
    assert isinstance(failed.error, RateLimited)
    assert failed.error.scope is not None
    assert failed.error.scope.subject == "4711"
    assert graph.asked.count("act_4711/adspixels") == 1


async def test_a_token_that_dies_on_the_way_ends_the_discovery() -> None:
    dead = refused(190, "Error validating access token", error_subcode=458)
    with pytest.raises(AuthRevoked):
        await discover(RecordedGraph(change=lambda name, answer: dead if name.endswith("/adspixels") else answer))


ODD: list[Any] = [
    {},
    {"id": None},
    {"id": "../me"},
    {"id": "1/2"},
    {"id": True},
    {"id": ["1"]},
    {"id": "4711", "access_token": 7},
    {"id": "4711", "access_token": "two words"},
]


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_entry_is_told_and_hides_no_other(odd: Any) -> None:
    listings = recorded_listings()
    listings["me/accounts"][0]["data"].append(odd)
    pages = await discover(RecordedGraph(listings))
    (failed,) = [page for page in pages if page.error is not None]
    assert isinstance(failed.error, ContractBroken)
    assert "1 of 2 entries" in failed.error.message
    assert not failed.last, "the next page is read all the same"
    assert "page:153125381134" in latest(pages)


async def test_an_ad_account_without_its_prefix_is_odd() -> None:
    listings = recorded_listings()
    listings["me/adaccounts"][0]["data"][0]["id"] = "4711"
    pages = await discover(RecordedGraph(listings))
    assert [page.listing for page in pages if page.error is not None] == ["me/adaccounts"]


@pytest.mark.parametrize(
    "body",
    [
        {"data": 1},
        {"data": [1]},
        {"data": {}},
        {},
        [],
        {"data": [], "paging": {"next": "https://graph.facebook.com/x"}},
        {"data": [], "paging": {"next": "https://graph.facebook.com/x?after=%0a", "cursors": {"after": "a b"}}},
    ],
)
async def test_what_is_no_page_breaks_the_contract_of_its_listing_alone(body: Any) -> None:
    def change(name: str, answer: Any) -> Any:
        return {"code": 200, "headers": [], "body": json.dumps(body)} if name == "me/accounts" else answer

    pages = await discover(RecordedGraph(change=change))
    (failed,) = [page for page in pages if page.error is not None]
    assert (failed.listing, failed.last, failed.assets) == ("me/accounts", True, ())
    assert isinstance(failed.error, ContractBroken)
    assert "ad_account:act_4712" in latest(pages)


async def test_a_list_that_leads_back_to_itself_ends() -> None:
    def change(name: str, answer: Any) -> Any:
        return first if name == "me/adaccounts" else answer

    first = {"code": 200, "headers": [], "body": json.dumps(recorded_listings()["me/adaccounts"][0])}
    graph = RecordedGraph(change=change)
    (failed,) = [page for page in await discover(graph) if page.error is not None]
    assert isinstance(failed.error, ContractBroken)
    assert graph.asked.count("me/adaccounts") == 2


async def test_many_businesses_are_asked_in_batches_of_fifty() -> None:
    listings: dict[str, Any] = {name: [{"data": []}] for name in recorded_listings() if name.startswith("me/")}
    businesses = [{"id": str(1000 + number), "name": f"B{number}"} for number in range(20)]
    listings["me/businesses"] = [{"data": businesses}]
    edges = [name.partition("/")[2] for name in recorded_listings() if name.startswith(BUSINESS)]
    for business in businesses:
        listings |= {f"{business['id']}/{edge}": [{"data": []}] for edge in edges}
    graph = RecordedGraph(listings)
    pages = await discover(graph)
    assert len(latest(pages)) == 20
    assert all(page.error is None for page in pages)
    assert graph.http_calls == 1 + -(-20 * len(edges) // 50)


async def test_a_pages_own_token_finds_the_page_and_its_instagram_account() -> None:
    listings: dict[str, list[Any]] = {
        "me": [{"id": "153125381133", "name": "Harbour Bakery", "fan_count": 3}],
        "me#instagram": [{"id": "153125381133", "instagram_business_account": {"id": "178414", "username": "harbour"}}],
        "178414/connected_threads_user": [{"data": []}],
    }
    pages = await discover(RecordedGraph(listings), kind="page")
    assert sorted(latest(pages)) == ["instagram:178414", "page:153125381133"]
    assert all(page.error is None and not page.credentials for page in pages)


async def test_an_apps_token_has_no_assets() -> None:
    with pytest.raises(Rejected, match="app"):
        await discover(RecordedGraph(), kind="app")


@pytest.mark.parametrize(
    ("login", "host", "path", "answer", "ref"),
    [
        ("threads", "graph.threads.net", "/v1.0/me", {"id": "78901", "username": "harbour"}, "threads:78901"),
        (
            "instagram",
            "graph.instagram.com",
            "/v26.0/me",
            {"id": "66", "user_id": "17841405309211844", "username": "harbour"},
            "instagram:17841405309211844",
        ),
    ],
)
async def test_a_login_with_a_host_of_its_own_finds_its_one_account(
    login: str, host: str, path: str, answer: Any, ref: str
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.host, request.url.path) == ("GET", host, path)
        return httpx.Response(200, json=answer)

    credential = Credential("token", "4711", login=login)
    (page,) = await discover(handler, credential=credential)
    assert [(str(asset.ref), asset.name) for asset in page.assets] == [(ref, "harbour")]
    assert page.last


@pytest.mark.parametrize("login", ["threads", "instagram"])
@pytest.mark.parametrize("answer", [{}, {"id": "me"}, {"user_id": "x", "id": None}, {"data": []}])
async def test_an_answer_without_an_account_breaks_the_contract(login: str, answer: Any) -> None:
    with pytest.raises(ContractBroken):
        await discover(lambda _: httpx.Response(200, json=answer), credential=Credential("token", "4711", login=login))


def test_joining_two_sightings_loses_nothing_and_keeps_the_closest_parent() -> None:
    ref = AccountRef("instagram", "1")
    page, business = AccountRef("page", "2"), AccountRef("business", "3")
    by_business = Asset(ref, "x", {"a": 1}, business, business_id="3", ownership="owned")
    by_page = Asset(ref, None, {"b": 2}, page)
    for merged in (merge(by_business, by_page), merge(by_page, by_business)):
        assert merged == Asset(ref, "x", {"a": 1, "b": 2}, page, business_id="3", ownership="owned")
    owner = Asset(ref, "x", {}, AccountRef("business", "4"), business_id="4", ownership="owned")
    client = Asset(ref, "x", {}, business, business_id="3", ownership="client")
    assert merge(client, owner) == merge(owner, client) == owner
