"""Our client and batches against the sandbox, which shares no code with them: lists, owners, faults, budgets."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from libs.http.client import new_client
from libs.platforms.base import Credential, ItemDone, ItemFailed, OwnedCall
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.platforms.meta.batching import MetaBatching, call_batch
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.packing import Item
from libs.platforms.meta.settings import MetaSettings
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e
PAGE = 25


@pytest.fixture
async def graph(sandbox: SandboxProcess) -> AsyncIterator[GraphClient]:
    http = new_client(allowed_base_urls=[sandbox.url])
    secrets = {app["id"]: app["secret"] for app in sandbox.meta["apps"]}
    async with http:
        hosts = {
            "graph_url": sandbox.graph_url,
            "multi_get": True,
            "instagram_url": f"{sandbox.url}/graph.instagram.com",
            "threads_url": f"{sandbox.url}/graph.threads.net",
        }
        told = {**hosts, "app_secrets": secrets, "timeout_seconds": 10}
        yield GraphClient(http, MetaSettings.model_validate(told))


def credential(sandbox: SandboxProcess, token_id: str = "user_main") -> Credential:
    row = sandbox.token_row(token_id)
    return Credential(row["access_token"], row["app"])


def tokens(sandbox: SandboxProcess, **wanted: object) -> list[str]:
    """Ids of tokens with these properties that see the biggest ad account."""
    return [
        token["id"] for token in sandbox.meta["tokens"] if all(token[name] == value for name, value in wanted.items())
    ]


def ad_account(sandbox: SandboxProcess) -> dict[str, Any]:
    return sandbox.accounts("ad_account")[0]


async def test_a_list_of_many_pages_is_read_whole_and_once(graph: GraphClient, sandbox: SandboxProcess) -> None:
    account = ad_account(sandbox)
    truth = [row["id"] for row in sandbox.children(account, "campaigns")]
    params = {"fields": "id", "limit": str(PAGE)}
    pages = [
        page async for page in graph.pages("list", f"{account['id']}/campaigns", params, credential=credential(sandbox))
    ]
    assert [row["id"] for page in pages for row in page.items] == truth
    assert len(pages) == -(-len(truth) // PAGE) > 4
    assert len(sandbox.calls()) == len(pages)


@pytest.mark.parametrize(
    ("login", "token_id", "path", "kind"),
    [("threads", "threads_busy", "me/threads", "threads"), ("instagram", "instagram_busy", "me/media", "instagram")],
)
async def test_lists_of_other_logins_are_read_on_their_own_hosts(
    graph: GraphClient, sandbox: SandboxProcess, login: str, token_id: str, path: str, kind: str
) -> None:
    asker = replace(credential(sandbox, token_id), login=login)
    account = sandbox.accounts(kind)[0]
    truth = [row["id"] for row in sandbox.children(account, "posts")]
    params = {"fields": "id", "limit": str(PAGE)}
    found = [row["id"] async for page in graph.pages("list", path, params, credential=asker) for row in page.items]
    assert found == truth
    assert len(found) > PAGE
    assert {call["host"] for call in sandbox.calls()} == {
        f"graph.{'threads.net' if kind == 'threads' else 'instagram.com'}"
    }


async def test_more_objects_than_a_batch_has_slots_are_one_call_and_cost_one_unit_each(
    graph: GraphClient, sandbox: SandboxProcess
) -> None:
    account = ad_account(sandbox)
    asker = credential(sandbox)
    ids = [row["id"] for row in sandbox.children(account, "campaigns")][:80]
    items = [Item("get_object", each, {"fields": "id,name"}, asker) for each in [*ids, *ids[:5]]]
    lists = [
        Item("list_edge", f"{account['id']}/{edge}", {"fields": "id", "limit": "3"}, asker, is_list=True)
        for edge in ("campaigns", "adsets", "ads")
    ]
    outcome = await call_batch(graph, [*items, *lists])
    assert [item.outcome for item in outcome.items] == ["done"] * len(outcome.items)
    bodies = [item.body for item in outcome.items if isinstance(item, ItemDone)]
    assert [body["id"] for body in bodies[: len(items)]] == [item.path for item in items]
    assert [len(body["data"]) for body in bodies[len(items) :]] == [3, 3, 3]
    calls = sandbox.calls()
    assert len([call for call in calls if call["parent"] is None]) == 1


async def test_a_missing_object_that_was_asked_for_with_others_spoils_none_of_them(
    graph: GraphClient, sandbox: SandboxProcess
) -> None:
    asker = credential(sandbox)
    ids = [row["id"] for row in sandbox.children(ad_account(sandbox), "campaigns")][:60]
    items = [Item("get_object", each, {"fields": "id"}, asker) for each in [*ids, "999999999999"]]
    outcome = await call_batch(graph, items)
    last = outcome.items[-1]
    assert last.outcome in ("rejected", "not_attempted")
    again = [item for item, found in zip(items, outcome.items, strict=True) if found.outcome == "not_attempted"]
    second = (await call_batch(graph, again)).items if again else ()
    found = Counter(item.outcome for item in (*outcome.items, *second))
    assert found["done"] == len(ids)
    assert found["rejected"] == 1


async def test_each_owner_sees_only_what_is_theirs(graph: GraphClient, sandbox: SandboxProcess) -> None:
    batching = MetaBatching(graph)
    owners = tokens(sandbox, kind="user", state="valid")[:2]
    assert len(owners) == 2
    me = batching.plan("get_object", {"object_id": "me", "fields": ["id"]})
    outcome = await batching.execute_each([OwnedCall(credential(sandbox, owner), me) for owner in owners])
    seen = [item.body["id"] for item in outcome.items if isinstance(item, ItemDone)]
    assert seen == [sandbox.token_row(owner)["owner"]["id"] for owner in owners]
    items = [call for call in sandbox.calls() if call["parent"] is not None]
    assert [call["token"] for call in items] == owners


async def test_a_dead_token_of_one_owner_is_no_matter_of_the_others(
    graph: GraphClient, sandbox: SandboxProcess
) -> None:
    batching = MetaBatching(graph)
    owners = [tokens(sandbox, kind="user", state=state)[0] for state in ("expired", "valid", "revoked")]
    me = batching.plan("get_object", {"object_id": "me", "fields": ["id"]})
    outcome = await batching.execute_each([OwnedCall(credential(sandbox, owner), me) for owner in owners])
    expired, alive, revoked = outcome.items
    assert isinstance(alive, ItemDone)
    assert isinstance(expired, ItemFailed)
    assert isinstance(expired.error, AuthExpired)
    assert isinstance(revoked, ItemFailed)
    assert isinstance(revoked.error, AuthRevoked)


@pytest.mark.parametrize(
    ("kind", "args", "expected"),
    [
        ("server_error", {}, Unavailable),
        ("unavailable", {}, Unavailable),
        ("cut_before", {}, OutcomeUnknown),
        ("cut_after", {}, OutcomeUnknown),
        ("truncated", {"bytes": 5}, Unavailable),
        ("oversized", {}, OutcomeUnknown),
        ("token_expired", {}, AuthExpired),
        ("token_revoked", {}, AuthRevoked),
        ("permission_lost", {}, PermissionMissing),
        ("throttled", {"scope": "app"}, RateLimited),
    ],
)
async def test_a_fault_of_one_call_is_an_error_of_the_tree(
    graph: GraphClient, sandbox: SandboxProcess, kind: str, args: dict[str, Any], expected: type[Exception]
) -> None:
    sandbox.fault(kind, {}, times=1, args=args)
    with pytest.raises(expected):
        await graph.read("look", "me", {"fields": "id"}, credential=credential(sandbox))
    assert (await graph.read("look", "me", {"fields": "id"}, credential=credential(sandbox))).body["id"]


async def test_a_wrong_proof_is_our_own_settings_fault(sandbox: SandboxProcess) -> None:
    row = sandbox.token_row("user_main")
    async with new_client(allowed_base_urls=[sandbox.url]) as http:
        graph = GraphClient(http, MetaSettings.model_validate({"graph_url": sandbox.graph_url}))
        wrong = Credential(row["access_token"], row["app"], "a secret that is not the app's")
        with pytest.raises(Exception, match="appsecret_proof") as caught:
            await graph.read("look", "me", {"fields": "id"}, credential=wrong)
        assert type(caught.value).__name__ == "Misconfigured"


async def test_an_unknown_field_and_an_unknown_object_are_refused_in_metas_words(
    graph: GraphClient, sandbox: SandboxProcess
) -> None:
    for path, params in (("me", {"fields": "no_such_field"}), ("999999999999", {"fields": "id"})):
        with pytest.raises(Rejected) as caught:
            await graph.read("look", path, params, credential=credential(sandbox))
        assert (caught.value.platform_code or "").startswith("100")


async def test_usage_rises_with_what_is_read_and_is_told_of_the_budget_that_it_costs(
    graph: GraphClient, sandbox: SandboxProcess
) -> None:
    batching = MetaBatching(graph)
    asker = credential(sandbox, "user_limited")
    call = batching.plan("get_object", {"object_id": ad_account(sandbox)["id"], "fields": ["id"]})
    used: list[float] = []
    for _ in range(4):
        outcome = await batching.execute(asker, [call] * 50)
        (scope,) = {use.scope for use in batching.quota_uses(asker, [call]) if use.units}
        used.append(max(reading.used_fraction for reading in outcome.usage if reading.scope.subject == scope.subject))
    assert used == sorted(used)
    assert used[-1] > used[0]


async def test_a_slow_answer_is_given_up_within_our_time(sandbox: SandboxProcess) -> None:
    sandbox.fault("slow", {}, times=1, args={"seconds": 5})
    async with new_client(allowed_base_urls=[sandbox.url]) as http:
        graph = GraphClient(http, MetaSettings(graph_url=sandbox.graph_url, timeout_seconds=0.3))
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await graph.read("look", "me", {"fields": "id"}, credential=credential(sandbox))
        assert time.monotonic() - started < 3
