"""What our outcomes say of a batch's items, against what the sandbox knows to have happened."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.http.client import new_client
from libs.platforms.base import Credential, ItemFailed, Outcome
from libs.platforms.errors import RateLimited
from libs.platforms.meta.batching import call_batch
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.packing import Item
from libs.platforms.meta.settings import MetaSettings
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e
PAGE_TOKEN = "page_busy"
WRITES: dict[str, Any] = {
    "done": None,
    "unknown": {"args": {"null": True}},
    "rejected": {"args": {"code": 100, "subcode": 33, "status": 400}},
    "not_attempted": {"args": {"code": 32, "status": 400}},
}
"""Outcome of a write -> the fault that makes it."""


@pytest.fixture
async def graph(sandbox: SandboxProcess) -> AsyncIterator[GraphClient]:
    async with new_client(allowed_base_urls=[sandbox.url]) as http:
        yield GraphClient(http, MetaSettings(graph_url=sandbox.graph_url, multi_get=True, timeout_seconds=10))


def credential(sandbox: SandboxProcess, token_id: str = "user_main") -> Credential:
    row = sandbox.token_row(token_id)
    return Credential(row["access_token"], row["app"], sandbox.app(row["app"])["secret"])


def post_of(sandbox: SandboxProcess, number: int) -> Item:
    page = sandbox.token_row(PAGE_TOKEN)["owner"]["id"]
    return Item("publish", f"{page}/feed", {"message": f"post {number}"}, credential(sandbox, PAGE_TOKEN), "POST")


def messages(sandbox: SandboxProcess) -> list[str]:
    """What the page's posts of this test say, by the sandbox's own truth."""
    owner = sandbox.token_row(PAGE_TOKEN)["owner"]["id"]
    page = next(account for account in sandbox.accounts("page") if account["id"] == owner)
    return [row["name"] for row in sandbox.children(page, "posts") if row["name"].startswith("post ")]


@pytest.mark.parametrize("seed", range(6))
async def test_any_mix_of_reads_ends_as_the_sandbox_made_it_end(
    graph: GraphClient, sandbox: SandboxProcess, seed: int
) -> None:
    drawn = random.Random(seed)
    asker = credential(sandbox)
    campaigns = [row["id"] for row in sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")]
    items: list[Item] = []
    expected: list[Outcome] = []
    for index in range(drawn.randint(2, 50)):
        fate = drawn.choice(["done", "missing", "field", "null", "aborted", "throttled", "done"])
        path = "999999999999" if fate == "missing" else drawn.choice(campaigns)
        fields = "no_such_field" if fate == "field" else "id,name"
        items.append(Item("get_object", path, {"fields": fields}, asker))
        faults = {"null": {"null": True}, "aborted": {"code": 960, "status": 500}, "throttled": {"code": 17}}
        if fate in faults:
            sandbox.fault("item_error", {"item": index}, times=1, args=faults[fate])
        expected.append("done" if fate == "done" else "rejected" if fate in ("missing", "field") else "not_attempted")
    outcome = await call_batch(graph, items)
    assert [item.outcome for item in outcome.items] == expected
    rows = [call for call in sandbox.calls() if call["parent"] is not None]
    assert len(rows) == len(items)


async def test_every_write_ends_as_the_sandbox_made_it_end(graph: GraphClient, sandbox: SandboxProcess) -> None:
    wanted = ["done", "unknown", "rejected", "done", "not_attempted", "done"]
    for index, outcome in enumerate(wanted):
        if WRITES[outcome] is not None:
            sandbox.fault("item_error", {"item": index}, times=1, **WRITES[outcome])
    found = await call_batch(graph, [post_of(sandbox, index) for index in range(len(wanted))])
    assert [item.outcome for item in found.items] == wanted
    throttled = found.items[4]
    assert isinstance(throttled, ItemFailed)
    assert isinstance(throttled.error, RateLimited)
    certain = {f"post {index}" for index, outcome in enumerate(wanted) if outcome == "done"}
    impossible = {f"post {index}" for index, outcome in enumerate(wanted) if outcome in ("rejected", "not_attempted")}
    assert certain <= set(messages(sandbox))
    assert not impossible & set(messages(sandbox))


@pytest.mark.parametrize(("kind", "happened"), [("cut_before", 0), ("cut_after", 2), ("truncated", 2)])
async def test_writes_whose_answer_is_lost_are_unknown_whether_they_happened_or_not(
    graph: GraphClient, sandbox: SandboxProcess, kind: str, happened: int
) -> None:
    args = {"bytes": 30} if kind == "truncated" else {}
    sandbox.fault(kind, {"method": "POST", "path": "^/v26.0/$"}, times=1, args=args)
    outcome = await call_batch(graph, [post_of(sandbox, 1), post_of(sandbox, 2)])
    assert [item.outcome for item in outcome.items] == ["unknown", "unknown"]
    assert len(messages(sandbox)) == happened


async def test_a_write_that_nobody_could_be_reached_for_did_not_happen(sandbox: SandboxProcess) -> None:
    async with new_client(allowed_base_urls=["http://127.0.0.1:9"]) as http:
        graph = GraphClient(http, MetaSettings(graph_url="http://127.0.0.1:9", timeout_seconds=5))
        outcome = await call_batch(graph, [post_of(sandbox, 1)])
    assert [item.outcome for item in outcome.items] == ["not_attempted"]
    assert messages(sandbox) == []
