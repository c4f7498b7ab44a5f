"""Copies of ad objects."""

import json
from typing import Any

from tests.support.meta_writes import read, refusal, written
from tests.support.sandbox import SandboxProcess


def account(sandbox: SandboxProcess) -> dict[str, Any]:
    return sandbox.accounts("ad_account")[0]


def test_a_shallow_copy_is_paused_and_named_after_its_source(sandbox: SandboxProcess) -> None:
    source = sandbox.children(account(sandbox), "campaigns")[0]
    answer = written(sandbox, f"{source['id']}/copies")
    fields = "name,status,source_campaign_id,objective"
    found = read(sandbox, answer["copied_campaign_id"], fields=fields)
    assert (found["name"], found["status"]) == (f"{source['name']} - Copy", "PAUSED")
    assert found["source_campaign_id"] == source["id"]
    assert len(answer["ad_object_ids"]) == 1
    truth = sandbox.children(account(sandbox), "campaigns")
    assert truth[0]["id"] == answer["copied_campaign_id"]


def test_a_deep_copy_takes_everything_below_along(sandbox: SandboxProcess) -> None:
    small = next(found for found in sandbox.accounts("ad_account") if 0 < found["children"]["ads"] < 10)
    source = sandbox.children(small, "campaigns")[0]["id"]
    params: dict[str, Any] = {
        "deep_copy": "true",
        "rename_options": {"rename_strategy": "DEEP_RENAME", "rename_suffix": " (2)"},
    }
    answer = written(sandbox, f"{source}/copies", **params)
    kinds = [row["ad_object_type"] for row in answer["ad_object_ids"]]
    assert kinds[0] == "campaign"
    assert {"adset", "ad"} <= set(kinds)
    for row in answer["ad_object_ids"][1:]:
        found = read(sandbox, row["copied_id"], fields="name,campaign_id,status")
        assert found["name"].endswith(" (2)")
        assert (found["campaign_id"], found["status"]) == (answer["copied_campaign_id"], "PAUSED")
    assert len(read(sandbox, f"{answer['copied_campaign_id']}/ads")["data"]) == kinds.count("ad")


def test_an_ad_set_is_copied_into_another_campaign(sandbox: SandboxProcess) -> None:
    adset = sandbox.children(account(sandbox), "adsets")[0]["id"]
    other = next(
        row["id"]
        for row in sandbox.children(account(sandbox), "campaigns")
        if row["id"] != read(sandbox, adset, fields="campaign_id")["campaign_id"]
    )
    params: dict[str, Any] = {
        "campaign_id": other,
        "status_option": "ACTIVE",
        "rename_options": {"rename_strategy": "NO_RENAME"},
    }
    copy = written(sandbox, f"{adset}/copies", **params)["copied_adset_id"]
    found = read(sandbox, copy, fields="campaign_id,status,name")
    assert (found["campaign_id"], found["status"]) == (other, "ACTIVE")
    assert found["name"] == read(sandbox, adset, fields="name")["name"]
    assert refusal(sandbox, f"{adset}/copies", campaign_id="1")["code"] == 100


def test_an_ads_copy_shows_the_same_creative(sandbox: SandboxProcess) -> None:
    ad = sandbox.children(account(sandbox), "ads")[0]["id"]
    copy = written(sandbox, f"{ad}/copies", status_option="INHERITED_FROM_SOURCE")["copied_ad_id"]
    first, second = (read(sandbox, node, fields="creative,adset_id,status") for node in (ad, copy))
    assert {**first, "id": ""} == {**second, "id": ""}


def test_what_is_too_large_to_copy_at_once_is_refused(sandbox: SandboxProcess) -> None:
    act = account(sandbox)["id"]
    params: dict[str, Any] = {
        "name": "n",
        "objective": "OUTCOME_TRAFFIC",
        "status": "PAUSED",
        "special_ad_categories": [],
    }
    campaign = written(sandbox, f"{act}/campaigns", **params)["id"]
    place = json.dumps({"geo_locations": {"countries": ["US"]}})
    body = f"name=n&campaign_id={campaign}&daily_budget=500&billing_event=IMPRESSIONS&optimization_goal=REACH"
    item = {"method": "POST", "relative_url": f"{act}/adsets", "body": f"{body}&targeting={place}"}
    for results in (sandbox.results([item] * 50), sandbox.results([item])):
        assert {result["code"] for result in results} == {200}
    error = refusal(sandbox, f"{campaign}/copies", deep_copy="true")
    assert error["error_subcode"] == 1885194
