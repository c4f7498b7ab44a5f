"""Publishing on Instagram, with both kinds of login."""

from typing import Any

import pytest

from tests.support.meta_writes import INSTAGRAM, advance, ids, read, refusal, written
from tests.support.sandbox import SandboxProcess

IMAGE = "https://example.com/a.jpg"
VIDEO = "https://example.com/a.mp4"
TOKEN = "page_busy"


def account(sandbox: SandboxProcess) -> dict[str, Any]:
    seen = {each["id"] for each in sandbox.token_row(TOKEN)["sees"]}
    return next(found for found in sandbox.accounts("instagram") if found["id"] in seen)


def contain(sandbox: SandboxProcess, **params: Any) -> str:
    return str(written(sandbox, f"{account(sandbox)['id']}/media", TOKEN, **params)["id"])


def publish(sandbox: SandboxProcess, container: str) -> str:
    return str(written(sandbox, f"{account(sandbox)['id']}/media_publish", TOKEN, creation_id=container)["id"])


def state(sandbox: SandboxProcess, container: str) -> str:
    return str(read(sandbox, container, TOKEN, fields="status_code")["status_code"])


def test_an_image_is_made_ready_and_then_published(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, image_url=IMAGE, caption="Hello", alt_text="A wave")
    assert state(sandbox, container) == "IN_PROGRESS"
    path = f"{account(sandbox)['id']}/media_publish"
    error = refusal(sandbox, path, TOKEN, creation_id=container)
    assert (error["code"], error["error_subcode"], error["message"]) == (9007, 2207027, "Media ID is not available")
    advance(sandbox, 2)
    assert state(sandbox, container) == "FINISHED"
    media = publish(sandbox, container)
    assert media != container
    assert state(sandbox, container) == "PUBLISHED"
    assert ids(read(sandbox, f"{account(sandbox)['id']}/media", TOKEN, limit="2"))[0] == media
    found = read(sandbox, media, TOKEN, fields="caption,media_type,media_product_type,alt_text,shortcode")
    assert (found["caption"], found["media_type"], found["media_product_type"]) == ("Hello", "IMAGE", "FEED")
    truth = sandbox.children(account(sandbox), "posts")
    assert (truth[0]["id"], len(truth)) == (media, account(sandbox)["children"]["posts"] + 1)


def test_one_container_is_published_once(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, image_url=IMAGE)
    advance(sandbox, 2)
    publish(sandbox, container)
    error = refusal(sandbox, f"{account(sandbox)['id']}/media_publish", TOKEN, creation_id=container)
    assert error["error_subcode"] == 2207027
    assert len(sandbox.children(account(sandbox), "posts")) == account(sandbox)["children"]["posts"] + 1


def test_a_container_expires_after_a_day(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, image_url=IMAGE)
    advance(sandbox, 86_401)
    assert state(sandbox, container) == "EXPIRED"
    error = refusal(sandbox, f"{account(sandbox)['id']}/media_publish", TOKEN, creation_id=container)
    assert (error["code"], error["error_subcode"]) == (24, 2207008)


def test_a_reel_takes_longer_and_tells_when_its_video_cannot_be_fetched(sandbox: SandboxProcess) -> None:
    good = contain(sandbox, media_type="REELS", video_url=VIDEO)
    bad = contain(sandbox, media_type="REELS", video_url="https://away.invalid/a.mp4")
    advance(sandbox, 4)
    assert (state(sandbox, good), state(sandbox, bad)) == ("FINISHED", "ERROR")
    assert "2207052" in read(sandbox, bad, TOKEN, fields="status")["status"]
    assert refusal(sandbox, f"{account(sandbox)['id']}/media_publish", TOKEN, creation_id=bad)["code"] == -1
    found = read(sandbox, publish(sandbox, good), TOKEN, fields="media_type,media_product_type")
    assert (found["media_type"], found["media_product_type"]) == ("VIDEO", "REELS")


def test_a_carousel_is_one_post_of_several(sandbox: SandboxProcess) -> None:
    items = [contain(sandbox, image_url=IMAGE, is_carousel_item="true") for _ in range(2)]
    items.append(contain(sandbox, media_type="VIDEO", video_url=VIDEO, is_carousel_item="true"))
    carousel = contain(sandbox, media_type="CAROUSEL", children=",".join(items), caption="Three")
    advance(sandbox, 4)
    media = publish(sandbox, carousel)
    assert read(sandbox, media, TOKEN, fields="media_type")["media_type"] == "CAROUSEL_ALBUM"
    assert len(read(sandbox, f"{media}/children", TOKEN)["data"]) == 3
    assert state(sandbox, items[0]) == "PUBLISHED"
    path = f"{account(sandbox)['id']}/content_publishing_limit"
    assert read(sandbox, path, TOKEN, fields="quota_usage,config") == {
        "data": [{"quota_usage": 1, "config": {"quota_total": 50, "quota_duration": 86400}}]
    }


def test_a_story_is_in_no_list_of_posts(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, media_type="STORIES", image_url=IMAGE)
    advance(sandbox, 2)
    media = publish(sandbox, container)
    assert media not in ids(read(sandbox, f"{account(sandbox)['id']}/media", TOKEN))
    assert read(sandbox, media, TOKEN, fields="media_product_type")["media_product_type"] == "STORY"
    assert ids(read(sandbox, f"{account(sandbox)['id']}/stories", TOKEN)) == [media]
    advance(sandbox, 86_401)
    assert ids(read(sandbox, f"{account(sandbox)['id']}/stories", TOKEN)) == []


@pytest.mark.parametrize(
    ("params", "code", "subcode"),
    [
        ({}, 100, None),
        ({"image_url": "https://away.invalid/a.jpg"}, 9004, 2207052),
        ({"image_url": "https://example.com/a.gif"}, 36001, 2207005),
        ({"image_url": IMAGE, "caption": "x" * 2201}, 36004, 2207010),
        ({"image_url": IMAGE, "caption": "#a " * 31}, 36004, 2207010),
        ({"image_url": IMAGE, "caption": "@a " * 21}, 100, 2207040),
        ({"media_type": "FILM", "video_url": VIDEO}, 100, 2207023),
        ({"media_type": "REELS", "video_url": VIDEO, "thumb_offset": "90000"}, 1, 2207057),
        ({"media_type": "CAROUSEL", "children": "1"}, 100, 2207028),
        ({"media_type": "CAROUSEL", "children": "1,2"}, 24, 2207006),
        ({"media_type": "REELS"}, 100, None),
    ],
)
def test_what_instagram_does_not_take_has_its_documented_code(
    sandbox: SandboxProcess, params: dict[str, str], code: int, subcode: int | None
) -> None:
    error = refusal(sandbox, f"{account(sandbox)['id']}/media", TOKEN, **params)
    assert (error["code"], error.get("error_subcode")) == (code, subcode)


def test_fifty_posts_a_day_are_all(sandbox: SandboxProcess) -> None:
    containers = [contain(sandbox, image_url=IMAGE) for _ in range(51)]
    advance(sandbox, 2)
    for container in containers[:50]:
        publish(sandbox, container)
    path = f"{account(sandbox)['id']}/media_publish"
    error = refusal(sandbox, path, TOKEN, creation_id=containers[50])
    assert (error["code"], error["error_subcode"]) == (9, 2207042)
    advance(sandbox, 86_400)
    later = contain(sandbox, image_url=IMAGE)
    advance(sandbox, 2)
    assert publish(sandbox, later)


def test_a_local_file_goes_over_the_upload_host(sandbox: SandboxProcess) -> None:
    path = f"{account(sandbox)['id']}/media"
    begun = written(sandbox, path, TOKEN, media_type="REELS", upload_type="resumable")
    assert begun["uri"].startswith(f"{sandbox.url}/rupload.facebook.com/ig-api-upload/v26.0/")
    advance(sandbox, 60)
    assert state(sandbox, begun["id"]) == "IN_PROGRESS"
    headers = {"Authorization": f"OAuth {sandbox.token(TOKEN)}", "offset": "0", "file_size": "3"}
    assert sandbox.client.post(begun["uri"], content=b"abc", headers=headers).json()["success"] is True
    advance(sandbox, 4)
    assert publish(sandbox, begun["id"])


def test_another_accounts_container_is_not_found(sandbox: SandboxProcess) -> None:
    container = contain(sandbox, image_url=IMAGE)
    advance(sandbox, 2)
    other = next(each["id"] for each in sandbox.token_row("page_quiet")["sees"] if each["type"] == "instagram")
    assert refusal(sandbox, f"{other}/media_publish", "page_quiet", creation_id=container)["error_subcode"] == 2207006


def test_instagram_login_publishes_on_its_own_host(sandbox: SandboxProcess) -> None:
    token = "instagram_busy"
    made = written(sandbox, "me/media", token, host=INSTAGRAM, image_url=IMAGE)
    advance(sandbox, 2)
    assert read(sandbox, made["id"], token, host=INSTAGRAM, fields="status_code")["status_code"] == "FINISHED"
    assert written(sandbox, "me/media_publish", token, host=INSTAGRAM, creation_id=made["id"])["id"]


def test_media_are_deleted_and_closed_to_comments(sandbox: SandboxProcess) -> None:
    media = sandbox.children(account(sandbox), "posts")[0]["id"]
    assert written(sandbox, media, TOKEN, comment_enabled="false") == {"success": True}
    assert read(sandbox, media, TOKEN, fields="is_comment_enabled")["is_comment_enabled"] is False
    assert written(sandbox, media, TOKEN, method="DELETE") == {"success": True}
    assert sandbox.children(account(sandbox), "posts")[0]["id"] != media


def test_products_are_tagged_with_a_place_on_pictures_only(sandbox: SandboxProcess) -> None:
    path = f"{account(sandbox)['id']}/media"
    catalog = next(found["id"] for found in sandbox.accounts("catalog") if found["id"] in seen_by_user(sandbox))
    product = read(sandbox, f"{catalog}/products", limit="1")["data"][0]["id"]
    placed, bare = [{"product_id": product, "x": 0.5, "y": 0.5}], [{"product_id": product}]
    assert written(sandbox, path, TOKEN, image_url=IMAGE, product_tags=placed)["id"]
    assert refusal(sandbox, path, TOKEN, image_url=IMAGE, product_tags=bare)["error_subcode"] == 2207036
    reel = {"media_type": "REELS", "video_url": VIDEO}
    assert refusal(sandbox, path, TOKEN, **reel, product_tags=placed)["error_subcode"] == 2207035
    assert written(sandbox, path, TOKEN, **reel, product_tags=bare)["id"]
    unknown = [{"product_id": "1"}]
    assert refusal(sandbox, path, TOKEN, image_url=IMAGE, product_tags=unknown)["error_subcode"] == 2207037


def seen_by_user(sandbox: SandboxProcess) -> set[str]:
    return {str(each["id"]) for each in sandbox.token_row("user_main")["sees"]}
