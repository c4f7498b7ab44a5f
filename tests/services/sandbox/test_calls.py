"""The log of calls: complete, in order, without secrets."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.sandbox import GRAPH, SandboxProcess

pytestmark = pytest.mark.e2e


def test_a_call_leaves_a_row_that_says_everything(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    sandbox.get(f"v26.0/{account}/campaigns", limit="3")
    (row,) = sandbox.calls()
    assert (row["seq"], row["via"], row["platform"], row["method"]) == (1, "prefix", "meta", "GET")
    assert (row["host"], row["path"]) == (GRAPH, f"/v26.0/{account}/campaigns")
    assert row["query"] == {"access_token": ["<access_token>"], "limit": ["3"]}
    assert row["operation"] == "meta.ad_account.campaigns"
    assert (row["token"], row["status"], row["fault"], row["parent"]) == ("user_main", 200, None, None)
    assert list(row["cost"].values()) == [1]
    assert next(iter(row["cost"])).startswith("ads_management:")


def test_each_item_of_a_batch_is_a_row_below_it(sandbox: SandboxProcess) -> None:
    second = sandbox.token("user_second")
    sandbox.results(
        [{"method": "GET", "relative_url": "me"}, {"method": "GET", "relative_url": f"v25.0/me?access_token={second}"}]
    )
    outer, first, other = sandbox.calls()
    assert (outer["operation"], outer["cost"], outer["parent"]) == ("meta.batch", {}, None)
    assert [row["parent"] for row in (first, other)] == [outer["seq"]] * 2
    assert [row["token"] for row in (first, other)] == ["user_main", "user_second"]
    assert other["query"] == {"access_token": ["<access_token>"]}
    assert other["path"] == "/v25.0/me"


def test_a_call_that_is_not_covered_is_a_row_without_an_operation(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    for answer in (
        sandbox.get(f"{account}/customaudiences"),
        sandbox.client.post(f"/{GRAPH}/{account}/customaudiences", data={"access_token": sandbox.token("user_main")}),
        sandbox.get("oauth/client_code"),
    ):
        assert answer.status_code == 501
        assert answer.json()["sandbox"]["covered"] is False
    assert [(row["status"], row["operation"]) for row in sandbox.calls()] == [(501, None)] * 3


def test_reading_on_from_a_mark_gives_what_came_since(sandbox: SandboxProcess) -> None:
    for _ in range(5):
        sandbox.get("me")
    read = sandbox.client.get("/_sandbox/calls", params={"limit": 2}).json()
    assert ([row["seq"] for row in read["calls"]], read["next"]) == ([1, 2], 2)
    read = sandbox.client.get("/_sandbox/calls", params={"since": 2}).json()
    assert ([row["seq"] for row in read["calls"]], read["next"]) == ([3, 4, 5], 5)
    mark = sandbox.client.get("/_sandbox/calls", params={"since": 10**9}).json()
    assert mark == {"next": 5, "calls": []}
    assert sandbox.client.get("/_sandbox/calls", params={"platform": "google"}).json() == {"next": 5, "calls": []}


def test_no_secret_is_in_the_log_of_calls(sandbox: SandboxProcess) -> None:
    secret = sandbox.token("user_second")
    sandbox.get("debug_token", token="app_main", input_token=secret)
    sandbox.get("me", strange=secret, appsecret_proof="0" * 64)
    sandbox.client.post(f"/{GRAPH}/", params={"batch": json.dumps([{"relative_url": f"me?access_token={secret}"}])})
    sandbox.results([{"method": "GET", "relative_url": f"me?x={secret}&access_token={sandbox.token('app_main')}"}])
    sandbox.get(secret)
    text = json.dumps(sandbox.calls())
    secrets = [token["access_token"] for token in sandbox.meta["tokens"]] + [
        app["secret"] for app in sandbox.meta["apps"]
    ]
    assert not [hidden for hidden in secrets if hidden in text]


def test_calls_to_the_sandbox_itself_are_no_rows(sandbox: SandboxProcess) -> None:
    sandbox.client.get("/_sandbox/world")
    sandbox.client.get("/_sandbox/nonsense")
    assert sandbox.calls() == []


def test_calls_side_by_side_each_get_a_row_and_are_each_paid_for(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    items = [{"method": "GET", "relative_url": account}] * 10
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sandbox.results(items), range(16)))
    assert [len(answer) for answer in answers] == [10] * 16
    rows = sandbox.calls()
    assert [row["seq"] for row in rows] == list(range(1, 16 * 11 + 1))
    assert {row["status"] for row in rows} == {200}
    assert sum(sum(row["cost"].values()) for row in rows) == 160
