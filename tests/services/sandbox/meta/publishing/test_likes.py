"""Likes that a page gives and takes back."""

from typing import Any

from tests.support.meta_writes import read, refusal, written
from tests.support.sandbox import SandboxProcess

PAGE = "page_busy"


def summary(sandbox: SandboxProcess, node: str) -> Any:
    return read(sandbox, f"{node}/likes", PAGE, summary="true")["summary"]


def test_a_like_is_counted_once_and_taken_back(sandbox: SandboxProcess) -> None:
    owner = sandbox.token_row(PAGE)["owner"]["id"]
    page = next(found for found in sandbox.accounts("page") if found["id"] == owner)
    for post in (sandbox.children(page, "posts")[0]["id"], written(sandbox, "me/feed", PAGE, message="New")["id"]):
        before = summary(sandbox, post)
        for _ in range(2):
            assert written(sandbox, f"{post}/likes", PAGE) == {"success": True}
        after = summary(sandbox, post)
        assert (after["total_count"], after["has_liked"]) == (before["total_count"] + 1, True)
        truth = next(row for row in sandbox.children(page, "posts") if row["id"] == post)
        assert truth["totals"]["likes"] == after["total_count"]
        assert written(sandbox, f"{post}/likes", PAGE, method="DELETE") == {"success": True}
        assert summary(sandbox, post) == before


def test_a_liked_comment_shows_its_count(sandbox: SandboxProcess) -> None:
    post = written(sandbox, "me/feed", PAGE, message="New")["id"]
    comment = written(sandbox, f"{post}/comments", PAGE, message="First")["id"]
    written(sandbox, f"{comment}/likes", PAGE)
    assert read(sandbox, comment, PAGE, fields="like_count")["like_count"] == 1
    written(sandbox, f"{comment}/likes", PAGE, method="DELETE")
    assert read(sandbox, comment, PAGE, fields="like_count")["like_count"] == 0
    assert refusal(sandbox, f"{comment}/likes", "user_main")["error_subcode"] == 2069032
