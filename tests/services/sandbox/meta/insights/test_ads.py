"""Ads insights over HTTP: every answer adds up to the world's own daily numbers."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e

BIG_PAGE = "100000"


def today(sandbox: SandboxProcess, account: Mapping[str, Any]) -> date:
    now = datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"])
    return now.astimezone(ZoneInfo(account["timezone"])).date()


def truth(
    sandbox: SandboxProcess, account: Mapping[str, Any], since: date, until: date, by: str | None = None
) -> list[dict[str, Any]]:
    path = f"/_sandbox/world/meta/{account['type']}/{account['id']}/metrics"
    query = {"since": since.isoformat(), "until": until.isoformat(), **({"by": by} if by else {})}
    rows: list[dict[str, Any]] = sandbox.client.get(path, params=query).raise_for_status().json()["rows"]
    return rows


def total(rows: Iterable[Mapping[str, Any]], name: str) -> Decimal:
    return sum((Decimal(str(row.get(name) or 0)) for row in rows), Decimal(0))


def read_all(sandbox: SandboxProcess, path: str, **params: str) -> list[dict[str, Any]]:
    answer = sandbox.get(path, **params)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    rows = list(content["data"])
    while url := content.get("paging", {}).get("next"):
        content = sandbox.client.get(url).json()
        rows += content["data"]
    return rows


def adds_up(rows: list[dict[str, Any]], true: list[dict[str, Any]]) -> None:
    assert rows
    for name in ("impressions", "clicks"):
        assert total(rows, name) == total(true, name)
    assert total(rows, "spend") * 1_000_000 == total(true, "spend_micros")


FIELDS = "impressions,clicks,spend,reach"


def test_the_default_is_impressions_and_spend_of_the_last_thirty_days_in_one_row(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    day = today(sandbox, account)
    [row] = sandbox.get(f"v26.0/{account['id']}/insights").json()["data"]
    since, until = day - timedelta(days=30), day - timedelta(days=1)
    assert row.keys() == {"account_id", "impressions", "spend", "date_start", "date_stop"}
    assert (row["date_start"], row["date_stop"]) == (since.isoformat(), until.isoformat())
    assert total([row], "impressions") == total(truth(sandbox, account, since, until), "impressions")
    assert all(isinstance(value, str) for value in row.values())


@pytest.mark.parametrize("level", ["account", "campaign", "adset", "ad"])
def test_every_level_adds_up_to_the_account(sandbox: SandboxProcess, level: str) -> None:
    account = sandbox.accounts("ad_account")[0]
    day = today(sandbox, account)
    since, until = day - timedelta(days=7), day - timedelta(days=1)
    rows = read_all(sandbox, f"{account['id']}/insights", level=level, date_preset="last_7d", fields=FIELDS, limit="90")
    adds_up(rows, truth(sandbox, account, since, until))
    assert total(rows, "reach") > 0


@pytest.mark.parametrize(("level", "child"), [("campaign", "campaigns"), ("ad", "ads")])
def test_every_row_is_the_worlds_own_for_its_object_and_day(sandbox: SandboxProcess, level: str, child: str) -> None:
    account = sandbox.accounts("ad_account")[0]
    day = today(sandbox, account)
    since, until = day - timedelta(days=3), day - timedelta(days=1)
    true = {(row["id"], row["date"]): row for row in truth(sandbox, account, since, until, child)}
    rows = read_all(
        sandbox,
        f"{account['id']}/insights",
        level=level,
        time_increment="1",
        time_range=json.dumps({"since": since.isoformat(), "until": until.isoformat()}),
        fields=f"{level}_id,{FIELDS}",
        limit="500",
    )
    shown = {(row[f"{level}_id"], row["date_start"]): row for row in rows}
    assert len(shown) == len(rows)
    for key, row in shown.items():
        assert row["date_start"] == row["date_stop"]
        adds_up([row], [true[key]])
    # Who was not delivered has no row.
    assert all(true[key]["impressions"] == 0 for key in true.keys() - shown.keys())


@pytest.mark.parametrize(
    "breakdowns",
    [
        "age",
        "gender",
        "age,gender",
        "country",
        "region",
        "dma",
        "publisher_platform",
        "publisher_platform,platform_position",
        "publisher_platform,platform_position,impression_device",
        "publisher_platform,impression_device",
        "device_platform",
        "hourly_stats_aggregated_by_advertiser_time_zone",
        "hourly_stats_aggregated_by_audience_time_zone",
    ],
)
def test_parts_of_an_audience_add_up_on_every_level(sandbox: SandboxProcess, breakdowns: str) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/insights"
    asked = {"fields": FIELDS, "date_preset": "yesterday", "limit": BIG_PAGE}
    whole = sandbox.get(path, **asked).json()["data"]
    parts = sandbox.get(path, breakdowns=breakdowns, **asked).json()["data"]
    names = breakdowns.split(",")
    keys = [tuple(row[name] for name in names) for row in parts]
    assert len(set(keys)) == len(keys) > 1
    for name in ("impressions", "clicks", "spend"):
        assert total(parts, name) == total(whole, name)
    by_campaign = sandbox.get(path, breakdowns=breakdowns, level="campaign", **asked).json()["data"]
    for key in keys:
        mine = [row for row in by_campaign if tuple(row[name] for name in names) == key]
        part = [row for row in parts if tuple(row[name] for name in names) == key]
        assert total(mine, "impressions") == total(part, "impressions")


@pytest.mark.parametrize("increment", ["1", "7", "monthly", "all_days"])
def test_slices_add_up_to_the_whole(sandbox: SandboxProcess, increment: str) -> None:
    account = sandbox.accounts("ad_account")[0]
    asked = {"fields": FIELDS, "date_preset": "last_90d", "limit": "1000"}
    [whole] = sandbox.get(f"{account['id']}/insights", **asked).json()["data"]
    slices = sandbox.get(f"{account['id']}/insights", time_increment=increment, **asked).json()["data"]
    assert (slices[0]["date_start"], slices[-1]["date_stop"]) == (whole["date_start"], whole["date_stop"])
    for name in FIELDS.split(","):
        assert total(slices, name) == total([whole], name)


def test_days_are_those_of_the_accounts_zone(sandbox: SandboxProcess) -> None:
    account = next(
        found
        for found in sandbox.accounts("ad_account")
        if found["timezone"] != "UTC" and 0 < found["children"]["ads"] < 100
    )
    zone = ZoneInfo(account["timezone"])
    for hour in (1, 13, 23):
        now = datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"])
        moment = now.replace(hour=hour, minute=0) + timedelta(days=1)
        sandbox.client.post("/_sandbox/clock", json={"now": moment.isoformat()}).raise_for_status()
        yesterday = moment.astimezone(zone).date() - timedelta(days=1)
        rows = sandbox.get(f"{account['id']}/insights", date_preset="yesterday", fields=FIELDS).json()["data"]
        assert [row["date_start"] for row in rows] == [yesterday.isoformat()]
        adds_up(rows, truth(sandbox, account, yesterday, yesterday))


def test_a_day_that_passes_brings_its_numbers(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/insights"
    assert sandbox.get(path, date_preset="today").json()["data"] == []
    before = sandbox.get(path, date_preset="yesterday").json()["data"]
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 86_400}).raise_for_status()
    after = sandbox.get(path, date_preset="yesterday").json()["data"]
    assert date.fromisoformat(after[0]["date_start"]) == date.fromisoformat(before[0]["date_start"]) + timedelta(days=1)


def test_rates_follow_from_the_counts(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    fields = "impressions,clicks,spend,reach,frequency,ctr,cpc,cpm,cpp,inline_link_clicks,actions,cost_per_action_type"
    [row] = sandbox.get(f"{account['id']}/insights", fields=fields).json()["data"]
    numbers = {name: Decimal(row[name]) for name in fields.split(",") if isinstance(row[name], str)}
    near = Decimal("0.000001")
    assert abs(numbers["ctr"] - numbers["clicks"] * 100 / numbers["impressions"]) < near
    assert abs(numbers["cpc"] - numbers["spend"] / numbers["clicks"]) < near
    assert abs(numbers["cpm"] - numbers["spend"] * 1000 / numbers["impressions"]) < near
    assert abs(numbers["cpp"] - numbers["spend"] * 1000 / numbers["reach"]) < near
    assert abs(numbers["frequency"] - numbers["impressions"] / numbers["reach"]) < near
    actions = {entry["action_type"]: entry["value"] for entry in row["actions"]}
    assert actions["link_click"] == row["inline_link_clicks"]
    whole = sum(int(actions[name]) for name in ("link_click", "post_reaction", "comment", "post", "video_view"))
    assert int(actions["post_engagement"]) == whole
    costs = {entry["action_type"]: Decimal(entry["value"]) for entry in row["cost_per_action_type"]}
    assert abs(costs["link_click"] - numbers["spend"] / int(actions["link_click"])) < near


def test_windows_of_attribution_add_up_to_the_value_and_gone_ones_are_not_shown(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/insights"
    windows = "['1d_click','7d_click','1d_view','7d_view','28d_view']"
    [row] = sandbox.get(path, fields="actions", action_attribution_windows=windows).json()["data"]
    [plain] = sandbox.get(path, fields="actions").json()["data"]
    shown = {name for entry in row["actions"] for name in entry}
    assert shown == {"action_type", "value", "1d_click", "7d_click", "1d_view"}
    assert [entry["value"] for entry in row["actions"]] == [entry["value"] for entry in plain["actions"]]
    for entry in row["actions"]:
        assert int(entry["7d_click"]) + int(entry.get("1d_view", 0)) == int(entry["value"])
    by_day = sandbox.get(path, fields="actions", action_attribution_windows=windows, time_increment="1", limit="40")
    views = [entry for day in by_day.json()["data"] for entry in day["actions"] if entry["action_type"] == "link_click"]
    whole = next(entry for entry in row["actions"] if entry["action_type"] == "link_click")
    assert sum(int(entry.get("1d_view", 0)) for entry in views) == int(whole["1d_view"])


def test_actions_off_meta_and_people_are_not_counted_by_the_hour(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    hourly = "hourly_stats_aggregated_by_advertiser_time_zone"
    rows = sandbox.get(f"{account['id']}/insights", fields="actions,reach,frequency", breakdowns=hourly).json()["data"]
    assert {(row["reach"], row["frequency"]) for row in rows} == {("0", "0")}
    kinds = {entry["action_type"] for row in rows for entry in row["actions"]}
    assert "link_click" in kinds
    assert not kinds & {"purchase", "omni_purchase", "lead", "landing_page_view"}


def test_rules_choose_objects_rows_and_parts(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/insights"
    rows = sandbox.get(path, level="campaign", fields="campaign_id,campaign_name,impressions", limit="500").json()[
        "data"
    ]
    chosen = [row["campaign_id"] for row in rows[:3]]

    def ask(*rules: Mapping[str, Any], **params: str) -> list[dict[str, Any]]:
        answer = sandbox.get(path, filtering=json.dumps(rules), limit="500", **params)
        assert answer.status_code == 200, answer.text
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    of_three = {"field": "campaign.id", "operator": "IN", "value": chosen}
    assert ask(of_three, level="campaign", fields="campaign_id,campaign_name,impressions") == rows[:3]
    assert total(ask(of_three), "impressions") == total(rows[:3], "impressions")
    assert total(ask(of_three, level="ad"), "impressions") == total(rows[:3], "impressions")
    least = sorted(int(row["impressions"]) for row in rows)[len(rows) // 2]
    many = {"field": "campaign.impressions", "operator": "GREATER_THAN", "value": least}
    found = ask(many, level="campaign", fields="campaign_id,impressions")
    assert [row["campaign_id"] for row in found] == [
        row["campaign_id"] for row in rows if int(row["impressions"]) > least
    ]
    adults = {"field": "age", "operator": "IN", "value": ["25-34", "35-44"]}
    assert {row["age"] for row in ask(adults, breakdowns="age")} == {"25-34", "35-44"}
    traffic = {"field": "objective", "operator": "IN", "value": ["OUTCOME_TRAFFIC"]}
    found = ask(traffic, level="campaign", fields="objective")
    assert {row["objective"] for row in found} == {"OUTCOME_TRAFFIC"}
    clicks = {"field": "action_type", "operator": "IN", "value": ["link_click"]}
    assert {entry["action_type"] for row in ask(clicks, fields="actions") for entry in row["actions"]} == {"link_click"}


def test_rows_can_be_sorted_and_summed_up(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    asked = {"level": "campaign", "fields": "campaign_id,spend,actions", "limit": "500", "default_summary": "true"}
    answer = sandbox.get(f"{account['id']}/insights", sort="spend_descending", **asked).json()
    spends = [Decimal(row["spend"]) for row in answer["data"]]
    assert spends == sorted(spends, reverse=True)
    assert Decimal(answer["summary"]["spend"]) == sum(spends)
    by_action = sandbox.get(f"{account['id']}/insights", sort="actions:comment_ascending", **asked).json()["data"]
    counts = [
        sum(int(entry["value"]) for entry in row["actions"] if entry["action_type"] == "comment") for row in by_action
    ]
    assert counts == sorted(counts)
    own = sandbox.get(f"{account['id']}/insights", level="ad", summary='["clicks"]').json()["summary"]
    assert own.keys() == {"clicks", "date_start", "date_stop"}


def test_pages_of_rows_have_cursors_in_both_directions_and_an_end(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/insights"
    whole = sandbox.get(path, level="ad", limit="500").json()
    assert "next" not in whole["paging"]
    assert whole["paging"]["cursors"]["before"] == "MAZDZD"
    pages = read_all(sandbox, path, level="ad", limit="70")
    assert pages == whole["data"]
    assert len(sandbox.get(path, level="ad").json()["data"]) == 25
    first = sandbox.get(path, level="ad", limit="10").json()
    second = sandbox.client.get(first["paging"]["next"]).json()
    assert second["data"] == whole["data"][10:20]
    assert sandbox.client.get(second["paging"]["previous"]).json()["data"] == first["data"]
    before = second["paging"]["cursors"]["before"]
    assert sandbox.get(path, level="ad", before=before, limit="50").json()["data"] == first["data"]
    front = sandbox.get(path, level="ad", before="MAZDZD").json()
    assert (front["data"], "paging" in front) == ([], False)


def test_insights_are_read_inside_fields_and_for_many_ids(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    campaigns = sandbox.children(account, "campaigns")[:3]
    ids = [campaign["id"] for campaign in campaigns]
    direct = [
        sandbox.get(f"{node_id}/insights", date_preset="last_7d", fields="spend").json()["data"] for node_id in ids
    ]
    fields = "name,insights.date_preset(last_7d){spend}"
    inside = sandbox.get("", ids=",".join(ids), fields=fields).json()
    assert [inside[node_id].get("insights", {"data": []})["data"] for node_id in ids] == direct
    many = sandbox.get("insights", ids=",".join(ids), date_preset="last_7d", fields="spend").json()
    assert [many[node_id]["data"] for node_id in ids] == direct
    listed = sandbox.get(f"{account['id']}/campaigns", fields=fields, limit="3").json()["data"]
    assert [row.get("insights", {"data": []})["data"] for row in listed] == direct


def test_days_named_for_a_list_are_those_of_the_insights_inside_it(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/campaigns"
    named = sandbox.get(path, fields="insights{spend}", date_preset="yesterday", limit="5").json()["data"]
    inside = sandbox.get(path, fields="insights.date_preset(yesterday){spend}", limit="5").json()["data"]
    assert [row["insights"]["data"] for row in named if "insights" in row] == [
        row["insights"]["data"] for row in inside if "insights" in row
    ]
    assert any("insights" in row for row in named)


def test_a_deleted_campaign_leaves_the_list_and_keeps_its_numbers(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/insights"
    asked = {"level": "campaign", "fields": "campaign_id,impressions", "limit": "500"}
    rows = sandbox.get(path, **asked).json()["data"]
    [whole] = sandbox.get(path).json()["data"]
    gone = rows[0]["campaign_id"]
    secret = sandbox.token("user_main")
    answer = sandbox.client.delete(f"/graph.facebook.com/v26.0/{gone}", params={"access_token": secret})
    assert answer.status_code == 200, answer.text
    assert sandbox.get(path, **asked).json()["data"] == rows[1:]
    assert sandbox.get(path).json()["data"] == [whole]
    assert sandbox.get(f"{gone}/insights", fields="campaign_id,impressions").json()["data"] == rows[:1]
    rule = json.dumps([{"field": "campaign.effective_status", "operator": "IN", "value": ["DELETED"]}])
    assert sandbox.get(path, filtering=rule, **asked).json()["data"] == rows[:1]


def test_each_call_is_logged_with_its_operation_and_paid_from_the_insights_budget(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    sandbox.get(f"{account['id']}/insights")
    row = sandbox.calls()[-1]
    assert row["operation"] == "meta.ad_account.insights"
    assert any(bucket.startswith("ads_insights:") for bucket in row["cost"])


def test_actions_by_device_add_up_to_the_actions(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    path = f"{account['id']}/insights"
    for breakdowns in ({}, {"breakdowns": "publisher_platform"}):
        asked = {"fields": "actions", "date_preset": "last_7d", **breakdowns}
        whole = sandbox.get(path, **asked).json()["data"]
        parts = sandbox.get(path, action_breakdowns="action_device,action_type", **asked).json()["data"]
        for row, parted in zip(whole, parts, strict=True):
            assert len({entry["action_device"] for entry in parted["actions"]}) > 1
            for kind in ("link_click", "purchase"):
                count = sum(int(entry["value"]) for entry in parted["actions"] if entry["action_type"] == kind)
                assert count == sum(int(entry["value"]) for entry in row["actions"] if entry["action_type"] == kind)


def test_results_are_what_an_ad_set_is_for(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]
    asked = {"level": "adset", "fields": "optimization_goal,results,actions,reach", "limit": "500"}
    indicators = {
        "LINK_CLICKS": "actions:link_click",
        "REACH": "reach",
        "OFFSITE_CONVERSIONS": "actions:offsite_conversion.fb_pixel_purchase",
        "POST_ENGAGEMENT": "actions:post_engagement",
    }
    for row in sandbox.get(f"{account['id']}/insights", **asked).json()["data"]:
        [result] = row["results"]
        assert result["indicator"] == indicators[row["optimization_goal"]]
        counts = {f"actions:{entry['action_type']}": entry["value"] for entry in row["actions"]}
        shown = [value["value"] for value in result.get("values", [])]
        expected = {"reach": row["reach"], **counts}.get(result["indicator"])
        assert shown == ([expected] if expected else [])
