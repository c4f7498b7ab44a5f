"""Writes that the sandbox does not cover, and those to what is not there."""

import pytest

from tests.support.meta_writes import THREADS, refusal, write
from tests.support.sandbox import SandboxProcess


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("path", ["123456", "123456/comments", "act_1/campaigns"])
def test_a_write_to_what_is_not_there_is_refused_as_a_read_is(sandbox: SandboxProcess, method: str, path: str) -> None:
    error = refusal(sandbox, path, method=method)
    assert (error["code"], error["error_subcode"], error["type"]) == (100, 33, "GraphMethodException")
    assert error["message"].startswith(f"Unsupported {method.lower()} request. Object with ID '{path.split('/')[0]}'")


def test_what_a_token_does_not_see_is_not_there_for_it(sandbox: SandboxProcess) -> None:
    seen = {each["id"] for each in sandbox.token_row("user_second")["sees"]}
    hidden = next(account["id"] for account in sandbox.accounts("ad_account") if account["id"] not in seen)
    assert refusal(sandbox, f"{hidden}/campaigns", "user_second", name="x")["error_subcode"] == 33


def test_a_write_that_is_lacking_says_so_and_is_counted(sandbox: SandboxProcess) -> None:
    account = sandbox.accounts("ad_account")[0]["id"]
    for path, method in ((f"{account}/customaudiences", "POST"), (account, "DELETE")):
        answer = write(sandbox, path, method=method)
        assert answer.status_code == 501
        assert answer.json()["sandbox"]["covered"] is False
    assert [(row["status"], row["operation"]) for row in sandbox.calls()] == [(501, None)] * 2


def test_a_write_needs_a_token_of_its_host(sandbox: SandboxProcess) -> None:
    assert refusal(sandbox, "me/threads", host=THREADS, media_type="TEXT", text="x")["code"] == 190
    assert sandbox.client.post("/graph.facebook.com/v26.0/123/comments").json()["error"]["code"] == 104
