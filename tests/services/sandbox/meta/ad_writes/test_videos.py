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
