"""Photos of a page: alone, several in one post, as a story."""

import json

import pytest

from tests.support.meta_writes import advance, ids, read, refusal, written
from tests.support.sandbox import SandboxProcess

PAGE = "page_busy"
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 100


def photos(sandbox: SandboxProcess) -> str:
    return f"{sandbox.token_row(PAGE)['owner']['id']}/photos"


def test_a_published_photo_brings_its_post(sandbox: SandboxProcess) -> None:
    made = written(sandbox, photos(sandbox), PAGE, url="https://example.com/a.jpg", caption="Sunset")
    assert read(sandbox, made["post_id"], PAGE, fields="message,status_type")["status_type"] == "added_photos"
    found = read(sandbox, made["id"], PAGE, fields="name,page_story_id")
    assert (found["name"], found["page_story_id"]) == ("Sunset", made["post_id"])


def test_a_photo_may_come_as_a_file(sandbox: SandboxProcess) -> None:
    made = written(sandbox, photos(sandbox), PAGE, files={"source": ("a.jpg", JPEG, "image/jpeg")})
    assert made["post_id"]
    big = {"source": ("b.jpg", JPEG + b"\0" * 4 * 1024 * 1024, "image/jpeg")}
    assert refusal(sandbox, photos(sandbox), PAGE, files=big)["error_subcode"] == 1366046


def test_unpublished_photos_are_seen_once_a_post_takes_them(sandbox: SandboxProcess) -> None:
    unpublished = [
        written(sandbox, photos(sandbox), PAGE, url=f"https://example.com/{number}.jpg", published="false")
        for number in range(2)
    ]
    assert all(set(answer) == {"id"} for answer in unpublished)
    attached = [{"media_fbid": answer["id"]} for answer in unpublished]
    feed = photos(sandbox).replace("/photos", "/feed")
    made = written(sandbox, feed, PAGE, message="Two", attached_media=attached)["id"]
    targets = read(sandbox, made, PAGE, fields="attachments{target}")["attachments"]["data"]
    assert [row["target"]["id"] for row in targets] == [answer["id"] for answer in unpublished]
    error = refusal(sandbox, feed, PAGE, message="Again", attached_media=attached)
    assert error["error_subcode"] == 1366051


@pytest.mark.parametrize("params", [{}, {"url": "ftp://example.com/a.jpg"}, {"url": "https://away.invalid/a.jpg"}])
def test_a_photo_that_cannot_be_had_is_refused(sandbox: SandboxProcess, params: dict[str, str]) -> None:
    assert refusal(sandbox, photos(sandbox), PAGE, **params)["code"] == 324


def test_a_story_takes_an_unpublished_photo_and_stands_in_no_feed(sandbox: SandboxProcess) -> None:
    photo = written(sandbox, photos(sandbox), PAGE, url="https://example.com/a.jpg", published="false")["id"]
    stories = photos(sandbox).replace("/photos", "/photo_stories")
    made = written(sandbox, stories, PAGE, photo_id=photo)
    assert made["success"] is True
    assert made["post_id"] not in ids(read(sandbox, photos(sandbox).replace("/photos", "/feed"), PAGE))
    assert refusal(sandbox, stories, PAGE, photo_id=photo)["error_subcode"] == 1366051
    edge = photos(sandbox).replace("/photos", "/stories")
    (row,) = read(sandbox, edge, PAGE)["data"]
    assert (row["post_id"], row["media_type"], row["media_id"]) == (made["post_id"], "photo", photo)
    assert row["status"] == "PUBLISHED"
    advance(sandbox, 86_401)
    assert read(sandbox, edge, PAGE, status="PUBLISHED")["data"] == []
    assert read(sandbox, edge, PAGE, status="ARCHIVED")["data"][0]["post_id"] == made["post_id"]


def test_a_photos_own_post_goes_with_it(sandbox: SandboxProcess) -> None:
    made = written(sandbox, photos(sandbox), PAGE, url="https://example.com/a.jpg")
    assert written(sandbox, made["id"], PAGE, method="DELETE") == {"success": True}
    assert refusal(sandbox, made["post_id"], PAGE, method="DELETE")["error_subcode"] == 33


def test_files_of_a_batch_belong_to_the_items_that_name_them(sandbox: SandboxProcess) -> None:
    item = {"method": "POST", "relative_url": "me/photos", "body": "published=false"}
    batch = [{**item, "attached_files": "first"}, item]
    data = {"access_token": sandbox.token(PAGE), "batch": json.dumps(batch)}
    files = {"first": ("a.jpg", JPEG, "image/jpeg")}
    results = sandbox.client.post("/graph.facebook.com/v26.0/", data=data, files=files).json()
    assert [result["code"] for result in results] == [200, 400]
