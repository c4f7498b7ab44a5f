"""Videos of an ad account."""

from tests.support.meta_writes import advance, ids, read, refusal, written
from tests.support.sandbox import SandboxProcess


def edge(sandbox: SandboxProcess) -> str:
    return f"{sandbox.accounts('ad_account')[0]['id']}/advideos"


def video_status(sandbox: SandboxProcess, video: str) -> str:
    return str(read(sandbox, video, fields="status")["status"]["video_status"])


def test_a_video_is_ready_after_a_while_or_tells_that_it_never_will_be(sandbox: SandboxProcess) -> None:
    good = written(sandbox, edge(sandbox), file_url="https://example.com/a.mp4", title="Clip")["id"]
    bad = written(sandbox, edge(sandbox), file_url="https://away.invalid/a.mp4")["id"]
    assert video_status(sandbox, good) == "processing"
    advance(sandbox, 3)
    assert [video_status(sandbox, video) for video in (good, bad)] == ["ready", "error"]
    assert ids(read(sandbox, edge(sandbox))) == [bad, good]
    assert written(sandbox, bad, method="DELETE") == {"success": True}
    assert ids(read(sandbox, edge(sandbox))) == [good]


def test_a_video_may_come_as_a_file_over_the_video_host(sandbox: SandboxProcess) -> None:
    files = {"source": ("a.mp4", b"bytes", "video/mp4")}
    made = written(sandbox, edge(sandbox), host="graph-video.facebook.com", files=files, fields="title")
    assert made["id"]
    assert refusal(sandbox, edge(sandbox))["code"] == 324


def test_a_video_may_come_in_chunks_as_the_official_sdk_sends_it(sandbox: SandboxProcess) -> None:
    host, path, content = "graph-video.facebook.com", edge(sandbox), bytes(1_500_000)
    begun = written(sandbox, path, host=host, upload_phase="start", file_size=str(len(content)))
    session, video = {"upload_session_id": begun["upload_session_id"]}, begun["video_id"]
    assert video_status(sandbox, video) == "uploading"
    early = refusal(sandbox, path, host=host, upload_phase="finish", **session)
    assert early["error_subcode"] == 1363040
    offsets = begun
    while offsets["start_offset"] != offsets["end_offset"]:
        start, end = int(offsets["start_offset"]), int(offsets["end_offset"])
        files = {"video_file_chunk": ("a.mp4", content[start:end], "multipart/form-data")}
        sent = {"upload_phase": "transfer", "start_offset": str(start), **session}
        offsets = written(sandbox, path, host=host, files=files, **sent)
    again = refusal(sandbox, path, host=host, files={"video_file_chunk": ("a.mp4", b"x", "x/y")}, **sent)
    assert again["error_subcode"] == 1363037
    assert written(sandbox, path, host=host, upload_phase="finish", title="a.mp4", **session) == {"success": True}
    assert video_status(sandbox, video) == "processing"
    advance(sandbox, 3)
    assert read(sandbox, video, fields="title,status")["title"] == "a.mp4"
    assert video_status(sandbox, video) == "ready"


def test_an_upload_of_another_account_is_not_gone_on_with(sandbox: SandboxProcess) -> None:
    begun = written(sandbox, edge(sandbox), upload_phase="start", file_size="10")
    other = f"{sandbox.accounts('ad_account')[1]['id']}/advideos"
    for phase in ("finish", "cancel"):
        answer = refusal(sandbox, other, upload_phase=phase, upload_session_id=begun["upload_session_id"])
        assert answer["code"] == 100
    given_up = written(sandbox, edge(sandbox), upload_phase="cancel", upload_session_id=begun["upload_session_id"])
    assert given_up == {"success": True}
    assert ids(read(sandbox, edge(sandbox))) == []
