"""Posts of a page: made, scheduled, edited, deleted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.meta_writes import advance, ids, read, refusal, write, written
from tests.support.sandbox import SandboxProcess

PAGE = "page_busy"


def page(sandbox: SandboxProcess) -> dict[str, Any]:
    owner = sandbox.token_row(PAGE)["owner"]["id"]
    return next(account for account in sandbox.accounts("page") if account["id"] == owner)


def feed(sandbox: SandboxProcess) -> str:
    return f"{page(sandbox)['id']}/feed"


def now(sandbox: SandboxProcess) -> datetime:
    return datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"])


def in_minutes(sandbox: SandboxProcess, minutes: float) -> str:
    return str(int((now(sandbox) + timedelta(minutes=minutes)).timestamp()))


def test_a_post_is_named_after_its_page_and_is_first_everywhere(sandbox: SandboxProcess) -> None:
    made = written(sandbox, feed(sandbox), PAGE, message="Hello")["id"]
    assert made.startswith(f"{page(sandbox)['id']}_")
    for edge in ("feed", "posts", "published_posts"):
        assert ids(read(sandbox, f"{page(sandbox)['id']}/{edge}", PAGE, limit="3"))[0] == made
    truth = sandbox.children(page(sandbox), "posts")
    assert (truth[0]["id"], truth[0]["name"], len(truth)) == (made, "Hello", page(sandbox)["children"]["posts"] + 1)
    found = read(sandbox, made, PAGE, fields="message,is_published,from,application,status_type")
    assert (found["message"], found["is_published"], found["status_type"]) == ("Hello", True, "mobile_status_update")
    assert found["application"]["id"] == sandbox.token_row(PAGE)["app"]


def test_me_is_the_page_of_a_pages_token(sandbox: SandboxProcess) -> None:
    assert written(sandbox, "me/feed", PAGE, message="As me", fields="id,message")["message"] == "As me"


def test_a_link_shows_as_an_attachment(sandbox: SandboxProcess) -> None:
    made = written(sandbox, feed(sandbox), PAGE, message="Look", link="https://example.com/a")["id"]
    found = read(sandbox, made, PAGE, fields="attachments{media_type,unshimmed_url},status_type")
    assert found["attachments"]["data"][0]["media_type"] == "link"
    assert found["status_type"] == "shared_story"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, 100),
        ({"message": "x" * 63_207}, 100),
        ({"link": "https://nowhere.invalid/"}, 1609005),
        ({"message": "x", "published": "maybe"}, 100),
        ({"message": "x", "attached_media": [{"media_fbid": "1"}]}, 100),
    ],
)
def test_what_cannot_be_posted_is_refused(sandbox: SandboxProcess, params: dict[str, Any], code: int) -> None:
    assert refusal(sandbox, feed(sandbox), PAGE, **params)["code"] == code


def test_only_the_pages_own_token_posts(sandbox: SandboxProcess) -> None:
    error = refusal(sandbox, feed(sandbox), "user_main", message="As a person")
    assert (error["code"], error["error_subcode"]) == (190, 2069032)


def test_the_same_text_twice_in_a_row_is_a_duplicate(sandbox: SandboxProcess) -> None:
    written(sandbox, feed(sandbox), PAGE, message="Once")
    assert refusal(sandbox, feed(sandbox), PAGE, message="Once")["code"] == 506
    written(sandbox, feed(sandbox), PAGE, message="Twice")
    assert written(sandbox, feed(sandbox), PAGE, message="Once")["id"]


def test_a_cut_answer_is_found_out_by_the_duplicate(sandbox: SandboxProcess) -> None:
    sandbox.fault("cut_after", {"operation": "meta.page.create_post"}, times=1)
    with pytest.raises(httpx.TransportError):
        write(sandbox, feed(sandbox), PAGE, message="Did it go out?")
    assert refusal(sandbox, feed(sandbox), PAGE, message="Did it go out?")["code"] == 506
    assert sandbox.children(page(sandbox), "posts")[0]["name"] == "Did it go out?"


@pytest.mark.parametrize("minutes", [0, 9, 60 * 24 * 30 + 1])
def test_a_schedule_lies_between_ten_minutes_and_thirty_days(sandbox: SandboxProcess, minutes: int) -> None:
    at = in_minutes(sandbox, minutes)
    error = refusal(sandbox, feed(sandbox), PAGE, message="Later", published="false", scheduled_publish_time=at)
    assert error["message"] == "(#100) The specified scheduled publish time is invalid."


def test_a_published_post_has_no_schedule(sandbox: SandboxProcess) -> None:
    error = refusal(sandbox, feed(sandbox), PAGE, message="x", scheduled_publish_time=in_minutes(sandbox, 20))
    assert error["code"] == 100


def test_a_scheduled_post_goes_out_by_the_clock(sandbox: SandboxProcess) -> None:
    at = in_minutes(sandbox, 20)
    made = written(sandbox, feed(sandbox), PAGE, message="Soon", published="false", scheduled_publish_time=at)["id"]
    path = page(sandbox)["id"]
    assert ids(read(sandbox, f"{path}/scheduled_posts", PAGE)) == [made]
    assert read(sandbox, made, PAGE, fields="is_published,scheduled_publish_time") == {
        "id": made,
        "is_published": False,
        "scheduled_publish_time": int(at),
    }
    assert made in ids(read(sandbox, f"{path}/feed", PAGE))
    assert made not in ids(read(sandbox, f"{path}/published_posts", PAGE))
    assert len(sandbox.children(page(sandbox), "posts")) == page(sandbox)["children"]["posts"]
    advance(sandbox, 20 * 60 + 1)
    assert sandbox.children(page(sandbox), "posts")[0]["id"] == made
    assert ids(read(sandbox, f"{path}/scheduled_posts", PAGE)) == []
    found = read(sandbox, made, PAGE, fields="is_published,scheduled_publish_time,created_time")
    published = datetime.strptime(found["created_time"], "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC)
    assert (found["is_published"], int(published.timestamp())) == (True, int(at))
    assert "scheduled_publish_time" not in found


def test_a_schedule_can_be_moved_and_a_deleted_post_never_goes_out(sandbox: SandboxProcess) -> None:
    at = in_minutes(sandbox, 20)
    first, second = (
        written(sandbox, feed(sandbox), PAGE, message=text, published="false", scheduled_publish_time=at)["id"]
        for text in ("Moved", "Dropped")
    )
    assert written(sandbox, first, PAGE, scheduled_publish_time=in_minutes(sandbox, 60)) == {"success": True}
    assert written(sandbox, second, PAGE, method="DELETE") == {"success": True}
    advance(sandbox, 30 * 60)
    assert ids(read(sandbox, f"{page(sandbox)['id']}/scheduled_posts", PAGE)) == [first]
    advance(sandbox, 31 * 60)
    assert [row["id"] for row in sandbox.children(page(sandbox), "posts")][:1] == [first]


def test_a_draft_waits_until_somebody_publishes_it(sandbox: SandboxProcess) -> None:
    made = written(sandbox, feed(sandbox), PAGE, message="Draft", published="false", unpublished_content_type="DRAFT")
    advance(sandbox, 40 * 86_400)
    assert read(sandbox, made["id"], PAGE, fields="is_published")["is_published"] is False
    assert written(sandbox, made["id"], PAGE, is_published="true") == {"success": True}
    assert sandbox.children(page(sandbox), "posts")[0]["id"] == made["id"]


def test_an_app_edits_its_own_posts_only(sandbox: SandboxProcess) -> None:
    made = written(sandbox, feed(sandbox), PAGE, message="Tyop")["id"]
    assert written(sandbox, made, PAGE, message="Typo") == {"success": True}
    assert read(sandbox, made, PAGE)["message"] == "Typo"
    old = sandbox.children(page(sandbox), "posts")[-1]["id"]
    assert refusal(sandbox, old, PAGE, message="Ours now")["code"] == 200


def test_a_deleted_post_is_unknown_from_then_on(sandbox: SandboxProcess) -> None:
    made = written(sandbox, feed(sandbox), PAGE, message="Gone")["id"]
    assert written(sandbox, made, PAGE, method="DELETE") == {"success": True}
    assert refusal(sandbox, made, PAGE, method="DELETE")["error_subcode"] == 33
    assert len(sandbox.children(page(sandbox), "posts")) == page(sandbox)["children"]["posts"]
    old = sandbox.children(page(sandbox), "posts")[0]["id"]
    assert written(sandbox, old, PAGE, method="DELETE") == {"success": True}
    assert sandbox.children(page(sandbox), "posts")[0]["id"] != old


def test_a_post_whose_answer_cannot_be_read_is_out_all_the_same(sandbox: SandboxProcess) -> None:
    error = refusal(sandbox, feed(sandbox), PAGE, message="Seen", fields="permalink_urls")
    assert error["message"] == "(#100) Tried accessing nonexisting field (permalink_urls) on node type (Post)"
    assert (error["type"], error["code"]) == ("FacebookApiException", 100)
    newest = sandbox.children(page(sandbox), "posts")[0]
    assert (newest["id"], newest["name"]) == (error["original_response"]["id"], "Seen")


def test_what_a_post_carries_is_shown_again(sandbox: SandboxProcess) -> None:
    action = {"type": "LEARN_MORE", "value": {"link": "https://example.com"}}
    params = {"link": "https://example.com", "call_to_action": action, "fields": "call_to_action,message"}
    assert written(sandbox, feed(sandbox), PAGE, message="Go", **params)["call_to_action"] == action
