"""Campaigns, ad sets and ads made, changed and deleted over HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.support.meta_writes import advance, blamed, ids, read, refusal, write, written
from tests.support.sandbox import SandboxProcess

CAMPAIGN: dict[str, Any] = {
    "name": "New",
    "objective": "OUTCOME_TRAFFIC",
    "status": "PAUSED",
    "special_ad_categories": [],
}
PLACE = {"geo_locations": {"countries": ["US"]}}
ADSET: dict[str, Any] = {
    "name": "New set",
    "daily_budget": 1000,
    "billing_event": "IMPRESSIONS",
    "optimization_goal": "LINK_CLICKS",
    "targeting": PLACE,
    "status": "PAUSED",
}
STATUSES = "status,configured_status,effective_status"


def account(sandbox: SandboxProcess) -> dict[str, Any]:
    return sandbox.accounts("ad_account")[0]


def make_campaign(sandbox: SandboxProcess, **changes: Any) -> str:
    return str(written(sandbox, f"{account(sandbox)['id']}/campaigns", **{**CAMPAIGN, **changes})["id"])


def make_adset(sandbox: SandboxProcess, campaign: str, **changes: Any) -> str:
    params = {**ADSET, "campaign_id": campaign, **changes}
    return str(written(sandbox, f"{account(sandbox)['id']}/adsets", **params)["id"])


def make_ad(sandbox: SandboxProcess, adset: str, **changes: Any) -> str:
    page = next(page for page in sandbox.accounts("page") if page["children"]["posts"] > 10)
    story = {"page_id": page["id"], "link_data": {"link": "https://example.com", "message": "Come in"}}
    creative = written(sandbox, f"{account(sandbox)['id']}/adcreatives", name="C", object_story_spec=story)
    params = {"name": "New ad", "adset_id": adset, "creative": {"creative_id": creative["id"]}, "status": "PAUSED"}
    return str(written(sandbox, f"{account(sandbox)['id']}/ads", **{**params, **changes})["id"])


def status(sandbox: SandboxProcess, node: str) -> str:
    return str(read(sandbox, node, fields="effective_status")["effective_status"])


def test_an_ad_set_lists_the_creatives_of_its_ads(sandbox: SandboxProcess) -> None:
    adset = make_adset(sandbox, make_campaign(sandbox))
    first, second = make_ad(sandbox, adset), make_ad(sandbox, adset)
    creatives = [read(sandbox, ad, fields="creative")["creative"]["id"] for ad in (second, first)]
    assert ids(read(sandbox, f"{adset}/adcreatives")) == creatives
    write(sandbox, first, creative={"creative_id": creatives[0]})
    assert ids(read(sandbox, f"{adset}/adcreatives")) == creatives[:1]
    write(sandbox, first, status="DELETED")
    write(sandbox, second, status="ARCHIVED")
    assert ids(read(sandbox, f"{adset}/adcreatives")) == []


def test_a_new_campaign_is_first_in_the_list_and_in_the_worlds_truth(sandbox: SandboxProcess) -> None:
    before = account(sandbox)["children"]["campaigns"]
    made = make_campaign(sandbox)
    assert ids(read(sandbox, f"{account(sandbox)['id']}/campaigns", limit="2"))[0] == made
    truth = sandbox.children(account(sandbox), "campaigns")
    assert (len(truth), truth[0]["id"], truth[0]["name"], truth[0]["status"]) == (before + 1, made, "New", "PAUSED")


def test_fields_of_a_write_are_read_back_in_the_same_call(sandbox: SandboxProcess) -> None:
    path = f"{account(sandbox)['id']}/campaigns"
    made = written(sandbox, path, **CAMPAIGN, daily_budget=500, fields="name,objective,daily_budget,budget_remaining")
    assert made == {
        "id": made["id"],
        "name": "New",
        "objective": "OUTCOME_TRAFFIC",
        "daily_budget": "500",
        "budget_remaining": "500",
    }


def test_texts_may_stand_in_quotes_as_in_metas_own_samples(sandbox: SandboxProcess) -> None:
    quoted = {"name": '"My campaign"', "objective": '"OUTCOME_SALES"', "status": '"PAUSED"'}
    made = written(sandbox, f"{account(sandbox)['id']}/campaigns", **quoted, special_ad_categories=[])
    found = read(sandbox, made["id"], fields="name,objective,status")
    assert (found["name"], found["objective"], found["status"]) == ("My campaign", "OUTCOME_SALES", "PAUSED")


def test_validate_only_checks_and_makes_nothing(sandbox: SandboxProcess) -> None:
    path, only = f"{account(sandbox)['id']}/campaigns", ["validate_only"]
    assert written(sandbox, path, **CAMPAIGN, execution_options=only) == {"success": True}
    assert refusal(sandbox, path, **{**CAMPAIGN, "objective": "X"}, execution_options=only)["code"] == 100
    assert len(sandbox.children(account(sandbox), "campaigns")) == account(sandbox)["children"]["campaigns"]


@pytest.mark.parametrize("missing", ["name", "objective", "special_ad_categories"])
def test_a_campaign_needs_name_objective_and_categories(sandbox: SandboxProcess, missing: str) -> None:
    params = {name: value for name, value in CAMPAIGN.items() if name != missing}
    error = refusal(sandbox, f"{account(sandbox)['id']}/campaigns", **params)
    assert error["code"] == 100
    assert missing in error["message"]


def test_no_campaign_gets_an_old_objective_any_more(sandbox: SandboxProcess) -> None:
    refused = refusal(sandbox, f"{account(sandbox)['id']}/campaigns", **{**CAMPAIGN, "objective": "LINK_CLICKS"})
    assert refused["message"].startswith("(#100) Objective LINK_CLICKS is invalid. Use one of: OUTCOME_LEADS, ")
    assert refusal(sandbox, make_campaign(sandbox), objective="REACH")["code"] == 100


def test_an_unknown_objective_is_refused_with_the_known_ones(sandbox: SandboxProcess) -> None:
    error = refusal(sandbox, f"{account(sandbox)['id']}/campaigns", **{**CAMPAIGN, "objective": "FAME"})
    assert error["message"].startswith("(#100) Param objective must be one of {APP_INSTALLS, BRAND_AWARENESS,")


def test_a_budget_that_is_too_low_is_blamed_with_its_subcode(sandbox: SandboxProcess) -> None:
    error = refusal(sandbox, f"{account(sandbox)['id']}/campaigns", **CAMPAIGN, daily_budget=1)
    assert (error["code"], error["error_subcode"], error["is_transient"]) == (100, 1885272, False)
    assert (error["error_user_title"], blamed(error)) == ("Budget is too low", [["daily_budget"]])


def test_an_ad_set_below_a_campaign_with_a_budget_has_none_of_its_own(sandbox: SandboxProcess) -> None:
    path = f"{account(sandbox)['id']}/adsets"
    shared = make_campaign(sandbox, daily_budget=2000)
    error = refusal(sandbox, path, **ADSET, campaign_id=shared)
    assert (error["error_subcode"], blamed(error)) == (1885621, [["daily_budget"]])
    without = {name: value for name, value in ADSET.items() if name != "daily_budget"}
    assert written(sandbox, path, **without, campaign_id=shared)["id"]
    assert refusal(sandbox, path, **without, campaign_id=make_campaign(sandbox))["error_subcode"] == 1487061


@pytest.mark.parametrize(
    ("changes", "subcode", "field"),
    [
        ({"optimization_goal": "PAGE_LIKES"}, 2490408, ["optimization_goal"]),
        ({"billing_event": "THRUPLAY"}, None, ["billing_event"]),
        ({"targeting": {"age_min": 20}}, None, ["targeting", "geo_locations"]),
        ({"targeting": {**PLACE, "age_min": 50, "age_max": 20}}, None, ["targeting", "age_min"]),
        ({"bid_strategy": "COST_CAP"}, 1815857, ["bid_amount"]),
        ({"campaign_id": "1"}, None, ["campaign_id"]),
        ({"end_time": "2020-01-01T00:00:00+0000"}, None, ["end_time"]),
    ],
)
def test_what_does_not_stand_together_in_an_ad_set_is_blamed(
    sandbox: SandboxProcess, changes: dict[str, Any], subcode: int | None, field: list[str]
) -> None:
    params = {**ADSET, "campaign_id": make_campaign(sandbox), **changes}
    error = refusal(sandbox, f"{account(sandbox)['id']}/adsets", **params)
    assert (error["code"], error.get("error_subcode"), blamed(error)) == (100, subcode, [field])


def test_a_lifetime_budget_needs_an_end(sandbox: SandboxProcess) -> None:
    params = {name: value for name, value in ADSET.items() if name != "daily_budget"}
    campaign = make_campaign(sandbox)
    path = f"{account(sandbox)['id']}/adsets"
    error = refusal(sandbox, path, **params, campaign_id=campaign, lifetime_budget=50_000)
    assert blamed(error) == [["end_time"]]
    kept: dict[str, Any] = {
        "lifetime_budget": 50_000,
        "end_time": "+10 days",
        "fields": "lifetime_budget,end_time,start_time",
    }
    assert written(sandbox, path, **params, campaign_id=campaign, **kept)["lifetime_budget"] == "50000"


def test_pausing_a_campaign_goes_down_and_the_ads_own_pause_wins(sandbox: SandboxProcess) -> None:
    campaign = make_campaign(sandbox, status="ACTIVE")
    adset = make_adset(sandbox, campaign, status="ACTIVE")
    running, paused = make_ad(sandbox, adset, status="ACTIVE"), make_ad(sandbox, adset)
    assert status(sandbox, running) == "PENDING_REVIEW"
    advance(sandbox, 61)
    assert (status(sandbox, running), status(sandbox, paused)) == ("ACTIVE", "PAUSED")
    assert written(sandbox, adset, status="PAUSED") == {"success": True}
    assert status(sandbox, running) == "ADSET_PAUSED"
    written(sandbox, adset, status="ACTIVE")
    written(sandbox, campaign, status="PAUSED")
    found = [status(sandbox, node) for node in (campaign, adset, running, paused)]
    assert found == ["PAUSED", "CAMPAIGN_PAUSED", "CAMPAIGN_PAUSED", "PAUSED"]
    assert read(sandbox, adset, fields=STATUSES)["status"] == "ACTIVE"


def test_a_deleted_campaign_leaves_the_lists_with_all_below_it_and_stays_readable(sandbox: SandboxProcess) -> None:
    campaign = make_campaign(sandbox)
    adset = make_adset(sandbox, campaign)
    ad = make_ad(sandbox, adset)
    assert written(sandbox, campaign, method="DELETE") == {"success": True}
    assert [status(sandbox, node) for node in (campaign, adset, ad)] == ["DELETED"] * 3
    for edge, gone in (("campaigns", campaign), ("adsets", adset), ("ads", ad)):
        path = f"{account(sandbox)['id']}/{edge}"
        assert gone not in ids(read(sandbox, path, limit="500"))
        deleted = read(sandbox, path, limit="500", effective_status='["DELETED"]')
        assert gone in ids(deleted)
    assert written(sandbox, campaign, method="DELETE") == {"success": True}
    error = refusal(sandbox, campaign, name="Too late")
    assert (error["code"], error["error_subcode"]) == (100, 1487056)


def test_what_is_archived_is_only_renamed_or_deleted(sandbox: SandboxProcess) -> None:
    campaign = make_campaign(sandbox)
    written(sandbox, campaign, status="ARCHIVED")
    assert refusal(sandbox, campaign, daily_budget=900)["error_subcode"] == 1487862
    assert written(sandbox, campaign, name="Old") == {"success": True}
    assert written(sandbox, campaign, status="DELETED") == {"success": True}


def test_a_token_that_only_reads_ads_writes_none(sandbox: SandboxProcess) -> None:
    path = f"{account(sandbox)['id']}/campaigns"
    assert write(sandbox, path, "page_busy", **CAMPAIGN).status_code == 400
    sandbox.fault("permission_lost", {"method": "POST"}, times=1)
    assert refusal(sandbox, path, **CAMPAIGN)["code"] == 200
    assert refusal(sandbox, path, "user_second", **CAMPAIGN)["error_subcode"] == 33


def test_a_whole_ad_is_made_in_one_batch_whose_items_refer_to_each_other(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]["id"]
    act = account(sandbox)["id"]
    items = [
        {
            "method": "POST",
            "name": "campaign",
            "relative_url": f"{act}/campaigns",
            "body": "name=B&objective=OUTCOME_TRAFFIC&status=PAUSED&special_ad_categories=[]",
        },
        {
            "method": "POST",
            "name": "adset",
            "relative_url": f"{act}/adsets",
            "body": "name=B&billing_event=IMPRESSIONS&optimization_goal=LINK_CLICKS&daily_budget=900&status=PAUSED"
            '&targeting={"geo_locations":{"countries":["US"]}}&campaign_id={result=campaign:$.id}',
        },
        {
            "method": "POST",
            "relative_url": f"{act}/ads",
            "body": "name=B&status=PAUSED&adset_id={result=adset:$.id}"
            f'&creative={{"object_story_spec":{{"page_id":"{page}","link_data":{{"link":"https://example.com"}}}}}}',
        },
    ]
    results = sandbox.results(items)
    assert results[:2] == [None, None]
    assert results[2]["code"] == 200, results[2]
    assert '"id"' in results[2]["body"]
    assert sandbox.children(account(sandbox), "ads")[0]["name"] == "B"


def test_an_answer_cut_after_the_effect_leaves_the_effect(sandbox: SandboxProcess) -> None:
    sandbox.fault("cut_after", {"method": "POST"}, times=1)
    with pytest.raises(httpx.TransportError):
        write(sandbox, f"{account(sandbox)['id']}/campaigns", **{**CAMPAIGN, "name": "Unheard"})
    assert sandbox.children(account(sandbox), "campaigns")[0]["name"] == "Unheard"
    sandbox.fault("cut_before", {"method": "POST"}, times=1)
    with pytest.raises(httpx.TransportError):
        write(sandbox, f"{account(sandbox)['id']}/campaigns", **{**CAMPAIGN, "name": "Never"})
    assert sandbox.children(account(sandbox), "campaigns")[0]["name"] == "Unheard"


def test_a_new_object_is_active_or_paused_and_nothing_else(sandbox: SandboxProcess) -> None:
    error = refusal(sandbox, f"{account(sandbox)['id']}/campaigns", **{**CAMPAIGN, "status": "DELETED"})
    assert "must be one of {ACTIVE, PAUSED}" in error["message"]


def test_what_was_spent_of_the_old_budget_is_spent_of_the_new_one(sandbox: SandboxProcess) -> None:
    campaign = make_campaign(sandbox, daily_budget=1000)
    written(sandbox, campaign, daily_budget=1500)
    found = read(sandbox, campaign, fields="daily_budget,budget_remaining")
    assert (found["daily_budget"], found["budget_remaining"]) == ("1500", "1500")
    assert blamed(refusal(sandbox, campaign, lifetime_budget=90_000)) == [["daily_budget"], ["lifetime_budget"]]


def test_a_change_moves_the_objects_own_time_and_not_that_of_what_hangs_below(sandbox: SandboxProcess) -> None:
    campaign = make_campaign(sandbox, status="ACTIVE")
    adset = make_adset(sandbox, campaign, status="ACTIVE")
    before = [read(sandbox, node, fields="updated_time")["updated_time"] for node in (campaign, adset)]
    advance(sandbox, 100)
    written(sandbox, campaign, status="PAUSED")
    after = [read(sandbox, node, fields="updated_time")["updated_time"] for node in (campaign, adset)]
    assert after[0] > before[0]
    assert after[1] == before[1]
    truth = {row["id"]: row["updated_at"] for row in sandbox.children(account(sandbox), "adsets")}
    assert truth[adset][:19] == read_utc(after[1])


def read_utc(text: str) -> str:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_stale_read_does_not_see_the_write_yet(sandbox: SandboxProcess) -> None:
    campaign = make_campaign(sandbox)
    written(sandbox, campaign, name="Newer")
    fault = sandbox.fault("stale", {"method": "GET"}, args={"seconds": 60})
    path = f"{account(sandbox)['id']}/campaigns"
    assert sandbox.get(f"v26.0/{campaign}").json()["error"]["error_subcode"] == 33
    assert campaign not in ids(read(sandbox, path, limit="5"))
    sandbox.client.delete(f"/_sandbox/faults/{fault}")
    assert read(sandbox, campaign, fields="name")["name"] == "Newer"


def test_a_write_whose_answer_cannot_be_read_is_done_all_the_same(sandbox: SandboxProcess) -> None:
    path = f"{account(sandbox)['id']}/campaigns"
    error = refusal(sandbox, path, **CAMPAIGN, fields="id,fame")
    assert "nonexisting field (fame)" in error["message"]
    assert error["type"] == "FacebookApiException"
    made = error["original_response"]
    assert sandbox.children(account(sandbox), "campaigns")[0]["id"] == made["id"]
    campaign = make_campaign(sandbox)
    assert written(sandbox, campaign, name="Known", fields="name") == {"id": campaign, "name": "Known", "success": True}
    failed = refusal(sandbox, campaign, name="Renamed", fields="fame")
    assert failed["original_response"] == {"success": True}
    assert sandbox.get(campaign, fields="name").json()["name"] == "Renamed"


def test_what_hung_below_a_campaign_from_the_start_goes_with_it(sandbox: SandboxProcess) -> None:
    campaign = next(row for row in sandbox.children(account(sandbox), "campaigns") if has_ads(sandbox, row["id"]))["id"]
    adsets, ads = (ids(read(sandbox, f"{campaign}/{edge}")) for edge in ("adsets", "ads"))
    written(sandbox, campaign, status="PAUSED")
    assert {status(sandbox, node) for node in (*adsets, *ads)} <= {"PAUSED", "CAMPAIGN_PAUSED"}
    written(sandbox, campaign, method="DELETE")
    assert {status(sandbox, node) for node in (*adsets, *ads)} == {"DELETED"}
    for edge, gone in (("adsets", adsets), ("ads", ads)):
        truth = [row["id"] for row in sandbox.children(account(sandbox), edge)]
        assert len(truth) == account(sandbox)["children"][edge] - len(gone)
        assert not set(truth) & set(gone)
        everything = sandbox.children(account(sandbox), edge, all="true")
        assert {row["status"] for row in everything if row["id"] in gone} <= {"ACTIVE", "PAUSED", "DELETED"}
    assert ids(read(sandbox, f"{campaign}/adsets")) == []


def has_ads(sandbox: SandboxProcess, campaign: str) -> bool:
    return bool(read(sandbox, f"{campaign}/ads", limit="1")["data"])
