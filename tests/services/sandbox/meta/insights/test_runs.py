"""Reports that are ordered: how they go on, when they can be read, how they end."""

import json
from datetime import datetime, timedelta

import pytest

from tests.support.sandbox import GRAPH, SandboxProcess

e2e = pytest.mark.e2e


def order(sandbox: SandboxProcess, account: str, **params: str) -> str:
    secret = sandbox.token("user_main")
    answer = sandbox.client.post(f"/{GRAPH}/v26.0/{account}/insights", data={"access_token": secret, **params})
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"report_run_id"}
    return str(answer.json()["report_run_id"])


def advance(sandbox: SandboxProcess, seconds: float) -> None:
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": seconds}).raise_for_status()


@e2e
def test_a_job_goes_through_its_states_and_has_the_rows_of_the_call_at_once(sandbox: SandboxProcess) -> None:
    sandbox.client.post("/_sandbox/clock", json={"rate": 0}).raise_for_status()
    account = sandbox.accounts("ad_account")[0]["id"]
    params = {"level": "campaign", "fields": '["campaign_id","impressions","spend"]', "date_preset": "last_7d"}
    run = order(sandbox, account, **params)
    seen = []
    seconds = float(sandbox.world["job_seconds"])
    for _ in range(21):
        shown = sandbox.get(run).json()
        seen.append((shown["async_status"], shown["async_percent_completion"]))
        advance(sandbox, seconds / 20)
    assert [status for status, _ in dict.fromkeys((status, 0) for status, _ in seen)] == [
        "Job Not Started",
        "Job Started",
        "Job Running",
        "Job Completed",
    ]
    percents = [percent for _, percent in seen]
    assert percents == sorted(percents)
    assert ("Job Running", 100) in seen
    assert seen[-1] == ("Job Completed", 100)
    assert shown.keys() >= {"id", "account_id", "time_ref", "time_completed", "date_start", "date_stop"}
    assert shown["account_id"] == account.removeprefix("act_")
    rows = sandbox.get(f"{run}/insights", limit="500").json()["data"]
    assert rows == sandbox.get(f"{account}/insights", limit="500", **params).json()["data"]


@e2e
def test_a_job_is_not_read_before_it_is_done(sandbox: SandboxProcess) -> None:
    sandbox.client.post("/_sandbox/clock", json={"rate": 0}).raise_for_status()
    run = order(sandbox, sandbox.accounts("ad_account")[0]["id"])
    answer = sandbox.get(f"{run}/insights")
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["error_subcode"], error["is_transient"]) == (2601, 1815107, True)
    advance(sandbox, float(sandbox.world["job_seconds"]))
    assert sandbox.get(f"{run}/insights").status_code == 200


@e2e
def test_rows_of_a_job_come_in_pages_and_those_of_its_own_days(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    run = order(sandbox, account, level="ad", fields="ad_id,spend", date_preset="yesterday")
    at_once = sandbox.get(f"{account}/insights", level="ad", fields="ad_id,spend", date_preset="yesterday", limit="500")
    advance(sandbox, 2 * 86_400)
    content = sandbox.get(f"{run}/insights", limit="100").json()
    rows = content["data"]
    while url := content["paging"].get("next"):
        content = sandbox.client.get(url).json()
        rows += content["data"]
    assert rows == at_once.json()["data"]


@e2e
def test_many_jobs_are_polled_in_one_call(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    runs = [order(sandbox, account, date_preset=preset) for preset in ("yesterday", "last_7d")]
    results = sandbox.results([{"method": "GET", "relative_url": f"v26.0/{run}?fields=async_status"} for run in runs])
    assert [result["code"] for result in results] == [200, 200]
    shown = sandbox.get("", ids=",".join(runs), fields="async_percent_completion").json()
    assert shown.keys() == set(runs)


@e2e
def test_a_job_is_gone_after_thirty_days(sandbox: SandboxProcess) -> None:
    run = order(sandbox, sandbox.accounts("ad_account")[0]["id"])
    advance(sandbox, 29 * 86_400)
    assert sandbox.get(run, "system_main").status_code == 200
    advance(sandbox, 86_400)
    assert sandbox.get(run, "system_main").json()["error"]["code"] == 100


@e2e
def test_what_cannot_be_asked_is_refused_when_it_is_ordered(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    answer = sandbox.client.post(
        f"/{GRAPH}/{account}/insights", data={"access_token": sandbox.token("user_main"), "fields": "colour"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)


@e2e
def test_a_job_of_others_is_unknown(sandbox: SandboxProcess) -> None:
    run = order(sandbox, sandbox.accounts("ad_account")[0]["id"])
    assert sandbox.get(run, "user_newcomer").json()["error"]["code"] == 100


@e2e
@pytest.mark.parametrize(("ending", "status"), [("failed", "Job Failed"), ("skipped", "Job Skipped")])
def test_a_fault_lets_a_job_fail_or_be_skipped(sandbox: SandboxProcess, ending: str, status: str) -> None:
    sandbox.fault("server_error", {"operation": "meta.ad_account.insights", "method": "POST"}, args={"job": ending})
    run = order(sandbox, sandbox.accounts("ad_account")[0]["id"])
    advance(sandbox, 3600)
    shown = sandbox.get(run, "system_main").json()
    assert (shown["async_status"], shown["async_percent_completion"]) == (status, 0)
    assert shown.get("error_code") == (-2 if ending == "failed" else None)
    assert sandbox.get(f"{run}/insights", "system_main").json()["error"]["code"] == 2601


@e2e
def test_a_job_that_is_too_large_fails_and_says_so(sandbox: SandboxProcess) -> None:
    now = datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"]).date()
    ranges = ",".join(f"{{since:'{now - timedelta(days=330)}',until:'{now}'}}" for _ in range(30))
    run = order(
        sandbox,
        sandbox.accounts("ad_account")[0]["id"],
        level="ad",
        time_ranges=f"[{ranges}]",
        breakdowns="hourly_stats_aggregated_by_advertiser_time_zone",
    )
    advance(sandbox, 3600)
    shown = sandbox.get(run, "system_main").json()
    assert (shown["async_status"], shown["error_code"], shown["error_subcode"]) == ("Job Failed", -3, 1504045)


@e2e
def test_reach_of_long_ago_is_parted_in_ten_jobs_a_day_and_in_no_call_at_once(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    now = datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"])
    since, until = (now - timedelta(days=450)).date().isoformat(), (now - timedelta(days=1)).date().isoformat()
    asked = {"fields": "impressions,reach", "breakdowns": "age", "time_range": f"{{since:'{since}',until:'{until}'}}"}
    assert all("reach" not in row for row in sandbox.get(f"{account}/insights", **asked).json()["data"])
    secret = sandbox.token("user_main")
    used, runs = [], []
    for _ in range(11):
        answer = sandbox.client.post(f"/{GRAPH}/{account}/insights", data={"access_token": secret, **asked})
        used.append(json.loads(answer.headers["x-fb-ads-insights-reach-throttle"])["acc_id_util_pct"])
        runs.append(answer.json()["report_run_id"])
    assert used == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100]
    advance(sandbox, float(sandbox.world["job_seconds"]))
    given = ["reach" in sandbox.get(f"{run}/insights").json()["data"][0] for run in runs]
    assert given == [True] * 10 + [False]


@e2e
def test_a_reader_of_a_job_may_narrow_its_fields_and_ask_for_a_summary(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    run = order(sandbox, account, level="campaign", fields="campaign_id,impressions,spend", date_preset="yesterday")
    advance(sandbox, float(sandbox.world["job_seconds"]))
    asked = {"fields": "spend", "summary": "impressions", "sort": "spend_descending", "limit": "500"}
    content = sandbox.get(f"{run}/insights", **asked).json()
    spends = [float(row["spend"]) for row in content["data"]]
    assert spends == sorted(spends, reverse=True)
    assert content["data"][0].keys() == {"spend", "date_start", "date_stop"}
    whole = sandbox.get(f"{run}/insights", limit="500").json()["data"]
    assert int(content["summary"]["impressions"]) == sum(int(row["impressions"]) for row in whole)
    error = sandbox.get(f"{run}/insights", fields="clicks").json()["error"]
    assert (error["code"], "weren't there while creating the report run" in error["message"]) == (100, True)
