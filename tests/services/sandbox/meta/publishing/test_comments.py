"""Comments made by pages and Instagram accounts."""

from typing import Any

from tests.support.meta_writes import ids, read, refusal, written
from tests.support.sandbox import SandboxProcess

PAGE = "page_busy"


def post(sandbox: SandboxProcess) -> str:
    return str(written(sandbox, "me/feed", PAGE, message="Talk to us")["id"])


def test_a_comment_and_its_reply_are_listed_below(sandbox: SandboxProcess) -> None:
    under = post(sandbox)
    comment = written(sandbox, f"{under}/comments", PAGE, message="First")["id"]
    assert comment.startswith(f"{under.split('_')[1]}_")
    assert ids(read(sandbox, f"{under}/comments", PAGE)) == [comment]
    reply = written(sandbox, f"{comment}/comments", PAGE, message="Second")["id"]
    assert ids(read(sandbox, f"{comment}/comments", PAGE)) == [reply]
    assert read(sandbox, comment, PAGE, fields="comment_count")["comment_count"] == 1
    assert next(row for row in read_posts(sandbox) if row["id"] == under)["totals"]["comments"] == 1


def read_posts(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    owner = sandbox.token_row(PAGE)["owner"]["id"]
    return sandbox.children(next(row for row in sandbox.accounts("page") if row["id"] == owner), "posts")


def test_a_comment_is_changed_hidden_and_deleted(sandbox: SandboxProcess) -> None:
    under = post(sandbox)
    comment = written(sandbox, f"{under}/comments", PAGE, message="Tyop")["id"]
    assert written(sandbox, comment, PAGE, message="Typo", is_hidden="true") == {"success": True}
    found = read(sandbox, comment, PAGE, fields="message,is_hidden")
    assert (found["message"], found["is_hidden"]) == ("Typo", True)
    assert written(sandbox, comment, PAGE, method="DELETE") == {"success": True}
    assert ids(read(sandbox, f"{under}/comments", PAGE)) == []


def test_a_comment_needs_words_and_a_pages_token(sandbox: SandboxProcess) -> None:
    under = post(sandbox)
    assert refusal(sandbox, f"{under}/comments", PAGE)["code"] == 100
    assert refusal(sandbox, f"{under}/comments", "user_main", message="x")["error_subcode"] == 2069032


def test_instagram_comments_are_answered_hidden_and_deleted(sandbox: SandboxProcess) -> None:
    seen = {each["id"] for each in sandbox.token_row(PAGE)["sees"]}
    account = next(found for found in sandbox.accounts("instagram") if found["id"] in seen)
    media = sandbox.children(account, "posts")[0]["id"]
    comment = written(sandbox, f"{media}/comments", PAGE, message="Thanks")["id"]
    assert comment in ids(read(sandbox, f"{media}/comments", PAGE))
    reply = written(sandbox, f"{comment}/replies", PAGE, message="You too")["id"]
    assert ids(read(sandbox, f"{comment}/replies", PAGE)) == [reply]
    assert written(sandbox, comment, PAGE, hide="true") == {"success": True}
    assert read(sandbox, comment, PAGE, fields="hidden")["hidden"] is True
    assert written(sandbox, comment, PAGE, method="DELETE") == {"success": True}
    assert comment not in ids(read(sandbox, f"{media}/comments", PAGE))
