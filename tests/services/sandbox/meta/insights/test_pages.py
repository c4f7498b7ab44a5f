"""Insights of pages and posts: what adds up, what is refused."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e


def page_token(sandbox: SandboxProcess, page_id: str) -> str:
    return next(
        str(token["id"])
        for token in sandbox.meta["tokens"]
        if token["kind"] == "page" and token["owner"]["id"] == page_id and token["state"] == "valid"
    )


def yesterday(sandbox: SandboxProcess) -> date:
    now = datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"])
    return now.date() - timedelta(days=1)


def truth(sandbox: SandboxProcess, page: dict[str, Any], since: date, until: date) -> dict[str, dict[str, Any]]:
    path = f"/_sandbox/world/meta/page/{page['id']}/metrics"
    rows = sandbox.client.get(path, params={"since": since.isoformat(), "until": until.isoformat()}).json()["rows"]
    return {row["date"]: row for row in rows}


def by_day(entry: dict[str, Any]) -> dict[str, Any]:
    """A day's number by the day: `end_time` is the midnight after it."""
    return {
        (date.fromisoformat(value["end_time"][:10]) - timedelta(days=1)).isoformat(): value["value"]
        for value in entry["values"]
    }


def test_daily_numbers_of_a_page_are_the_worlds_own(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    until = yesterday(sandbox)
    since = until - timedelta(days=13)
    answer = sandbox.get(
        f"v26.0/{page['id']}/insights",
        page_token(sandbox, page["id"]),
        metric="page_media_view,page_actions_post_reactions_like_total",
        period="day",
        since=since.isoformat(),
        until=(until + timedelta(days=1)).isoformat(),
    )
    assert answer.status_code == 200, answer.text
    views, likes = answer.json()["data"]
    true = truth(sandbox, page, since, until)
    assert by_day(views) == {day: row["views"] for day, row in true.items()}
    assert by_day(likes) == {day: row["likes"] for day, row in true.items()}
    assert views["id"] == f"{page['id']}/insights/page_media_view/day"
    assert all(value["end_time"].endswith(("T08:00:00+0000", "T07:00:00+0000")) for value in views["values"])
    assert answer.json()["paging"].keys() == {"previous", "next"}


def test_weeks_and_28_days_count_what_came_before_their_end(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    until = yesterday(sandbox)
    for period, days in (("week", 7), ("days_28", 28)):
        [entry] = sandbox.get(
            f"{page['id']}/insights",
            page_token(sandbox, page["id"]),
            metric="page_media_view",
            period=period,
            since=until.isoformat(),
            until=(until + timedelta(days=1)).isoformat(),
        ).json()["data"]
        true = truth(sandbox, page, until - timedelta(days=days - 1), until)
        assert [value["value"] for value in entry["values"]] == [sum(row["views"] for row in true.values())]


def test_a_posts_lifetime_is_what_the_world_counts(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    for post in sandbox.children(page, "posts")[5:9]:
        answer = sandbox.get(
            f"{post['id']}/insights",
            page_token(sandbox, page["id"]),
            metric="post_media_view,post_reactions_by_type_total,post_reactions_like_total",
        )
        views, reactions, likes = (entry["values"][0]["value"] for entry in answer.json()["data"])
        assert (views, likes) == (post["totals"]["views"], post["totals"]["likes"])
        assert sum(reactions.values()) == likes


def test_new_likes_of_a_page_are_its_new_follows(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    names = "page_fan_adds_by_paid_non_paid_unique,page_daily_follows"
    answer = sandbox.get(f"{page['id']}/insights", page_token(sandbox, page["id"]), metric=names, period="day")
    likes, follows = (by_day(entry) for entry in answer.json()["data"])
    assert likes == {day: {"total": count, "paid": 0, "unpaid": count} for day, count in follows.items()}


def test_one_wrong_metric_fails_the_whole_call(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    token = page_token(sandbox, page["id"])
    for metric in ("page_media_view,page_impressions", "page_fans", "post_media_view", "colour"):
        error = sandbox.get(f"{page['id']}/insights", token, metric=metric).json()["error"]
        assert (error["code"], error["message"]) == (100, "(#100) The value must be a valid insights metric")
    none = sandbox.get(f"{page['id']}/insights", token).json()["error"]
    assert (none["code"], none["error_subcode"]) == (3001, 1504028)


def test_a_metric_may_stand_in_the_path(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    token = page_token(sandbox, page["id"])
    asked = sandbox.get(f"{page['id']}/insights", token, metric="page_media_view", period="day").json()["data"]
    assert sandbox.get(f"{page['id']}/insights/page_media_view", token, period="day").json()["data"] == asked
    assert sandbox.get(f"{page['id']}/insights/colour", token).json()["error"]["code"] == 100


def test_only_the_pages_own_token_may_ask(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    error = sandbox.get(f"{page['id']}/insights", metric="page_media_view").json()["error"]
    assert error["code"] == 190


def test_more_than_ninety_days_and_days_of_long_ago_are_refused(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    token = page_token(sandbox, page["id"])
    for since in ("-100 days", "-3 years"):
        answer = sandbox.get(f"{page['id']}/insights", token, metric="page_media_view", since=since, until="now")
        assert answer.json()["error"]["code"] == 100
    assert sandbox.get(f"{page['id']}/insights", token, metric="page_media_view", period="hour").status_code == 400


def test_a_videos_numbers_are_those_of_its_post(sandbox: SandboxProcess) -> None:
    page = sandbox.accounts("page")[0]
    token = page_token(sandbox, page["id"])
    made = sandbox.client.post(
        f"/graph-video.facebook.com/v26.0/{page['id']}/videos",
        data={"access_token": sandbox.token(token), "file_url": "https://example.com/a.mp4"},
    ).json()["id"]
    assert sandbox.get(f"{made}/video_insights", token, metric="total_video_views").json()["data"] == []
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 3 * 86_400}).raise_for_status()
    post = sandbox.get(made, token, fields="post_id").json()["post_id"]
    asked = {"metric": "total_video_views,blue_reels_play_count"}
    views, plays = sandbox.get(f"{made}/video_insights", token, **asked).json()["data"]
    [seen] = sandbox.get(f"{post}/insights", token, metric="post_media_view").json()["data"]
    assert views["values"] == plays["values"] == seen["values"] != [{"value": 0}]
    assert len(sandbox.get(f"{made}/video_insights", token).json()["data"]) > 5
    assert sandbox.get(f"{made}/video_insights", token, metric="colour").json()["error"]["code"] == 100
    assert sandbox.get(f"{made}/video_insights", metric="total_video_views").json()["error"]["code"] == 190
