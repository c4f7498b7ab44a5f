"""The batcher and the sandbox, which shares no code with our client: what is sent, counted and answered."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.http.client import new_client
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.registry import PlatformSettings, build_platforms
from tests.support.batcher import Bench, open_bench
from tests.support.databases import ServiceDatabase
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.db
TOKEN_ID = "user_main"


@pytest.fixture
async def bench(
    batcher_database: ServiceDatabase, valkey_url: str, sandbox: SandboxProcess, tmp_path: Path
) -> AsyncIterator[Bench]:
    http = new_client(allowed_base_urls=[sandbox.url])
    app = sandbox.app(sandbox.token_row(TOKEN_ID)["app"])
    meta = MetaSettings.model_validate(
        {"graph_url": sandbox.graph_url, "app_secrets": {app["id"]: app["secret"]}, "timeout_seconds": 10}
    )
    platforms = build_platforms(http, PlatformSettings(meta=meta))
    async with http, open_bench(batcher_database, valkey_url, tmp_path, platforms=platforms) as opened:
        opened.app_id = app["id"]
        yield opened


def campaigns(sandbox: SandboxProcess, count: int) -> list[str]:
    return [str(item["id"]) for item in sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")][:count]


async def due_again(bench: Bench) -> None:
    await bench.run("UPDATE calls SET due_at = now() WHERE status = 'pending'")


async def test_200_asks_for_as_few_objects_as_there_are_cost_one_unit_each(
    bench: Bench, sandbox: SandboxProcess
) -> None:
    objects = campaigns(sandbox, 120)
    assert len(objects) > 100
    await bench.connect(token=sandbox.token(TOKEN_ID))
    await bench.run("INSERT INTO paused_platforms (platform, paused_by) VALUES ('meta', 'test')")
    asked = await bench.ask(*objects, *objects[: 200 - len(objects)])
    await bench.run("DELETE FROM paused_platforms")
    await bench.flush()
    await bench.work()
    calls = sandbox.calls()
    assert len([call for call in calls if call["parent"] is None]) == -(-len(objects) // 50)
    assert len([call for call in calls if call["parent"] is not None]) == len(objects)
    assert all(call["status"] == 200 for call in calls)
    results = await bench.results()
    assert Counter(result["request_id"] for result in results) == Counter(map(str, asked))
    by_request = {result["request_id"]: result["result"]["id"] for result in results}
    assert [by_request[str(request_id)] for request_id in asked] == [*objects, *objects[: 200 - len(objects)]]
    (ledger,) = await bench.fetch("SELECT sum(units) AS units FROM quota_ledger")
    assert ledger["units"] == len(objects)
    readings = await bench.fetch("SELECT scope FROM quota_ledger WHERE used_fraction IS NOT NULL")
    assert readings, "the items' own headers tell how much is used"


async def test_a_campaigns_reads_cost_its_ad_accounts_budget_once_an_answer_or_the_caller_named_it(
    bench: Bench, sandbox: SandboxProcess
) -> None:
    account = str(sandbox.accounts("ad_account")[0]["id"]).removeprefix("act_")
    one, other = campaigns(sandbox, 2)
    await bench.connect(token=sandbox.token(TOKEN_ID))
    spent = "SELECT scope, subject, sum(units)::int AS units FROM quota_ledger WHERE units > 0 GROUP BY 1, 2 ORDER BY 1"
    await bench.ask(one, max_wait_seconds=0)
    await bench.work()
    assert [row["scope"] for row in await bench.fetch(spent)] == ["user"]
    await bench.ask(one, params={"object_id": one, "fields": ["name"]}, max_wait_seconds=0)
    named = {"object_id": other, "fields": ["name"], "account_id": f"act_{account}"}
    await bench.ask(other, params=named, max_wait_seconds=0)
    await bench.work()
    ads, user = await bench.fetch(spent)
    assert tuple(ads.values()) == ("ads_management", account, 2)
    assert (user["scope"], user["units"]) == ("user", 1)
    assert await bench.statuses() == {"completed": 3}


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("cut_after", {}),
        ("cut_before", {}),
        ("server_error", {}),
        ("truncated", {"bytes": 40}),
        ("oversized", {}),
    ],
)
async def test_a_damaged_answer_is_read_again_and_answered_once(
    bench: Bench, sandbox: SandboxProcess, kind: str, args: dict[str, Any]
) -> None:
    await bench.connect(token=sandbox.token(TOKEN_ID))
    sandbox.fault(kind, {"method": "POST"}, times=1, args=args)
    asked = await bench.ask(*campaigns(sandbox, 3), max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"pending": 3}, "the fault has hit"
    await due_again(bench)
    await bench.work()
    results = await bench.results()
    assert Counter(result["request_id"] for result in results) == Counter(map(str, asked))
    assert {result["type"] for result in results} == {"api_request.completed.v1"}


async def test_an_answer_is_read_by_what_it_holds_not_by_its_content_type(
    bench: Bench, sandbox: SandboxProcess
) -> None:
    await bench.connect(token=sandbox.token(TOKEN_ID))
    sandbox.fault("wrong_content_type", {"method": "POST"}, times=1)
    await bench.ask(*campaigns(sandbox, 1), max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"completed": 1}


async def test_items_that_fail_or_are_null_leave_the_others_alone(bench: Bench, sandbox: SandboxProcess) -> None:
    await bench.connect(token=sandbox.token(TOKEN_ID))
    sandbox.fault("item_error", {"item": 0}, times=1, args={"null": True})
    sandbox.fault("item_error", {"item": 1}, times=1, args={"code": 100, "subcode": 33, "status": 400})
    await bench.ask(*campaigns(sandbox, 4), max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"completed": 2, "failed": 1, "pending": 1}
    await due_again(bench)
    await bench.work()
    assert await bench.statuses() == {"completed": 3, "failed": 1}
    failed = [result for result in await bench.results() if result["type"] == "api_request.failed.v1"]
    assert [result["error"]["platform_code"] for result in failed] == ["100/33"]


async def test_a_throttle_waits_as_long_as_the_headers_say(bench: Bench, sandbox: SandboxProcess) -> None:
    await bench.connect(token=sandbox.token(TOKEN_ID))
    sandbox.fault("throttled", {"method": "GET"}, times=None, args={"scope": "ads_management", "minutes": 7})
    await bench.ask(*campaigns(sandbox, 2), max_wait_seconds=0)
    await bench.work()
    held = await bench.fetch(
        "SELECT attempts, held_for, due_at - now() BETWEEN interval '6 min' AND interval '7 min' AS late FROM calls"
    )
    assert [tuple(row.values()) for row in held] == [(0, "quota", True)] * 2
    assert await bench.results() == []


async def test_an_expired_token_waits_until_a_newer_one_is_published(bench: Bench, sandbox: SandboxProcess) -> None:
    expired = next(token for token in sandbox.meta["tokens"] if token["state"] == "expired" and token["kind"] == "user")
    await bench.connect(token=expired["access_token"])
    await bench.ask(*campaigns(sandbox, 2), max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"pending": 2}
    await bench.connect(version=2, token=sandbox.token(TOKEN_ID))
    await bench.work()
    assert await bench.statuses() == {"completed": 2}


async def test_an_object_that_nobody_sees_is_refused_with_metas_words(bench: Bench, sandbox: SandboxProcess) -> None:
    await bench.connect(token=sandbox.token(TOKEN_ID))
    await bench.ask("999999999999", max_wait_seconds=0)
    await bench.work()
    (result,) = await bench.results()
    assert result["error"]["code"] == "rejected"
    assert result["error"]["platform_code"] == "100/33"


async def test_ad_accounts_are_listed_without_the_token_in_their_paging(bench: Bench, sandbox: SandboxProcess) -> None:
    token = sandbox.token(TOKEN_ID)
    await bench.connect(token=token)
    params = {"fields": ["name", "account_status"], "limit": 1}
    await bench.ask("me", request_type="get_ad_accounts", params=params, max_wait_seconds=0)
    await bench.work()
    (result,) = await bench.results()
    assert result["result"]["data"][0]["id"].startswith("act_")
    assert token not in str(result)


async def read_list(bench: Bench, object_id: str, edge: str, **params: Any) -> list[dict[str, Any]]:
    """Ask for the pages of a list one after the other, each by the cursor that the result before it named."""
    pages: list[dict[str, Any]] = []
    wanted = {"object_id": object_id, "edge": edge, "fields": ["id"], **params}
    while True:
        (request_id,) = await bench.ask(object_id, request_type="list_edge", params=wanted, max_wait_seconds=0)
        await bench.work()
        (page,) = [each["result"] for each in await bench.results() if each["request_id"] == str(request_id)]
        pages.append(page)
        if "next" not in page.get("paging", {}):
            return pages
        wanted["after"] = page["paging"]["cursors"]["after"]


async def test_a_list_is_read_page_by_page_and_each_page_costs_one_unit(bench: Bench, sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    await bench.connect(token=sandbox.token(TOKEN_ID))
    pages = await read_list(bench, account["id"], "campaigns", limit=50)
    truth = [item["id"] for item in sandbox.children(account, "campaigns")]
    assert [row["id"] for page in pages for row in page["data"]] == truth
    assert len(pages) == -(-len(truth) // 50) > 1
    (ledger,) = await bench.fetch(
        "SELECT scope, subject, sum(units)::int AS units FROM quota_ledger WHERE units > 0 GROUP BY 1, 2"
    )
    assert tuple(ledger.values()) == ("ads_management", account["id"].removeprefix("act_"), len(pages))


async def test_every_list_of_assets_is_one_read_of_one_call(bench: Bench, sandbox: SandboxProcess) -> None:
    await bench.connect(token=sandbox.token(TOKEN_ID))
    sees = {(each["type"], each["id"]) for each in sandbox.token_row(TOKEN_ID)["sees"]}
    (business,) = [account_id for kind, account_id in sees if kind == "business"]
    lists = {
        **{("me", edge): kind for edge, kind in (("accounts", "page"), ("adaccounts", "ad_account"))},
        ("me", "businesses"): "business",
        (business, "owned_pixels"): "pixel",
        (business, "owned_product_catalogs"): "catalog",
        (business, "owned_whatsapp_business_accounts"): "whatsapp",
        (business, "instagram_accounts"): "instagram",
    }
    asked = {}
    for (whose, edge), kind in lists.items():
        params = {"object_id": whose, "edge": edge, "fields": ["id", "name"]}
        (request_id,) = await bench.ask(whose, request_type="list_edge", params=params)
        asked[str(request_id)] = kind
    await bench.flush()
    await bench.work()
    found = {
        (asked[result["request_id"]], row["id"]) for result in await bench.results() for row in result["result"]["data"]
    }
    assert found == {(kind, account_id) for kind, account_id in sees if kind != "threads"}
    assert len([call for call in sandbox.calls() if call["parent"] is None]) == 1
    (ledger,) = await bench.fetch("SELECT sum(units)::int AS units FROM quota_ledger")
    assert ledger["units"] == len(lists)


async def test_insights_cost_the_accounts_budget_of_insights_and_add_up(bench: Bench, sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    await bench.connect(token=sandbox.token(TOKEN_ID))
    reads: list[dict[str, Any]] = [
        {"fields": ["impressions"]},
        {"fields": ["impressions"], "level": "campaign", "limit": 500},
    ]
    for params in reads:
        params |= {"object_id": account, "date_preset": "last_7d"}
        await bench.ask(account, request_type="get_insights", params=params, max_wait_seconds=0)
    await bench.work()
    whole, by_campaign = (result["result"]["data"] for result in await bench.results())
    assert len(whole) == 1 < len(by_campaign)
    assert int(whole[0]["impressions"]) == sum(int(row["impressions"]) for row in by_campaign) > 0
    spent = await bench.fetch(
        "SELECT scope, subject, sum(units)::int AS units FROM quota_ledger WHERE units > 0 GROUP BY 1, 2"
    )
    assert [tuple(row.values()) for row in spent] == [("ads_insights", account.removeprefix("act_"), 2)]


async def test_a_cursor_that_makes_no_sense_is_refused_and_not_tried_again(
    bench: Bench, sandbox: SandboxProcess
) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    await bench.connect(token=sandbox.token(TOKEN_ID))
    params = {"object_id": account, "edge": "ads", "fields": ["id"], "after": "bm9fY3Vyc29y"}
    await bench.ask(account, request_type="list_edge", params=params, max_wait_seconds=0)
    await bench.work()
    (result,) = await bench.results()
    assert (result["type"], result["error"]["code"]) == ("api_request.failed.v1", "rejected")
