"""From a write through the API to the subscriber: posts, comments, ads, Threads, Instagram."""

import json
from datetime import datetime
from typing import Any

import pytest

from tests.support.meta_webhooks import app_of, install, is_signed, listen_to_page, subscribe, values_of
from tests.support.meta_writes import INSTAGRAM, THREADS, write, written
from tests.support.sandbox import SandboxProcess
from tests.support.webhook_sink import WebhookSink

pytestmark = pytest.mark.e2e


def test_a_post_is_told_when_it_is_made_changed_and_deleted(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    post = written(sandbox, f"{page}/feed", "page_busy", message="Grüße / 👋")["id"]
    written(sandbox, post, "page_busy", message="Changed")
    comment = written(sandbox, f"{post}/comments", "page_busy", message="First!")["id"]
    write(sandbox, post, "page_busy", method="DELETE").raise_for_status()
    told = [value for delivery in sink.got(4) for value in values_of(delivery)]
    assert [(value["item"], value["verb"]) for value in told] == [
        ("status", "add"), ("status", "edited"), ("comment", "add"), ("status", "remove"),
    ]  # fmt: skip
    assert [value["post_id"] for value in told] == [post] * 4
    assert (told[0]["message"], told[2]["comment_id"]) == ("Grüße / 👋", comment)
    assert rb"Gr\u00fc\u00dfe \/ \ud83d\udc4b" in sink.got(1)[0].body


def test_a_like_is_told_once_until_it_is_taken_back(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    post = sandbox.get(f"{page}/posts", token="page_busy").json()["data"][0]["id"]
    for method in ("POST", "POST", "DELETE"):
        write(sandbox, f"{post}/likes", "page_busy", method=method).raise_for_status()
    told = [value for delivery in sink.got(2) for value in values_of(delivery)]
    assert [(value["item"], value["verb"], value["reaction_type"]) for value in told] == [
        ("reaction", "add", "like"), ("reaction", "remove", "like"),
    ]  # fmt: skip
    assert {(value["post_id"], value["from"]["id"]) for value in told} == {(post, page)}


def test_a_video_is_told_when_it_is_ready_and_when_its_post_is_there(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    page = listen_to_page(sandbox, sink, "feed,videos")
    video = written(sandbox, f"{page}/videos", "page_busy", file_url="https://example.com/a.mp4")["id"]
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 3})
    (delivery,) = sink.got(1)
    told = {change["field"]: change["value"] for change in delivery.content["entry"][0]["changes"]}
    assert told["videos"] == {"id": video, "status": {"video_status": "ready"}}
    assert (told["feed"]["item"], told["feed"]["video_id"]) == ("video", video)


def test_a_scheduled_post_is_told_when_it_goes_out_though_nobody_calls(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    page = listen_to_page(sandbox, sink)
    moment = int(datetime.fromisoformat(sandbox.world["now"]).timestamp()) + 3600
    post = written(
        sandbox, f"{page}/feed", "page_busy", message="Later", published="false", scheduled_publish_time=str(moment)
    )["id"]
    assert [value["published"] for value in values_of(sink.got(1)[0])] == [0]
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 3601})
    (value,) = values_of(sink.got(2)[1])
    assert (value["post_id"], value["verb"], value["published"]) == (post, "add", 1)


def test_an_ad_account_hears_of_what_a_paused_campaign_does_to_its_ads(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    subscribe(sandbox, sink, "ad_account", "effective_status")
    install(sandbox, account, "system_main", app_id=app_of(sandbox, "system_main"))
    rows = sandbox.get(f"{account}/ads", fields="campaign_id", effective_status=json.dumps(["ACTIVE"])).json()["data"]
    campaign = rows[0]["campaign_id"]
    written(sandbox, campaign, status="PAUSED")
    (delivery,) = sink.got(1)
    (entry,) = delivery.content["entry"]
    changed = [change["value"]["object_id"] for change in entry["changes"]]
    assert entry["id"] == account.removeprefix("act_")
    assert {campaign, rows[0]["id"]} <= set(changed)
    assert len(changed) == len(set(changed))
    assert {change["field"] for change in entry["changes"]} == {"field_changed"}


def test_a_new_ad_is_told_when_its_review_is_over(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    subscribe(sandbox, sink, "ad_account", "in_process_ad_objects")
    install(sandbox, account, "system_main", app_id=app_of(sandbox, "system_main"))
    active = json.dumps(["ACTIVE"])
    (above,) = sandbox.get(f"{account}/adsets", fields="id", effective_status=active, limit="1").json()["data"]
    creative = sandbox.get(f"{account}/adcreatives", limit="1").json()["data"][0]["id"]
    ad = written(
        sandbox, f"{account}/ads", name="New", adset_id=above["id"], creative={"creative_id": creative}, status="ACTIVE"
    )["id"]
    assert sandbox.get(ad, fields="effective_status").json()["effective_status"] == "PENDING_REVIEW"
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 61})
    (value,) = values_of(sink.got(1)[0])
    assert value == {"id": ad, "level": "AD", "status_name": "Active"}


def test_threads_are_told_to_the_app_that_the_profile_logged_in_to(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    assert subscribe(sandbox, sink, "threads", "publish,delete", app="app_threads").status_code == 200
    container = written(sandbox, "me/threads", "threads_busy", host=THREADS, media_type="TEXT", text="Hello")["id"]
    post = written(sandbox, "me/threads_publish", "threads_busy", host=THREADS, creation_id=container)["id"]
    write(sandbox, post, "threads_busy", method="DELETE", host=THREADS).raise_for_status()
    told = [delivery.content for delivery in sink.got(2)]
    assert [(each["values"]["field"], each["values"]["value"]["id"]) for each in told] == [
        ("publish", post), ("delete", post),
    ]  # fmt: skip
    row = sandbox.token_row("threads_busy")
    assert told[0]["values"]["value"]["owner"]["owner_id"] == row["owner"]["id"]
    assert all(is_signed(delivery, sandbox.app(row["app"])["webhook_secret"]) for delivery in sink.got(2))


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_comment_on_instagram_is_told_in_the_shape_of_its_login(
    sandbox: SandboxProcess, sink: WebhookSink, login: str
) -> None:
    profile = sandbox.token_row("instagram_busy")["owner"]["id"]
    if login == "facebook":
        page = sandbox.token_row("page_busy")["owner"]["id"]
        subscribe(sandbox, sink, "instagram", "comments")
        install(sandbox, page, "page_busy", subscribed_fields="feed").raise_for_status()
    else:
        subscribe(sandbox, sink, "instagram", "comments", app="app_instagram")
        install(sandbox, "me", "instagram_busy", INSTAGRAM, subscribed_fields="comments").raise_for_status()
    medium = sandbox.get(f"{profile}/media").json()["data"][0]["id"]
    comment = written(sandbox, f"{medium}/comments", message="Nice")["id"]
    (entry,) = sink.got(1)[0].content["entry"]
    change: dict[str, Any] = entry["changes"][0] if login == "facebook" else entry
    assert (entry["id"], change["field"], change["value"]["id"]) == (profile, "comments", comment)
    assert change["value"]["media"]["id"] == medium
