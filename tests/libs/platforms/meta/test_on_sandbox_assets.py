"""Our discovery against the sandbox's world: what a token sees is found whole, whatever fails beside it."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from libs.http.client import new_client
from libs.platforms.base import Asset, AssetPage, Assets, Credential
from libs.platforms.errors import AuthRevoked, OutcomeUnknown, PermissionMissing, RateLimited, Unavailable
from libs.platforms.meta import build_platform
from tests.support.meta_graph import settings_for
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e


@pytest.fixture
async def assets(sandbox: SandboxProcess) -> AsyncIterator[Assets]:
    async with new_client(allowed_base_urls=[sandbox.url]) as http:
        found = build_platform(http, settings_for(sandbox)).assets
        assert found is not None
        yield found


async def discover(assets: Assets, sandbox: SandboxProcess, token_id: str = "user_main") -> list[AssetPage]:
    row = sandbox.token_row(token_id)
    login = {"graph.instagram.com": "instagram", "graph.threads.net": "threads"}.get(row["host"])
    credential = Credential(row["access_token"], row["app"], login=login)
    return [page async for page in assets.discover(credential, kind=row["kind"])]


def latest(pages: Sequence[AssetPage]) -> dict[str, Asset]:
    return {str(asset.ref): asset for page in pages for asset in page.assets}


def world(sandbox: SandboxProcess) -> dict[str, dict[str, Any]]:
    return {f"{account['type']}:{account['id']}": account for account in sandbox.meta["accounts"]}


def seen_by(sandbox: SandboxProcess, token_id: str) -> set[str]:
    return {f"{account['type']}:{account['id']}" for account in sandbox.token_row(token_id)["sees"]}


@pytest.mark.parametrize("token_id", ["user_main", "user_second", "system_main", "system_agency", "user_limited"])
async def test_all_that_a_token_sees_is_found_and_nothing_else_but_profiles_of_threads(
    assets: Assets, sandbox: SandboxProcess, token_id: str
) -> None:
    pages = await discover(assets, sandbox, token_id)
    assert [(page.listing, page.error) for page in pages if page.error is not None] == []
    found, seen = latest(pages), seen_by(sandbox, token_id)
    assert seen <= set(found)
    assert {ref.partition(":")[0] for ref in set(found) - seen} <= {"threads"}
    assert {asset.ref.type for asset in found.values()} == set(assets.types)
    truth = world(sandbox)
    for ref, asset in found.items():
        assert ref in truth
        if asset.ref.type != "threads":  # of which only id and picture can be seen from Instagram
            assert asset.name


async def test_parents_are_those_of_the_world(assets: Assets, sandbox: SandboxProcess) -> None:
    truth, found = world(sandbox), latest(await discover(assets, sandbox, "system_agency"))
    for ref, asset in found.items():
        if asset.ref.type == "instagram":  # the world names its business; we name the page that owns it
            assert asset.parent is not None
            assert asset.parent.type == "page"
            assert f"business:{asset.business_id}" == f"business:{truth[ref]['parent']['id']}"
            continue
        above = truth[ref]["parent"]
        expected = f"{above['type']}:{above['id']}" if above else None
        assert str(asset.parent) == str(expected), ref


async def test_pages_have_their_own_tokens_and_no_other_asset_has(assets: Assets, sandbox: SandboxProcess) -> None:
    pages = await discover(assets, sandbox)
    tokens = {str(each.asset): each.access_token for page in pages for each in page.credentials}
    assert set(tokens) == {ref for ref in seen_by(sandbox, "user_main") if ref.startswith("page:")}
    busy = sandbox.token_row("page_busy")
    assert sandbox.get(f"{busy['owner']['id']}", token=None, access_token=tokens[f"page:{busy['owner']['id']}"],
                       fields="id").status_code == 200  # fmt: skip
    public = json.dumps([dict(asset.data) for page in pages for asset in page.assets])
    assert not any(secret in public for secret in [*tokens.values(), *sandbox.secrets()])


async def test_ad_accounts_say_what_they_are(assets: Assets, sandbox: SandboxProcess) -> None:
    found = latest(await discover(assets, sandbox))
    for account in sandbox.accounts("ad_account"):
        asset = found.get(f"ad_account:{account['id']}")
        if asset is None:
            continue
        assert asset.data["currency"] == account["currency"]
        assert asset.data["timezone_name"] == account["timezone"]
        assert asset.ownership == "owned"


@pytest.mark.parametrize(
    ("token_id", "types"),
    [
        ("page_busy", {"page", "instagram", "threads"}),
        ("instagram_busy", {"instagram"}),
        ("threads_busy", {"threads"}),
        ("user_newcomer", set()),
    ],
)
async def test_narrower_tokens_find_what_is_theirs(
    assets: Assets, sandbox: SandboxProcess, token_id: str, types: set[str]
) -> None:
    found = latest(await discover(assets, sandbox, token_id))
    assert {asset.ref.type for asset in found.values()} == types
    if types:
        owner = sandbox.token_row(token_id)["owner"]
        assert f"{owner['type']}:{owner['id']}" in found


async def test_a_token_without_most_scopes_still_finds_its_pages(assets: Assets, sandbox: SandboxProcess) -> None:
    pages = await discover(assets, sandbox, "user_narrow")
    found = latest(pages)
    assert {ref for ref in seen_by(sandbox, "user_narrow") if ref.startswith("page:")} <= set(found)
    errors = {page.listing: page.error for page in pages if page.error is not None}
    assert {"me/businesses", "me/adaccounts"} <= set(errors)
    assert "me/accounts" not in errors
    direct = {name: error for name, error in errors.items() if name.startswith("me/")}
    assert all(isinstance(error, PermissionMissing) for error in direct.values())
    # What lies deeper is refused as if it did not exist.
    assert {name.rpartition("/")[2] for name in set(errors) - set(direct)} <= {"connected_threads_user"}
    assert all(asset.ownership is None for asset in found.values())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("item_error", Unavailable), ("throttled", RateLimited), ("permission_lost", PermissionMissing)],
)
async def test_what_fails_in_one_listing_hides_no_other(
    assets: Assets, sandbox: SandboxProcess, fault: str, expected: type[Exception]
) -> None:
    whole = latest(await discover(assets, sandbox))
    sandbox.fault(fault, {"path": "owned_product_catalogs"})
    pages = await discover(assets, sandbox)
    (failed,) = [page for page in pages if page.error is not None]
    assert failed.listing.endswith("/owned_product_catalogs")
    assert isinstance(failed.error, expected)
    missing = set(whole) - set(latest(pages))
    assert missing
    assert {ref.partition(":")[0] for ref in missing} == {"catalog"}


async def test_a_listing_that_fails_once_is_asked_again(assets: Assets, sandbox: SandboxProcess) -> None:
    whole = latest(await discover(assets, sandbox))
    sandbox.fault("item_error", {"path": "me/accounts|owned_pixels"}, times=2)
    pages = await discover(assets, sandbox)
    assert latest(pages) == whole
    assert all(page.error is None for page in pages)


async def test_a_token_that_is_revoked_on_the_way_ends_the_discovery(assets: Assets, sandbox: SandboxProcess) -> None:
    sandbox.fault("token_revoked", {"path": "owned_pages"})
    with pytest.raises(AuthRevoked):
        await discover(assets, sandbox)


@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "truncated", "server_error"])
async def test_a_batch_without_an_answer_ends_the_discovery(
    assets: Assets, sandbox: SandboxProcess, fault: str
) -> None:
    sandbox.fault(fault, {"method": "POST"}, args={"bytes": 50} if fault == "truncated" else {})
    with pytest.raises((OutcomeUnknown, Unavailable)):
        await discover(assets, sandbox)


async def test_the_calls_of_a_discovery_are_few_and_all_reads(assets: Assets, sandbox: SandboxProcess) -> None:
    await discover(assets, sandbox, "system_agency")
    rows = sandbox.calls()
    batches = [row for row in rows if row["parent"] is None]
    assert all(row["method"] == "GET" for row in rows if row["parent"] is not None)
    assert all(row["operation"] is not None for row in rows), "the sandbox covers every listing"
    assert len(batches) <= 6
