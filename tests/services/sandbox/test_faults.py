"""Faults: the rules without a process, and each kind as a client meets it on a real socket."""

import time
from typing import Any

import httpx
import pytest

from services.sandbox.faults import FaultBook, FaultRefused, Target
from tests.support.sandbox import SandboxProcess

ME = {"method": "GET", "relative_url": "me"}


def book_with(**rest: Any) -> FaultBook:
    book = FaultBook(seed=7)
    book.add({"platform": "meta", "kind": "slow", **rest}, lambda *_: None)
    return book


def target(**rest: Any) -> Target:
    usual: dict[str, Any] = {
        "platform": "meta",
        "method": "GET",
        "host": "graph.facebook.com",
        "path": "/v26.0/me",
        "operation": "meta.user",
        "token": "user_main",
    }
    return Target(**{**usual, **rest})


def hits(book: FaultBook, calls: int) -> list[bool]:
    return [book.find(target()) is not None for _ in range(calls)]


def test_a_fault_lets_some_pass_then_hits_so_many_times() -> None:
    assert hits(book_with(after=2, times=2), 6) == [False, False, True, True, False, False]


def test_chance_is_the_same_for_the_same_seed() -> None:
    first, second = hits(book_with(chance=0.5), 100), hits(book_with(chance=0.5), 100)
    assert first == second
    assert 30 < sum(first) < 70


@pytest.mark.parametrize(
    ("match", "given", "expected"),
    [
        ({"method": "get"}, {}, True),
        ({"method": "POST"}, {}, False),
        ({"path": "me$"}, {}, True),
        ({"path": "^me"}, {}, False),
        ({"operation": "meta.user"}, {}, True),
        ({"token": "user_second"}, {}, False),
        ({"item": 1}, {}, False),
        ({"item": 1}, {"item_index": 1}, True),
        ({"item": "act_1"}, {"item_index": 1, "item_names": ("act_1",)}, True),
        ({"item": "act_2"}, {"item_index": 1, "item_names": ("act_1",)}, False),
        ({}, {"platform": "google"}, False),
    ],
)
def test_a_rule_speaks_of_calls_by_every_key(match: dict[str, Any], given: dict[str, Any], expected: bool) -> None:
    assert (book_with(match=match).find(target(**given)) is not None) is expected


def test_a_platform_that_refuses_the_args_refuses_the_rule() -> None:
    def refuse(*_: object) -> None:
        raise FaultRefused("no")

    book = FaultBook(seed=7)
    with pytest.raises(FaultRefused):
        book.add({"platform": "meta", "kind": "slow"}, refuse)
    assert book.list() == []


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("kind", "args", "status", "code", "subcode"),
    [
        ("throttled", {"scope": "app"}, 403, 4, None),
        ("throttled", {"scope": "user"}, 400, 17, 2446079),
        ("throttled", {"scope": "page_user"}, 403, 32, None),
        ("throttled", {"scope": "pages"}, 400, 80001, None),
        ("throttled", {"scope": "instagram"}, 400, 80002, None),
        ("throttled", {"scope": "custom"}, 400, 613, 1996),
        ("throttled", {}, 400, 80004, 2446079),
        ("server_error", {}, 500, 1, None),
        ("unavailable", {}, 503, 2, None),
        ("token_expired", {}, 400, 190, 463),
        ("token_revoked", {}, 400, 190, 460),
        ("permission_lost", {}, 403, 200, None),
    ],
)
def test_each_failure_has_metas_own_body(
    sandbox: SandboxProcess, kind: str, args: dict[str, Any], status: int, code: int, subcode: int | None
) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    fault = sandbox.fault(kind, {"operation": "meta.ad_account"}, times=1, args=args)
    answer = sandbox.get(f"v26.0/{account}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("error_subcode")) == (status, code, subcode)
    assert error["fbtrace_id"]
    assert error["message"]
    assert sandbox.calls()[0]["fault"] == fault
    assert sandbox.client.get("/_sandbox/faults").json()["faults"][0]["hits"] == 1
    assert sandbox.get(f"v26.0/{account}").status_code == 200


@pytest.mark.e2e
def test_a_throttle_says_in_headers_when_access_comes_back(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    sandbox.fault("throttled", args={"minutes": 7})
    headers = sandbox.get(account).headers
    usage = httpx.Response(200, text=headers["x-business-use-case-usage"]).json()
    (entry,) = usage[account.removeprefix("act_")]
    assert (entry["type"], entry["call_count"], entry["estimated_time_to_regain_access"]) == ("ads_management", 100, 7)
    on_account = httpx.Response(200, text=headers["x-ad-account-usage"]).json()
    assert (on_account["acc_id_util_pct"], on_account["reset_time_duration"]) == (100.0, 420)


@pytest.mark.e2e
@pytest.mark.parametrize(("kind", "cost"), [("cut_before", {}), ("cut_after", None)])
def test_a_cut_closes_the_socket_without_a_byte(
    sandbox: SandboxProcess, kind: str, cost: dict[str, int] | None
) -> None:
    sandbox.fault(kind, times=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        sandbox.get("me")
    (row,) = sandbox.calls()
    assert row["status"] is None
    assert row["fault"] == "f1"
    assert row["cost"] == cost if kind == "cut_before" else row["cost"]
    assert sandbox.get("me").status_code == 200


@pytest.mark.e2e
def test_a_batch_cut_after_the_effect_has_done_and_paid_for_every_item(sandbox: SandboxProcess) -> None:
    sandbox.fault("cut_after", {"operation": "meta.batch"}, times=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        sandbox.batch([ME, ME])
    outer, *items = sandbox.calls()
    assert outer["status"] is None
    assert [(row["status"], bool(row["cost"])) for row in items] == [(200, True)] * 2


@pytest.mark.e2e
def test_a_batch_cut_before_the_effect_has_no_items(sandbox: SandboxProcess) -> None:
    sandbox.fault("cut_before", {"operation": "meta.batch"}, times=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        sandbox.batch([ME, ME])
    assert len(sandbox.calls()) == 1


@pytest.mark.e2e
def test_a_slow_call_takes_its_time(sandbox: SandboxProcess) -> None:
    sandbox.fault("slow", times=1, args={"seconds": 0.3})
    began = time.monotonic()
    assert sandbox.get("me").status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.e2e
def test_a_client_that_gives_up_on_a_slow_call_leaves_the_rest_unharmed(sandbox: SandboxProcess) -> None:
    sandbox.fault("slow", times=1, args={"seconds": 0.5})
    with pytest.raises(httpx.ReadTimeout):
        sandbox.client.get("/graph.facebook.com/me", params={"access_token": sandbox.token("user_main")}, timeout=0.05)
    assert sandbox.get("me").status_code == 200


@pytest.mark.e2e
def test_damaged_answers_are_damaged_as_asked(sandbox: SandboxProcess) -> None:
    sandbox.fault("truncated", times=1, args={"bytes": 9})
    assert sandbox.get("me").content == b'{"id":"10'
    sandbox.fault("wrong_content_type", times=1)
    assert sandbox.get("me").headers["content-type"].startswith("text/html")
    sandbox.fault("oversized", times=1, args={"bytes": 3_000_000})
    big = sandbox.get("me")
    assert len(big.content) == 3_000_000
    assert big.json()["id"]


@pytest.mark.e2e
@pytest.mark.parametrize("which", [1, "1"])
def test_a_fault_inside_a_batch_hits_that_item_alone(sandbox: SandboxProcess, which: int | str) -> None:
    sandbox.fault("item_error", {"item": which}, args={"code": 368, "subcode": 1390008, "status": 403})
    first, second, third = sandbox.results([ME, ME, ME])
    assert (first["code"], second["code"], third["code"]) == (200, 403, 200)
    assert '"code":368' in second["body"]


@pytest.mark.e2e
def test_an_item_is_found_by_its_object_or_its_name(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    sandbox.fault("server_error", {"item": account})
    sandbox.fault("throttled", {"item": "mine"}, args={"scope": "user"})
    items = [ME, {"method": "GET", "relative_url": account}, {**ME, "name": "mine"}]
    assert [row["code"] for row in sandbox.results(items)] == [200, 500, 400]


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("kind", "args", "paid"),
    [("cut_before", {}, False), ("cut_after", {}, True), ("item_error", {"null": True}, None)],
)
def test_an_unfinished_item_is_null(
    sandbox: SandboxProcess, kind: str, args: dict[str, Any], paid: bool | None
) -> None:
    sandbox.fault(kind, {"item": 2}, args=args)
    results = sandbox.results([ME, ME, ME, ME])
    assert [row is None for row in results] == [False, False, True, False]
    row = sandbox.calls()[3]
    assert row["status"] is None
    assert paid is None or bool(row["cost"]) is paid


@pytest.mark.e2e
def test_slow_items_wait_side_by_side(sandbox: SandboxProcess) -> None:
    sandbox.fault("slow", {"operation": "meta.user"}, args={"seconds": 0.2})
    began = time.monotonic()
    assert len(sandbox.results([ME] * 20)) == 20
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.e2e
def test_a_deleted_fault_hits_no_more(sandbox: SandboxProcess) -> None:
    fault = sandbox.fault("server_error")
    sandbox.fault("slow")
    assert sandbox.get("me").status_code == 500
    assert sandbox.client.delete(f"/_sandbox/faults/{fault}").status_code == 200
    assert sandbox.get("me").status_code == 200
    assert sandbox.client.delete(f"/_sandbox/faults/{fault}").status_code == 404
    assert sandbox.client.delete("/_sandbox/faults").json() == {"faults": []}


@pytest.mark.e2e
def test_stale_reads_show_the_world_before_what_was_just_written(sandbox: SandboxProcess) -> None:
    sandbox.client.post("/_sandbox/clock", json={"rate": 0})
    campaign = sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")[0]
    body = {"access_token": sandbox.token("user_main"), "name": "After"}
    sandbox.fault("stale", {"operation": "meta.campaign"}, args={"seconds": 30})
    assert sandbox.client.post(f"/graph.facebook.com/v26.0/{campaign['id']}", data=body).status_code == 200
    assert sandbox.get(campaign["id"], fields="name").json()["name"] == campaign["name"]
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 31})
    assert sandbox.get(campaign["id"], fields="name").json()["name"] == "After"
    assert sandbox.client.get("/_sandbox/faults").json()["faults"][0]["hits"] == 2


@pytest.mark.e2e
def test_stale_speaks_of_reads_only(sandbox: SandboxProcess) -> None:
    campaign = sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")[0]
    sandbox.fault("stale", times=1)
    body = {"access_token": sandbox.token("user_main"), "name": "After"}
    assert sandbox.client.post(f"/graph.facebook.com/v26.0/{campaign['id']}", data=body).status_code == 200
    assert sandbox.calls()[0]["fault"] is None
