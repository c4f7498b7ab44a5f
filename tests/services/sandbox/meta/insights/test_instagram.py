"""Insights of Instagram accounts and media, on both hosts."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e


def ask(sandbox: SandboxProcess, path: str, **params: str) -> httpx.Response:
    return sandbox.get(f"v26.0/{path}", "user_main", **params)


def window(sandbox: SandboxProcess, days: int) -> tuple[str, str, str, str]:
    """First and last day, and the same as Unix moments: from midnight to midnight."""
    now = datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"])
    end = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = end - timedelta(days=days)
    first, last = begin.date().isoformat(), (end - timedelta(days=1)).date().isoformat()
    return first, last, str(int(begin.timestamp())), str(int(end.timestamp()))


def truth(sandbox: SandboxProcess, account: dict[str, Any], since: str, until: str) -> list[dict[str, Any]]:
    path = f"/_sandbox/world/meta/instagram/{account['id']}/metrics"
    rows: list[dict[str, Any]] = sandbox.client.get(path, params={"since": since, "until": until}).json()["rows"]
    return rows


def test_totals_of_an_account_add_up_to_the_worlds_days(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    since, until, begin, end = window(sandbox, 7)
    answer = ask(
        sandbox,
        f"{account['id']}/insights",
        metric="views,likes",
        period="day",
        metric_type="total_value",
        since=begin,
        until=end,
    )
    assert answer.status_code == 200, answer.text
    values = {entry["name"]: entry["total_value"]["value"] for entry in answer.json()["data"]}
    true = truth(sandbox, account, since, until)
    assert values == {name: sum(row[name] for row in true) for name in ("views", "likes")}


def test_parts_by_kind_of_media_and_of_follower_add_up(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    _, _, begin, end = window(sandbox, 3)
    for breakdown in ("media_product_type", "follow_type"):
        [entry] = ask(
            sandbox,
            f"{account['id']}/insights",
            metric="views",
            period="day",
            metric_type="total_value",
            breakdown=breakdown,
            since=begin,
            until=end,
        ).json()["data"]
        [parts] = entry["total_value"]["breakdowns"]
        assert parts["dimension_keys"] == [breakdown]
        assert sum(result["value"] for result in parts["results"]) == entry["total_value"]["value"]


def test_reach_has_a_value_a_day(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    _, _, begin, end = window(sandbox, 5)
    [entry] = ask(sandbox, f"{account['id']}/insights", metric="reach", period="day", since=begin, until=end).json()[
        "data"
    ]
    assert len(entry["values"]) == 5
    assert entry["values"][0].keys() == {"value", "end_time"}


def test_followers_are_parted_without_a_rest(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    followers = ask(sandbox, account["id"], fields="followers_count").json()["followers_count"]
    for breakdown in ("age", "city", "gender", "country", "age,gender"):
        [entry] = ask(
            sandbox,
            f"{account['id']}/insights",
            metric="follower_demographics",
            period="lifetime",
            metric_type="total_value",
            breakdown=breakdown,
        ).json()["data"]
        results = entry["total_value"]["breakdowns"][0]["results"]
        assert sum(result["value"] for result in results) == followers


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"metric": "impressions", "period": "day"}, "Starting from version 22"),
        ({"metric": "views,colour", "period": "day"}, "metric[1] must be one of the following values"),
        ({"metric": "views", "period": "day"}, "metric_type=total_value"),
        ({"metric": "reach", "period": "hour"}, "period must be one of"),
        ({"metric": "reach"}, "period"),
        ({"metric": "reach", "period": "day", "since": "-40 days", "until": "now"}, "30 days (2592000 s)"),
        (
            {"metric": "engaged_audience_demographics", "period": "lifetime", "metric_type": "total_value"},
            "breakdown",
        ),
    ],
)
def test_what_an_account_has_not_is_refused_with_code_100(
    sandbox: SandboxProcess, params: dict[str, str], text: str
) -> None:
    account = sandbox.accounts("instagram")[0]
    answer = ask(sandbox, f"{account['id']}/insights", **params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)
    assert text in answer.json()["error"]["message"]


def test_medias_lifetime_is_what_the_world_counts(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    for media in sandbox.children(account, "posts")[4:8]:
        answer = ask(sandbox, f"{media['id']}/insights", metric="views,likes,comments")
        assert answer.status_code == 200, answer.text
        values = {entry["name"]: entry["values"][0]["value"] for entry in answer.json()["data"]}
        assert values == {name: media["totals"][name] for name in ("views", "likes", "comments")}
        assert {entry["period"] for entry in answer.json()["data"]} == {"lifetime"}


def test_a_metric_that_a_kind_of_media_has_not_fails_the_whole_call(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    media = sandbox.children(account, "posts")[4]["id"]
    error = ask(sandbox, f"{media}/insights", metric="views,navigation").json()["error"]
    assert error["message"] == (
        "(#100) The Media Insights API does not support the navigation metric for this media product type."
    )
    assert ask(sandbox, f"{media}/insights", metric="views,colour").json()["error"]["code"] == 100
    assert ask(sandbox, f"{media}/insights", metric="views", breakdown="action_type").json()["error"]["code"] == 1


def test_reels_have_watch_times_and_pictures_have_not(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    listed = ask(sandbox, f"{account['id']}/media", fields="media_product_type", limit="100").json()["data"]
    metric = "views,ig_reels_avg_watch_time,ig_reels_video_view_total_time"
    reel = next(row["id"] for row in listed[5:] if row["media_product_type"] == "REELS")
    entries = ask(sandbox, f"{reel}/insights", metric=metric).json()["data"]
    views, average, whole = (entry["values"][0]["value"] for entry in entries)
    assert whole == views * average > 0
    picture = next(row["id"] for row in listed if row["media_product_type"] == "FEED")
    assert ask(sandbox, f"{picture}/insights", metric=metric).json()["error"]["code"] == 100
    assert ask(sandbox, f"{reel}/insights", metric="follows").json()["error"]["code"] == 100


def test_insights_are_read_inside_fields(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]
    listed = ask(sandbox, f"{account['id']}/media", fields="id,insights.metric(views,reach)", limit="10").json()["data"]
    some = next(row for row in listed if "insights" in row)
    assert [entry["name"] for entry in some["insights"]["data"]] == ["views", "reach"]


def test_instagram_login_has_the_same_numbers_on_its_own_host(sandbox: SandboxProcess) -> None:
    tokens = [token for token in sandbox.meta["tokens"] if token["owner"]["type"] == "instagram"]
    token = next(token for token in tokens if token["state"] == "valid")
    account = token["owner"]["id"]
    params = {"metric": "views", "period": "day", "metric_type": "total_value"}
    here = sandbox.client.get(
        "/graph.instagram.com/v26.0/me/insights", params={"access_token": token["access_token"], **params}
    )
    assert here.status_code == 200, here.text
    there = ask(sandbox, f"{account}/insights", **params).json()
    assert here.json()["data"] == there["data"]


def post(sandbox: SandboxProcess, path: str, **params: str) -> str:
    secret = sandbox.token("user_main")
    answer = sandbox.client.post(f"/graph.facebook.com/v26.0/{path}", data={"access_token": secret, **params})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def wait(sandbox: SandboxProcess, seconds: float) -> None:
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": seconds}).raise_for_status()


def publish(sandbox: SandboxProcess, account: str, **container: str) -> str:
    made = post(sandbox, f"{account}/media", **container)
    wait(sandbox, 300)
    return post(sandbox, f"{account}/media_publish", creation_id=made)


def test_what_lies_inside_a_carousel_has_no_numbers_of_its_own(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]["id"]
    picture = {"image_url": "https://example.com/a.jpg", "is_carousel_item": "true"}
    items = [post(sandbox, f"{account}/media", **picture) for _ in range(2)]
    wait(sandbox, 300)
    carousel = publish(sandbox, account, media_type="CAROUSEL", children=",".join(items))
    assert ask(sandbox, f"{carousel}/insights", metric="views").json()["data"] == []
    wait(sandbox, 2 * 86_400)
    assert ask(sandbox, f"{carousel}/insights", metric="views").json()["data"][0]["values"][0]["value"] > 0
    for child in ask(sandbox, f"{carousel}/children").json()["data"]:
        assert ask(sandbox, f"{child['id']}/insights", metric="views").json()["data"] == []


def test_a_story_has_its_own_metrics_and_none_after_a_day(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("instagram")[0]["id"]
    story = publish(sandbox, account, media_type="STORIES", image_url="https://example.com/a.jpg")
    assert ask(sandbox, f"{story}/insights", metric="saved").json()["error"]["code"] == 100
    wait(sandbox, 2 * 86_400)
    assert ask(sandbox, f"{story}/insights", metric="views,replies,navigation").json()["data"] == []
