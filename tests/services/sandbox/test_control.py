"""`/_sandbox/`: the world and its truth, clock, limits, reset, refusals."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e


def test_the_world_holds_what_tests_need(sandbox: SandboxProcess) -> None:
    meta = sandbox.meta
    assert sandbox.world["contract"] == 1
    assert "graph.facebook.com" in meta["hosts"]
    assert meta["api_versions"] == {
        "current": "v26.0",
        "supported": ["v25.0", "v26.0"],
        "retired": ["v22.0", "v23.0", "v24.0"],
    }
    valid = {token["kind"] for token in meta["tokens"] if token["state"] == "valid"}
    assert valid == {"user", "system_user", "page", "app"}
    assert {"expired", "revoked"} <= {token["state"] for token in meta["tokens"]}
    seen = {(account["type"], account["id"]) for token in meta["tokens"] for account in token["sees"]}
    for kind in ("business", "page", "instagram", "ad_account"):
        assert [a for a in sandbox.accounts(kind) if (kind, a["id"]) not in seen], f"every {kind} is seen by a token"


def test_the_accounts_are_as_big_as_size_small_says(sandbox: SandboxProcess) -> None:
    biggest, *others = sandbox.accounts("ad_account")
    assert all(110 <= count <= 300 for count in biggest["children"].values())
    assert biggest["timezone"] == "UTC"
    assert any(account["timezone"] != "UTC" for account in others)
    assert any(all(1 <= count <= 4 for count in account["children"].values()) for account in others)
    assert any(sum(account["children"].values()) == 0 for account in others)


def test_children_are_the_counts_of_the_world_and_all_adds_what_lists_leave_out(sandbox: SandboxProcess) -> None:
    for account in sandbox.accounts("ad_account") + sandbox.accounts("page") + sandbox.accounts("instagram"):
        for child, count in account["children"].items():
            assert len(sandbox.children(account, child)) == count
    biggest = sandbox.accounts("ad_account")[0]
    everything = sandbox.children(biggest, "campaigns", all="true")
    gone = {row["status"] for row in everything} - {row["status"] for row in sandbox.children(biggest, "campaigns")}
    assert gone == {"ARCHIVED", "DELETED"}


def test_the_parent_is_the_object_directly_above(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    adsets = {row["id"] for row in sandbox.children(account, "adsets", all="true")}
    parents = {(row["parent"]["type"], row["parent"]["id"] in adsets) for row in sandbox.children(account, "ads")}
    assert parents == {("adset", True)}


def test_parts_of_the_path_are_percent_encoded(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("page")[0]
    page, count = account["id"], account["children"]["posts"]
    encoded = sandbox.client.get(f"/_sandbox/world/meta/p%61ge/%{ord(page[0]):x}{page[1:]}/po%73ts")
    assert encoded.json()["count"] == count
    assert sandbox.client.get(f"/_sandbox/world/meta/page/{page}%2Fposts/posts").status_code == 404


def test_daily_numbers_of_children_are_those_of_the_account(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    today = datetime.fromisoformat(sandbox.world["now"]).date()
    query = {"since": str(today - timedelta(days=40)), "until": str(today - timedelta(days=1))}
    path = f"/_sandbox/world/meta/ad_account/{account['id']}/metrics"
    whole = sandbox.client.get(path, params=query).json()
    assert whole["count"] == len(whole["rows"]) == 40
    assert set(whole["rows"][0]) >= {"id", "date", "impressions", "clicks", "spend_micros"}
    for child in ("campaigns", "adsets", "ads"):
        rows = sandbox.client.get(path, params={**query, "by": child}).json()["rows"]
        assert len(rows) >= 40 * account["children"][child], "rows of zeros are missing"
        for number in ("impressions", "clicks", "spend_micros"):
            assert sum(row[number] for row in rows) == sum(row[number] for row in whole["rows"])
    assert sandbox.client.get(path, params={**query, "by": "nonsense"}).status_code == 404


def test_more_daily_numbers_than_can_be_written_at_once_are_asked_for_in_parts(sandbox: SandboxProcess) -> None:
    sandbox.reset(size="large")
    account = sandbox.accounts("ad_account")[0]
    path = f"/_sandbox/world/meta/ad_account/{account['id']}/metrics"
    today = datetime.fromisoformat(sandbox.world["now"]).date()
    month = {"since": str(today - timedelta(days=31)), "until": str(today - timedelta(days=1))}
    refused = sandbox.client.get(path, params={**month, "by": "ads"})
    assert (refused.status_code, "fewer days" in refused.json()["error"]) == (413, True)
    assert sandbox.client.get(path, params=month).json()["count"] == 31
    sandbox.reset(size="small")


def test_half_of_what_there_is_changed_within_two_days(sandbox: SandboxProcess) -> None:
    now = datetime.fromisoformat(sandbox.world["now"])
    campaigns = sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")
    for rows in (sandbox.meta["accounts"], campaigns):
        recent = [row for row in rows if datetime.fromisoformat(row["updated_at"]) >= now - timedelta(days=2)]
        assert len(recent) * 2 >= len(rows)
        assert all(row["created_at"] <= row["updated_at"] <= sandbox.world["now"] for row in rows)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/_sandbox/nonsense", 404),
        ("/_sandbox/world/meta/ad_account/act_1/campaigns", 404),
        ("/_sandbox/world/meta/page/{page}/nonsense", 404),
        ("/_sandbox/world/nobody/page/1/posts", 404),
        ("/_sandbox/world/meta/ad_account/{account}/metrics", 400),
        ("/_sandbox/world/meta/ad_account/{account}/metrics?since=2026-01-02&until=2026-01-01", 400),
        ("/_sandbox/world/meta/ad_account/{account}/metrics?since=2020-01-01&until=2026-01-01", 400),
        ("/_sandbox/world/meta/ad_account/{account}/metrics?since=yesterday&until=2026-01-01", 400),
        ("/_sandbox/calls?since=-1", 400),
        ("/_sandbox/calls?limit=many", 400),
    ],
)
def test_what_cannot_be_served_says_why(sandbox: SandboxProcess, path: str, status: int) -> None:
    filled = path.format(page=sandbox.accounts("page")[0]["id"], account=sandbox.accounts("ad_account")[0]["id"])
    answer = sandbox.client.get(filled)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("noun", "body"),
    [
        ("faults", {"platform": "meta", "kind": "nonsense"}),
        ("faults", {"platform": "meta", "kind": "stale", "args": {"seconds": -1}}),
        ("faults", {"platform": "google", "kind": "slow"}),
        ("faults", {"platform": "meta", "kind": "slow", "speed": 1}),
        ("faults", {"platform": "meta", "kind": "slow", "match": {"colour": "red"}}),
        ("faults", {"platform": "meta", "kind": "slow", "match": {"path": "("}}),
        ("faults", {"platform": "meta", "kind": "slow", "args": {"seconds": "two"}}),
        ("faults", {"platform": "meta", "kind": "slow", "args": {"bytes": 2}}),
        ("faults", {"platform": "meta", "kind": "slow", "times": 0}),
        ("faults", {"platform": "meta", "kind": "slow", "chance": 2}),
        ("faults", {"platform": "meta", "kind": "throttled", "args": {"scope": "nonsense"}}),
        ("faults", []),
        ("clock", {"advance_seconds": -5}),
        ("clock", {"now": "2001-01-01T00:00:00Z"}),
        ("clock", {"now": "tomorrow"}),
        ("clock", {"rate": -1}),
        ("clock", {}),
        ("clock", {"rate": 1, "advance_seconds": 1}),
        ("limits", {"enforced": "no"}),
        ("limits", {"enforced": True, "platform": "nobody"}),
        ("reset", {"seed": "seven"}),
        ("reset", {"size": "huge"}),
        ("reset", {"colour": "red"}),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_400(sandbox: SandboxProcess, noun: str, body: Any) -> None:
    answer = sandbox.client.post(f"/_sandbox/{noun}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]


def test_a_body_that_is_no_json_or_too_long_is_refused(sandbox: SandboxProcess) -> None:
    assert sandbox.client.post("/_sandbox/faults", content=b"{").status_code == 400
    assert sandbox.client.post("/_sandbox/faults", content=b" " * 300_000).status_code == 413
    assert sandbox.client.put("/_sandbox/faults", json={}).status_code == 405


def test_a_reset_brings_back_the_start_in_under_a_second(sandbox: SandboxProcess) -> None:
    first = sandbox.world
    sandbox.fault("slow")
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 90_000})
    sandbox.client.post("/_sandbox/limits", json={"enforced": False})
    sandbox.get("me", token=None)
    began = time.monotonic()
    sandbox.reset()
    assert time.monotonic() - began < 1
    assert sandbox.calls() == []
    assert sandbox.client.get("/_sandbox/faults").json() == {"faults": []}
    assert sandbox.world["limits"] == "on"
    assert datetime.fromisoformat(sandbox.world["now"]) - datetime.fromisoformat(first["now"]) < timedelta(hours=1)
    assert sandbox.meta["apps"] == first["platforms"]["meta"]["apps"]


def test_another_seed_makes_another_world(sandbox: SandboxProcess) -> None:
    before = sandbox.token("user_main")
    sandbox.reset(seed=4711)
    assert sandbox.world["seed"] == 4711
    assert sandbox.token("user_main") != before
    sandbox.reset(seed=7)
    assert sandbox.token("user_main") == before


def test_the_clock_moves_forward_and_stands_still(sandbox: SandboxProcess) -> None:
    stopped = sandbox.client.post("/_sandbox/clock", json={"rate": 0}).json()
    assert sandbox.client.get("/_sandbox/clock").json() == stopped
    moved = sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 3600}).json()
    assert datetime.fromisoformat(moved["now"]) - datetime.fromisoformat(stopped["now"]) == timedelta(hours=1)
    target = "2031-01-01T00:00:00.000Z"
    assert sandbox.client.post("/_sandbox/clock", json={"now": target}).json()["now"] == target


def test_an_access_token_expires_by_the_clock(sandbox: SandboxProcess) -> None:
    assert sandbox.get("me").status_code == 200
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 61 * 86_400})
    error = sandbox.get("me").json()["error"]
    assert (error["code"], error["error_subcode"]) == (190, 463)
    world = sandbox.client.get("/_sandbox/world").json()
    row = next(token for token in world["platforms"]["meta"]["tokens"] if token["id"] == "user_main")
    assert row["state"] == "expired"
