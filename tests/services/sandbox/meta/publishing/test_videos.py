"""Videos of a page, whole and in chunks."""

from tests.support.meta_writes import advance, ids, read, refusal, written
from tests.support.sandbox import SandboxProcess

PAGE = "page_busy"
VIDEO_HOST = "graph-video.facebook.com"


def videos(sandbox: SandboxProcess) -> str:
    return f"{sandbox.token_row(PAGE)['owner']['id']}/videos"


def test_a_video_is_processed_and_then_posted(sandbox: SandboxProcess) -> None:
    params = {"file_url": "https://example.com/a.mp4", "description": "Moving"}
    made = written(sandbox, videos(sandbox), PAGE, host=VIDEO_HOST, **params)["id"]
    found = read(sandbox, made, PAGE, fields="status,published,post_id")
    assert found["status"]["video_status"] == "processing"
    assert found["published"] is False
    assert "post_id" not in found
    advance(sandbox, 3)
    found = read(sandbox, made, PAGE, fields="status,published,post_id,permalink_url")
    assert found["status"]["video_status"] == "ready"
    assert found["status"]["publishing_phase"]["publish_status"] == "published"
    assert read(sandbox, found["post_id"], PAGE)["message"] == "Moving"
    assert ids(read(sandbox, videos(sandbox), PAGE))[0] == made


def test_a_scheduled_video_waits(sandbox: SandboxProcess) -> None:
    params = {"file_url": "https://example.com/a.mp4", "published": "false", "scheduled_publish_time": "+1 hour"}
    made = written(sandbox, videos(sandbox), PAGE, **params)["id"]
    advance(sandbox, 5)
    phase = read(sandbox, made, PAGE, fields="status")["status"]["publishing_phase"]
    assert phase["publish_status"] == "scheduled"
    advance(sandbox, 3600)
    assert read(sandbox, made, PAGE, fields="published")["published"] is True


def test_an_unreachable_video_is_refused(sandbox: SandboxProcess) -> None:
    assert refusal(sandbox, videos(sandbox), PAGE, file_url="https://away.invalid/a.mp4")["code"] == 324


def test_chunks_come_in_order_until_the_end(sandbox: SandboxProcess) -> None:
    begun = written(sandbox, videos(sandbox), PAGE, upload_phase="start", file_size=10)
    assert (begun["start_offset"], begun["end_offset"]) == ("0", "10")
    session = {"upload_phase": "transfer", "upload_session_id": begun["upload_session_id"]}
    chunk = {"video_file_chunk": ("chunk", b"12345", "application/octet-stream")}
    following = written(sandbox, videos(sandbox), PAGE, **session, start_offset=0, files=chunk)
    assert following == {"start_offset": "5", "end_offset": "10"}
    assert refusal(sandbox, videos(sandbox), PAGE, **session, start_offset=0, files=chunk)["code"] == 6000
    finish = {"upload_phase": "finish", "upload_session_id": begun["upload_session_id"], "title": "Whole"}
    assert refusal(sandbox, videos(sandbox), PAGE, **finish)["code"] == 6000
    written(sandbox, videos(sandbox), PAGE, **session, start_offset=5, files=chunk)
    assert written(sandbox, videos(sandbox), PAGE, **finish) == {"success": True}
    advance(sandbox, 3)
    found = read(sandbox, begun["video_id"], PAGE, fields="title,published")
    assert (found["title"], found["published"]) == ("Whole", True)


def test_a_cancelled_upload_is_gone(sandbox: SandboxProcess) -> None:
    begun = written(sandbox, videos(sandbox), PAGE, upload_phase="start", file_size=10)
    cancel = {"upload_phase": "cancel", "upload_session_id": begun["upload_session_id"]}
    assert written(sandbox, videos(sandbox), PAGE, **cancel) == {"success": True}
    assert refusal(sandbox, videos(sandbox), PAGE, **cancel)["code"] == 100


def test_a_deleted_video_takes_its_post_along(sandbox: SandboxProcess) -> None:
    made = written(sandbox, videos(sandbox), PAGE, file_url="https://example.com/a.mp4")["id"]
    advance(sandbox, 3)
    post = read(sandbox, made, PAGE, fields="post_id")["post_id"]
    assert written(sandbox, made, PAGE, title="New") == {"success": True}
    assert written(sandbox, made, PAGE, method="DELETE") == {"success": True}
    assert refusal(sandbox, post, PAGE, method="DELETE")["error_subcode"] == 33


def test_a_kept_video_is_published_by_hand(sandbox: SandboxProcess) -> None:
    made = written(sandbox, videos(sandbox), PAGE, file_url="https://example.com/a.mp4", published="false")["id"]
    written(sandbox, made, PAGE, published="true")
    assert read(sandbox, made, PAGE, fields="published")["published"] is False
    advance(sandbox, 3)
    assert read(sandbox, made, PAGE, fields="status")["status"]["publishing_phase"]["publish_status"] == "draft"
    written(sandbox, made, PAGE, published="true")
    found = read(sandbox, made, PAGE, fields="published,post_id")
    assert found["published"] is True
    assert found["post_id"] in ids(read(sandbox, videos(sandbox).replace("/videos", "/feed"), PAGE, limit="1"))
