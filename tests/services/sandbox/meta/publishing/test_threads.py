"""Publishing on Threads."""

from typing import Any

import pytest

from tests.support.meta_writes import THREADS, advance, ids, read, refusal, written
from tests.support.sandbox import SandboxProcess

IMAGE = "https://example.com/a.jpg"


def token(sandbox: SandboxProcess) -> str:
    assert sandbox.token_row("threads_busy")["owner"]["id"] == sandbox.accounts("threads")[0]["id"]
    return "threads_busy"


def contain(sandbox: SandboxProcess, **params: Any) -> str:
    return str(written(sandbox, "me/threads", token(sandbox), host=THREADS, **params)["id"])


def publish(sandbox: SandboxProcess, container: str) -> str:
    made = written(sandbox, "me/threads_publish", token(sandbox), host=THREADS, creation_id=container)
    return str(made["id"])


def look(sandbox: SandboxProcess, path: str, **params: str) -> Any:
    return read(sandbox, path, token(sandbox), host=THREADS, **params)


def usage(sandbox: SandboxProcess, field: str) -> int:
    path = "me/threads_publishing_limit"
    return int(look(sandbox, path, fields=field)["data"][0][field])


def test_a_text_is_ready_at_once_and_public_when_published(sandbox: SandboxProcess) -> None:
    profile = sandbox.accounts("threads")[0]
    container = contain(sandbox, media_type="TEXT", text="Hello")
    assert look(sandbox, container, fields="id,status,error_message") == {"id": container, "status": "FINISHED"}
    post = publish(sandbox, container)
    assert ids(look(sandbox, "me/threads", limit="2"))[0] == post
    found = look(sandbox, post, fields="text,media_type,permalink,is_reply")
    assert (found["text"], found["media_type"], found["is_reply"]) == ("Hello", "TEXT_POST", False)
    assert look(sandbox, container, fields="status")["status"] == "PUBLISHED"
    assert len(sandbox.children(profile, "posts")) == profile["children"]["posts"] + 1


def test_media_take_their_time(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, media_type="IMAGE", image_url=IMAGE, text="Look")
    early = refusal(sandbox, "me/threads_publish", token(sandbox), host=THREADS, creation_id=container)
    assert (early["code"], early["error_subcode"]) == (24, 4279009)
    advance(sandbox, 2)
    assert look(sandbox, publish(sandbox, container), fields="media_type")["media_type"] == "IMAGE"


def test_a_video_that_cannot_be_fetched_tells_why(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, media_type="VIDEO", video_url="https://away.invalid/a.mp4")
    advance(sandbox, 4)
    found = look(sandbox, container, fields="status,error_message")
    assert (found["status"], found["error_message"]) == ("ERROR", "FAILED_DOWNLOADING_VIDEO")


def test_an_unpublished_container_expires(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, media_type="TEXT", text="Late")
    advance(sandbox, 86_401)
    assert look(sandbox, container, fields="status")["status"] == "EXPIRED"
    error = refusal(sandbox, "me/threads_publish", token(sandbox), host=THREADS, creation_id=container)
    assert error["error_subcode"] == 4279009


def test_a_carousel_needs_items(sandbox: SandboxProcess) -> None:
    items = [contain(sandbox, media_type="IMAGE", image_url=IMAGE, is_carousel_item="true") for _ in range(2)]
    carousel = contain(sandbox, media_type="CAROUSEL", children=",".join(items), text="Two")
    advance(sandbox, 2)
    assert look(sandbox, publish(sandbox, carousel), fields="media_type")["media_type"] == "CAROUSEL_ALBUM"
    params = {"media_type": "CAROUSEL", "children": items[0]}
    assert refusal(sandbox, "me/threads", token(sandbox), host=THREADS, **params)["code"] == 100


def test_auto_publish_makes_the_post_in_one_call(sandbox: SandboxProcess) -> None:
    post = contain(sandbox, media_type="TEXT", text="At once", auto_publish_text="true")
    assert look(sandbox, post, fields="text")["text"] == "At once"
    assert usage(sandbox, "quota_usage") == 1


def test_a_reply_counts_apart_and_stands_below_its_post(sandbox: SandboxProcess) -> None:
    post = contain(sandbox, media_type="TEXT", text="Root", auto_publish_text="true")
    reply = publish(sandbox, contain(sandbox, media_type="TEXT", text="Leaf", reply_to_id=post))
    found = look(sandbox, reply, fields="is_reply,replied_to,root_post")
    assert (found["is_reply"], found["replied_to"]["id"], found["root_post"]["id"]) == (True, post, post)
    assert reply in ids(look(sandbox, f"{post}/replies"))
    assert reply not in ids(look(sandbox, "me/threads"))
    assert (usage(sandbox, "quota_usage"), usage(sandbox, "reply_quota_usage")) == (1, 1)
    hidden = written(sandbox, f"{reply}/manage_reply", token(sandbox), host=THREADS, hide="true")
    assert hidden == {"success": True}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"media_type": "SONG"},
        {"media_type": "TEXT"},
        {"media_type": "IMAGE"},
        {"media_type": "TEXT", "text": "x" * 501},
        {"media_type": "TEXT", "text": "😀" * 126},
        {"media_type": "TEXT", "text": " ".join(f"https://example.com/{number}" for number in range(6))},
        {"media_type": "IMAGE", "image_url": IMAGE, "link_attachment": "https://example.com"},
        {"media_type": "TEXT", "text": "x", "topic_tag": "a.b"},
        {"media_type": "TEXT", "text": "x", "reply_control": "nobody"},
    ],
)
def test_what_threads_does_not_take_is_refused(sandbox: SandboxProcess, params: dict[str, str]) -> None:
    assert refusal(sandbox, "me/threads", token(sandbox), host=THREADS, **params)["code"] == 100


def test_emoji_count_as_their_bytes(sandbox: SandboxProcess) -> None:
    assert contain(sandbox, media_type="TEXT", text="😀" * 125)


def test_a_deleted_post_is_named_and_gone(sandbox: SandboxProcess) -> None:
    post = contain(sandbox, media_type="TEXT", text="Gone", auto_publish_text="true")
    deleted = written(sandbox, post, token(sandbox), host=THREADS, method="DELETE")
    assert deleted == {"success": True, "deleted_id": post}
    assert post not in ids(look(sandbox, "me/threads"))
    assert usage(sandbox, "delete_quota_usage") == 1


def test_two_hundred_and_fifty_posts_a_day_are_all(sandbox: SandboxProcess) -> None:
    for number in range(250):
        contain(sandbox, media_type="TEXT", text=str(number), auto_publish_text="true")
    container = contain(sandbox, media_type="TEXT", text="One more")
    error = refusal(sandbox, "me/threads_publish", token(sandbox), host=THREADS, creation_id=container)
    assert error["code"] == 9
    assert look(sandbox, "me/threads_publishing_limit")["data"][0]["quota_usage"] == 250
    advance(sandbox, 86_401)
    assert contain(sandbox, media_type="TEXT", text="New day", auto_publish_text="true")


def test_no_other_hosts_token_publishes_on_threads(sandbox: SandboxProcess) -> None:
    error = refusal(sandbox, "me/threads", "user_main", host=THREADS, media_type="TEXT", text="x")
    assert error["code"] == 190


def test_a_repost_shows_the_other_post_and_counts(sandbox: SandboxProcess) -> None:
    post = contain(sandbox, media_type="TEXT", text="Good", auto_publish_text="true")
    repost = written(sandbox, f"{post}/repost", token(sandbox), host=THREADS)["id"]
    found = look(sandbox, repost, fields="media_type,reposted_post")
    assert (found["media_type"], found["reposted_post"]["id"]) == ("REPOST_FACADE", post)
    assert usage(sandbox, "quota_usage") == 2


def test_a_quote_shows_what_it_quotes(sandbox: SandboxProcess) -> None:
    post = contain(sandbox, media_type="TEXT", text="Said", auto_publish_text="true")
    quote = publish(sandbox, contain(sandbox, media_type="TEXT", text="Look", quote_post_id=post))
    found = look(sandbox, quote, fields="is_quote_post,quoted_post")
    assert (found["is_quote_post"], found["quoted_post"]["id"]) == (True, post)
    params = {"media_type": "TEXT", "text": "x", "quote_post_id": "1"}
    assert refusal(sandbox, "me/threads", token(sandbox), host=THREADS, **params)["error_subcode"] == 4279009


def test_a_link_is_shown_under_its_own_name(sandbox: SandboxProcess) -> None:
    link = "https://example.com/a"
    post = publish(sandbox, contain(sandbox, media_type="TEXT", text="Read", link_attachment=link))
    assert look(sandbox, post, fields="link_attachment_url")["link_attachment_url"] == link
