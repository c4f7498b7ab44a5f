"""Reels and video stories: begun, uploaded, finished."""

from typing import Any

import pytest

from tests.support.meta_writes import advance, ids, read, refusal, written
from tests.support.sandbox import SandboxProcess

PAGE = "page_busy"


def edge(sandbox: SandboxProcess, name: str = "video_reels") -> str:
    return f"{sandbox.token_row(PAGE)['owner']['id']}/{name}"


def upload(sandbox: SandboxProcess, url: str, body: bytes = b"", **headers: str) -> Any:
    sent = {"Authorization": f"OAuth {sandbox.token(PAGE)}", **headers}
    return sandbox.client.post(url, content=body, headers=sent)


def begin(sandbox: SandboxProcess, name: str = "video_reels") -> dict[str, Any]:
    return written(sandbox, edge(sandbox, name), PAGE, upload_phase="start")


def finish(sandbox: SandboxProcess, video: str, name: str = "video_reels", **params: str) -> dict[str, Any]:
    wanted = {"upload_phase": "finish", "video_id": video, "video_state": "PUBLISHED", **params}
    return written(sandbox, edge(sandbox, name), PAGE, **wanted)


def test_a_reel_goes_through_its_phases(sandbox: SandboxProcess) -> None:
    begun = begin(sandbox)
    assert begun["upload_url"].startswith(f"{sandbox.url}/rupload.facebook.com/video-upload/v26.0/")
    error = refusal(sandbox, edge(sandbox), PAGE, upload_phase="finish", video_id=begun["video_id"])
    assert error["code"] == 6000
    assert upload(sandbox, begun["upload_url"], b"1234567890", offset="0", file_size="10").json()["success"] is True
    status = read(sandbox, begun["video_id"], PAGE, fields="status")["status"]
    assert (status["video_status"], status["uploading_phase"]["status"]) == ("upload_complete", "complete")
    assert finish(sandbox, begun["video_id"], description="Reeling") == {"success": True}
    assert ids(read(sandbox, edge(sandbox), PAGE)) == []
    advance(sandbox, 3)
    found = read(sandbox, begun["video_id"], PAGE, fields="status,post_id,description")
    assert found["status"]["publishing_phase"]["status"] == "complete"
    assert ids(read(sandbox, edge(sandbox), PAGE)) == [begun["video_id"]]
    # Feeds list no reels.
    assert found["post_id"] not in ids(read(sandbox, edge(sandbox, "feed"), PAGE))


def test_an_upload_goes_on_where_it_stopped(sandbox: SandboxProcess) -> None:
    begun = begin(sandbox)
    url = begun["upload_url"]
    assert upload(sandbox, url, b"12345", offset="0", file_size="10").status_code == 200
    phase = read(sandbox, begun["video_id"], PAGE, fields="status")["status"]["uploading_phase"]
    assert phase == {"status": "in_progress", "bytes_transfered": 5}
    wrong = upload(sandbox, url, b"67890", offset="0", file_size="10")
    assert wrong.json()["error"]["code"] == 6000
    assert upload(sandbox, url, b"67890", offset="5", file_size="10").json()["success"] is True
    assert finish(sandbox, begun["video_id"]) == {"success": True}


def test_a_file_by_address_needs_no_body(sandbox: SandboxProcess) -> None:
    begun = begin(sandbox)
    refused = upload(sandbox, begun["upload_url"], file_url="https://away.invalid/a.mp4")
    assert refused.status_code == 400
    assert upload(sandbox, begun["upload_url"], file_url="https://example.com/a.mp4").status_code == 200
    assert finish(sandbox, begun["video_id"]) == {"success": True}


def test_bytes_are_never_read_as_a_form(sandbox: SandboxProcess) -> None:
    begun = begin(sandbox)
    body = b"&".join(b"access_token=%d" % number for number in range(2000))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = upload(sandbox, begun["upload_url"], body, offset="0", file_size=str(len(body)), **kind)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("state", "shown"), [("DRAFT", "draft"), ("SCHEDULED", "scheduled")])
def test_a_reel_may_wait(sandbox: SandboxProcess, state: str, shown: str) -> None:
    begun = begin(sandbox)
    upload(sandbox, begun["upload_url"], file_url="https://example.com/a.mp4")
    later = {"scheduled_publish_time": "+2 hours"} if state == "SCHEDULED" else {}
    finish(sandbox, begun["video_id"], video_state=state, **later)
    advance(sandbox, 60)
    found = read(sandbox, begun["video_id"], PAGE, fields="status,published")
    assert (found["status"]["publishing_phase"]["publish_status"], found["published"]) == (shown, False)
    advance(sandbox, 2 * 3600)
    assert read(sandbox, begun["video_id"], PAGE, fields="published")["published"] is (state == "SCHEDULED")


def test_a_page_publishes_thirty_reels_a_day(sandbox: SandboxProcess) -> None:
    for _ in range(30):
        begun = begin(sandbox)
        upload(sandbox, begun["upload_url"], file_url="https://example.com/a.mp4")
        finish(sandbox, begun["video_id"])
    begun = begin(sandbox)
    upload(sandbox, begun["upload_url"], file_url="https://example.com/a.mp4")
    wanted = {"upload_phase": "finish", "video_id": begun["video_id"]}
    assert refusal(sandbox, edge(sandbox), PAGE, **wanted)["code"] == 368
    advance(sandbox, 86_401)
    assert finish(sandbox, begun["video_id"]) == {"success": True}


def test_a_story_tells_its_post_at_once(sandbox: SandboxProcess) -> None:
    begun = begin(sandbox, "video_stories")
    upload(sandbox, begun["upload_url"], file_url="https://example.com/a.mp4")
    made = finish(sandbox, begun["video_id"], "video_stories")
    assert made["success"] is True
    advance(sandbox, 3)
    assert read(sandbox, made["post_id"], PAGE, fields="is_published")["is_published"] is True
    (row,) = read(sandbox, edge(sandbox, "stories"), PAGE)["data"]
    assert (row["media_type"], row["media_id"]) == ("video", begun["video_id"])


def test_handles_of_the_upload_sessions_make_videos(sandbox: SandboxProcess) -> None:
    app = sandbox.token_row("user_main")["app"]
    session = written(sandbox, f"{app}/uploads", file_name="a.mp4", file_length=6, file_type="video/mp4")["id"]
    assert session.startswith("upload:")
    url = f"/graph.facebook.com/v26.0/{session}"
    sent = {"Authorization": f"OAuth {sandbox.token('user_main')}"}
    half = sandbox.client.post(url, content=b"123", headers={**sent, "file_offset": "0"})
    assert half.status_code == 200, half.text
    assert sandbox.client.get(url, headers=sent).json() == {"id": session, "file_offset": 3}
    handle = sandbox.client.post(url, content=b"456", headers={**sent, "file_offset": "3"}).json()["h"]
    made = written(sandbox, edge(sandbox, "videos"), PAGE, fbuploader_video_file_chunk=handle)
    assert made["id"]
    assert refusal(sandbox, edge(sandbox, "videos"), PAGE, fbuploader_video_file_chunk="4:none")["code"] == 324
