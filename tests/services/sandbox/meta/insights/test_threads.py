"""Insights of Threads accounts and posts, on their own host with their own tokens."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e


def threads_token(sandbox: SandboxProcess) -> dict[str, Any]:
    account = sandbox.accounts("threads")[0]["id"]
    return next(
        token
        for token in sandbox.meta["tokens"]
        if token["owner"] == {"type": "threads", "id": account} and token["state"] == "valid"
    )


def ask(sandbox: SandboxProcess, path: str, **params: str) -> httpx.Response:
    secret = threads_token(sandbox)["access_token"]
    return sandbox.client.get(f"/graph.threads.net/v1.0/{path}", params={"access_token": secret, **params})


def test_views_come_by_day_and_the_others_as_totals(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("threads")[0]
    now = datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"])
    end = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = end - timedelta(days=4)
    answer = ask(
        sandbox,
        "me/threads_insights",
        metric="views,likes,followers_count,clicks",
        since=str(int(begin.timestamp())),
        until=str(int(end.timestamp())),
    )
    assert answer.status_code == 200, answer.text
    entries = {entry["name"]: entry for entry in answer.json()["data"]}
    query = {"since": begin.date().isoformat(), "until": (end - timedelta(days=1)).date().isoformat()}
    path = f"/_sandbox/world/meta/threads/{account['id']}/metrics"
    true = sandbox.client.get(path, params=query).json()["rows"]
    assert [value["value"] for value in entries["views"]["values"]] == [row["views"] for row in true]
    assert entries["likes"]["total_value"]["value"] == sum(row["likes"] for row in true)
    assert sum(link["value"] for link in entries["clicks"]["link_total_values"]) == sum(row["clicks"] for row in true)
    assert entries["followers_count"]["total_value"]["value"] > 0


def test_a_posts_lifetime_is_what_the_world_counts(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("threads")[0]
    for post in sandbox.children(account, "posts")[3:6]:
        answer = ask(sandbox, f"{post['id']}/insights", metric="views,likes,replies,shares")
        assert answer.status_code == 200, answer.text
        values = [entry["values"][0]["value"] for entry in answer.json()["data"]]
        totals = post["totals"]
        assert values == [totals["views"], totals["likes"], totals["comments"], totals["shares"]]


def test_wrong_metrics_and_demographics_without_a_breakdown_are_refused(sandbox: SandboxProcess) -> None:
    for params in ({"metric": "colour"}, {"metric": "follower_demographics"}):
        assert ask(sandbox, "me/threads_insights", **params).json()["error"]["code"] == 100
    assert ask(sandbox, "me/threads_insights").json()["error"]["code"] == 3001
    [entry] = ask(sandbox, "me/threads_insights", metric="follower_demographics", breakdown="age").json()["data"]
    assert entry["total_value"]["breakdowns"][0]["dimension_keys"] == ["age"]
