"""Ads insights over HTTP: what is refused, and how."""

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e


def test_parameters_that_are_not_covered_are_said_not_ignored(sandbox: SandboxProcess) -> None:
    path = f"{sandbox.accounts('ad_account')[0]['id']}/insights"
    assert sandbox.get(path, export_format="csv").status_code == 501
    assert sandbox.get(path, breakdowns="product_id").status_code == 501
    assert [row["operation"] for row in sandbox.calls()[-2:]] == [None, None]


@pytest.mark.parametrize(
    ("params", "status", "code", "subcode"),
    [
        ({"fields": "colour"}, 400, 100, None),
        ({"breakdowns": "platform_position"}, 400, 100, None),
        ({"after": "nonsense"}, 400, 2642, None),
        ({"limit": "0"}, 400, 100, None),
        ({"time_range": '{"since":"2019-01-01","until":"2019-01-02"}'}, 400, 3018, None),
        (
            {
                "level": "ad",
                "time_increment": "1",
                "date_preset": "maximum",
                "breakdowns": "hourly_stats_aggregated_by_advertiser_time_zone",
            },
            400,
            100,
            1487534,
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(
    sandbox: SandboxProcess, params: dict[str, str], status: int, code: int, subcode: int | None
) -> None:
    answer = sandbox.get(f"{sandbox.accounts('ad_account')[0]['id']}/insights", **params)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("error_subcode")) == (status, code, subcode)


def test_other_peoples_accounts_and_lost_permissions_are_refused(sandbox: SandboxProcess) -> None:
    seen = {entry["id"] for token in sandbox.meta["tokens"] for entry in token["sees"]}
    unseen = [account["id"] for account in sandbox.accounts("ad_account") if account["id"] not in seen]
    errors = [sandbox.get(f"{account}/insights").json()["error"] for account in unseen]
    assert {(error["code"], error["error_subcode"]) for error in errors} == {(100, 33)}
    account = sandbox.accounts("ad_account")[0]["id"]
    sandbox.fault("permission_lost", {"operation": "meta.ad_account.insights"})
    answer = sandbox.get(f"{account}/insights")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, 200)


@pytest.mark.parametrize(
    ("scope", "code", "subcode"),
    [(None, 80000, 2446079), ("insights_app", 4, None), ("insights_load", 4, 1504022)],
)
def test_insights_are_throttled_by_the_account_the_app_or_metas_own_load(
    sandbox: SandboxProcess, scope: str | None, code: int, subcode: int | None
) -> None:
    match = {"operation": "meta.ad_account.insights"}
    sandbox.fault("throttled", match, args={"scope": scope} if scope else {})
    error = sandbox.get(f"{sandbox.accounts('ad_account')[0]['id']}/insights").json()["error"]
    assert (error["code"], error.get("error_subcode")) == (code, subcode)
