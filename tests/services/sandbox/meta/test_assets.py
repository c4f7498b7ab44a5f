"""The world as the contract promises it: types, sizes, zones, who sees what, and lists that tell the truth."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e
TYPES = ("business", "page", "instagram", "threads", "ad_account", "pixel", "catalog", "whatsapp")
CHILDREN = {
    "ad_account": {"campaigns", "adsets", "ads", "adcreatives"},
    "page": {"posts"},
    "instagram": {"posts"},
    "threads": {"posts"},
}


def all_accounts(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    return [account for kind in TYPES for account in sandbox.accounts(kind)]


def test_there_are_accounts_of_all_types_and_of_no_other(sandbox: SandboxProcess) -> None:
    assert {account["type"] for account in sandbox.meta["accounts"]} == set(TYPES)
    for account in all_accounts(sandbox):
        assert set(account["children"]) == CHILDREN.get(account["type"], set())
        assert account["name"]
        assert account["status"]


@pytest.mark.parametrize("kind", CHILDREN)
def test_one_account_of_a_type_is_big_one_small_and_one_empty(sandbox: SandboxProcess, kind: str) -> None:
    counts = [sorted(account["children"].values()) for account in sandbox.accounts(kind)]
    assert all(110 <= count <= 300 for count in counts[0])
    assert any(all(1 <= count <= 4 for count in each) for each in counts[1:])
    assert any(not any(each) for each in counts[1:])


def test_the_biggest_accounts_are_in_utc_and_another_has_an_offset(sandbox: SandboxProcess) -> None:
    for kind in CHILDREN:
        assert sandbox.accounts(kind)[0]["timezone"] == "UTC"
    assert any(account["timezone"] != "UTC" for account in sandbox.accounts("ad_account"))
    assert {account["currency"] for account in sandbox.accounts("ad_account")} == {"USD", "AED"}


def test_parents_are_accounts_of_the_world(sandbox: SandboxProcess) -> None:
    known = {(account["type"], account["id"]) for account in all_accounts(sandbox)}
    for account in all_accounts(sandbox):
        if account["type"] == "business":
            assert account["parent"] is None
        else:
            assert (account["parent"]["type"], account["parent"]["id"]) in known


def test_every_type_has_accounts_that_tokens_see_and_one_that_none_sees(sandbox: SandboxProcess) -> None:
    seen = {(account["type"], account["id"]) for token in sandbox.meta["tokens"] for account in token["sees"]}
    for kind in TYPES:
        ids = {account["id"] for account in sandbox.accounts(kind)}
        unseen = {node_id for node_id in ids if (kind, node_id) not in seen}
        assert len(unseen) == 1
        assert ids - unseen


def test_half_of_accounts_and_campaigns_changed_within_two_days(sandbox: SandboxProcess) -> None:
    recent = datetime.fromisoformat(sandbox.world["now"]) - timedelta(days=2)
    for rows in (all_accounts(sandbox), *(sandbox.children(a, "campaigns") for a in sandbox.accounts("ad_account"))):
        changed = [row for row in rows if datetime.fromisoformat(row["updated_at"]) >= recent]
        assert 2 * len(changed) >= len(rows)
        assert all(row["created_at"] <= row["updated_at"] <= sandbox.world["now"] for row in rows)


@pytest.mark.parametrize("kind", ["page", "instagram", "threads"])
def test_posts_have_lifetime_counters_and_names(sandbox: SandboxProcess, kind: str) -> None:
    posts = sandbox.children(sandbox.accounts(kind)[0], "posts")
    assert all({"views", "likes", "comments", "shares"} <= row["totals"].keys() for row in posts)
    assert sum(row["totals"]["views"] for row in posts) > 1000
    assert all(row["name"] and row["parent"]["type"] == kind for row in posts)
    assert [row["created_at"] for row in posts] == sorted((row["created_at"] for row in posts), reverse=True)


@pytest.mark.parametrize(
    ("kind", "children", "numbers"),
    [
        ("ad_account", ("campaigns", "adsets", "ads", "adcreatives"), ("impressions", "clicks", "spend_micros")),
        ("page", ("posts",), ("views", "likes")),
        ("instagram", ("posts",), ("views", "likes")),
        ("threads", ("posts",), ("views", "likes")),
    ],
)
def test_daily_numbers_of_children_add_up_to_those_of_the_account(
    sandbox: SandboxProcess, kind: str, children: tuple[str, ...], numbers: tuple[str, ...]
) -> None:
    account = sandbox.accounts(kind)[0]
    until = datetime.fromisoformat(sandbox.world["now"]).date() - timedelta(days=1)
    days = {"since": str(until - timedelta(days=39)), "until": str(until)}
    path = f"/_sandbox/world/meta/{kind}/{account['id']}/metrics"
    whole = sandbox.client.get(path, params=days).raise_for_status().json()
    assert whole["count"] == 40
    for child in children:
        parts = sandbox.client.get(path, params={**days, "by": child}).raise_for_status().json()
        assert parts["count"] == 40 * account["children"][child]
        for number in numbers:
            assert sum(row[number] for row in parts["rows"]) == sum(row[number] for row in whole["rows"]) > 0


def test_a_posts_counters_are_the_sum_of_its_days(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    until = datetime.fromisoformat(sandbox.world["now"]).date() - timedelta(days=1)
    days = {"since": str(until - timedelta(days=400)), "until": str(until), "by": "posts"}
    rows = sandbox.client.get(f"/_sandbox/world/meta/page/{page['id']}/metrics", params=days).json()["rows"]
    sums: dict[str, list[int]] = {}
    for row in rows:
        views, likes = sums.get(row["id"], [0, 0])
        sums[row["id"]] = [views + row["views"], likes + row["likes"]]
    posts = sandbox.children(page, "posts")
    assert sums == {row["id"]: [row["totals"]["views"], row["totals"]["likes"]] for row in posts}


def test_a_large_world_has_the_same_types_and_a_hundred_times_as_much(sandbox: SandboxProcess) -> None:
    try:
        sandbox.reset(size="large")
        assert {account["type"] for account in sandbox.meta["accounts"]} == set(TYPES)
        assert sum(sum(account["children"].values()) for account in sandbox.meta["accounts"]) > 700_000
        biggest = sandbox.accounts("ad_account")[0]
        rows = sandbox.get(f"{biggest['id']}/ads", limit="3", fields="id,name").json()["data"]
        assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    finally:
        sandbox.reset(size="small")
