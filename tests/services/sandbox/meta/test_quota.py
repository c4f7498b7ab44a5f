"""Quotas: the documented formulas, the headers, what happens at the end of a budget."""

import json
import math
from typing import Any

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e


def use_case(headers: Any, subject: str) -> dict[str, Any]:
    (entry,) = json.loads(headers["x-business-use-case-usage"])[subject]
    return dict(entry)


def use_up(sandbox: SandboxProcess, path: str, token: str, calls: int) -> None:
    """Spend that many calls, in full batches."""
    item = {"method": "GET", "relative_url": path}
    while calls:
        size = min(calls, 50)
        assert {result["code"] for result in sandbox.results([item] * size, token)} == {200}
        calls -= size


def test_an_ad_account_of_a_limited_app_holds_300_calls_and_40_per_active_ad(sandbox: SandboxProcess) -> None:
    account = next(row for row in sandbox.accounts("ad_account") if not any(row["children"].values()))
    digits = account["id"].removeprefix("act_")
    use_up(sandbox, account["id"], "system_limited", 299)
    answer = sandbox.get(account["id"], token="system_limited")
    entry = use_case(answer.headers, digits)
    assert answer.status_code == 200
    assert (entry["type"], entry["call_count"]) == ("ads_management", 100)
    assert entry["ads_api_access_tier"] == "development_access"
    refused = sandbox.get(account["id"], token="system_limited")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["error_subcode"]) == (400, 80004, 2446079)
    assert 1 <= use_case(refused.headers, digits)["estimated_time_to_regain_access"] <= 60
    usage = json.loads(refused.headers["x-ad-account-usage"])
    assert usage["acc_id_util_pct"] > 100
    assert 0 < usage["reset_time_duration"] <= 3600


def test_active_ads_make_the_budget_larger(sandbox: SandboxProcess) -> None:
    account = next(row for row in sandbox.accounts("ad_account") if row["children"]["ads"] == 4)
    ads = sandbox.get(f"{account['id']}/ads", fields="effective_status").json()["data"]
    active = sum(ad["effective_status"] == "ACTIVE" for ad in ads)
    answer = sandbox.get(account["id"], token="user_limited")
    usage = json.loads(answer.headers["x-ad-account-usage"])
    assert usage["acc_id_util_pct"] == round(100 / (300 + 40 * active), 2)
    assert 3590 <= usage["reset_time_duration"] <= 3600


def test_the_window_rolls_and_access_comes_back(sandbox: SandboxProcess) -> None:
    account = next(row for row in sandbox.accounts("ad_account") if not any(row["children"].values()))
    use_up(sandbox, account["id"], "system_limited", 300)
    refused = sandbox.get(account["id"], token="system_limited")
    minutes = use_case(refused.headers, account["id"].removeprefix("act_"))["estimated_time_to_regain_access"]
    assert refused.status_code == 400
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": minutes * 60 + 60})
    assert sandbox.get(account["id"], token="system_limited").status_code == 200


def test_a_full_budget_refuses_items_of_a_batch_one_by_one(sandbox: SandboxProcess) -> None:
    account = next(row for row in sandbox.accounts("ad_account") if not any(row["children"].values()))["id"]
    use_up(sandbox, account, "system_limited", 290)
    items = [{"method": "GET", "relative_url": account}] * 20
    codes = [result["code"] for result in sandbox.results(items, "system_limited")]
    assert codes == [200] * 10 + [400] * 10


def test_a_used_up_app_refuses_whole_batches_with_code_4(sandbox: SandboxProcess) -> None:
    me = {"method": "GET", "relative_url": "me"}
    for _ in range(80):
        sandbox.results([me] * 50, "system_limited")
    answer = sandbox.batch([me], "system_limited")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, 4)
    single = sandbox.get("me", token="system_limited")
    assert (single.status_code, single.json()["error"]["code"]) == (403, 4)
    assert json.loads(single.headers["x-app-usage"])["call_count"] > 100


def test_limits_can_be_switched_off_while_counting_goes_on(sandbox: SandboxProcess) -> None:
    account = next(row for row in sandbox.accounts("ad_account") if not any(row["children"].values()))
    sandbox.client.post("/_sandbox/limits", json={"platform": "meta", "enforced": False})
    assert sandbox.client.get("/_sandbox/world").json()["limits"] == "off"
    use_up(sandbox, account["id"], "system_limited", 310)
    answer = sandbox.get(account["id"], token="system_limited")
    assert use_case(answer.headers, account["id"].removeprefix("act_"))["call_count"] == math.ceil(311 / 3)
    sandbox.client.post("/_sandbox/limits", json={"enforced": True})
    assert sandbox.get(account["id"], token="system_limited").status_code == 400


@pytest.mark.parametrize(("token", "bucket"), [("page_busy", "pages"), ("system_main", "pages"), ("user_main", "app")])
def test_a_page_is_paid_for_by_the_kind_of_its_token(sandbox: SandboxProcess, token: str, bucket: str) -> None:
    page = sandbox.accounts("page")[0]
    answer = sandbox.get(f"{page['id']}/posts", token=token)
    (row,) = sandbox.calls()
    assert next(iter(row["cost"])).partition(":")[0] == bucket
    shown = {"pages": "x-business-use-case-usage", "app": "x-app-usage"}[bucket]
    assert shown in answer.headers


def test_two_apps_have_budgets_of_their_own(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    for token in ("system_main", "system_limited"):
        sandbox.get(account, token=token)
    assert len({key for row in sandbox.calls() for key in row["cost"]}) == 2
