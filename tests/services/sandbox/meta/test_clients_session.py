"""Clients that neither Meta nor we have written believe the sandbox as well."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.foreign_clients import marked, proved, run_client
from tests.support.sandbox import SandboxProcess
from tests.support.webhook_sink import WebhookSink

pytestmark = pytest.mark.e2e
SESSION = Path(__file__).with_name("clients_session.py")
GRAPH_CLIENT, WHATSAPP_CLIENT = "python-facebook-api", "pywa"


def test_pages_instagram_and_threads_are_read_and_written(sandbox: SandboxProcess) -> None:
    page, profile = sandbox.accounts("page")[0], sandbox.accounts("instagram")[0]
    token = sandbox.token_row("user_main")
    app = sandbox.app(token["app"])
    posts = [row["id"] for row in sandbox.children(page, "posts")]
    media = [row["id"] for row in sandbox.children(profile, "posts")]
    given = {
        "app_id": app["id"],
        "app_secret": app["secret"],
        "token": token["access_token"],
        "page": page["id"],
        "page_token": sandbox.token("page_busy"),
        "instagram": profile["id"],
        "threads_token": sandbox.token("threads_busy"),
    }
    told = run_client(sandbox, SESSION, given, GRAPH_CLIENT)
    assert told["login"] == {"short": 3_600, "longer": 5_184_000, "app": sandbox.token("app_main")}
    sees = sorted(row["id"] for row in token["sees"] if row["type"] == "page")
    assert told["tokens"] == {"scopes": token["scopes"], "longer": "bearer", "pages": sees}
    assert told["page"]["planned"] in told["page"]["scheduled"]
    assert (told["page"]["metric"], told["page"]["deleted"]) == ("page_post_engagements", {"success": True})
    assert told["posts"] == posts
    _judge_instagram(sandbox, told["instagram"], profile, media)
    threads = told["threads"]
    assert threads["newest"] == {"id": threads["post"], "text": "Thought by a client"}
    assert (threads["deleted"], threads["failure"][0]) == (True, 100)
    calls = sandbox.calls()
    assert {row["via"] for row in calls} == {"proxy"}
    assert proved(calls) == marked(GRAPH_CLIENT)


def _judge_instagram(sandbox: SandboxProcess, told: dict[str, Any], profile: dict[str, Any], media: list[str]) -> None:
    assert told["username"] == profile["username"]
    assert told["media"] == media
    assert (told["caption"], told["quota_used"], told["metric"]) == ("Shown by a client", 1, "reach")
    newest = sandbox.children(profile, "posts")[0]
    assert (newest["id"], newest["name"]) == (told["published"], "Shown by a client")


def test_a_message_goes_out_by_whatsapp_and_what_became_of_it_comes_back(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    account = sandbox.accounts("whatsapp")[0]["id"]
    phone = sandbox.get(f"{account}/phone_numbers", fields="verified_name").json()["data"][0]
    mark = sandbox.calls()[-1]["seq"]
    token = sandbox.token_row("user_main")
    app = sandbox.app(token["app"])
    given = {
        "phone": phone["id"],
        "account": account,
        "token": token["access_token"],
        "app_id": app["id"],
        "app_secret": app["secret"],
        "callback_url": sink.url,
        "verify_token": sink.verify_token,
    }
    told = run_client(sandbox, SESSION, given, WHATSAPP_CLIENT)
    assert told["sent"].startswith("wamid.")
    assert (told["name"], told["failure"]) == (phone["verified_name"], [100])
    assert proved(sandbox.calls(since=mark)) == marked(WHATSAPP_CLIENT)
    delivery = sink.got(1)[0]
    came = {"body": delivery.body.decode(), "signature": delivery.headers["x-hub-signature-256"]}
    read = run_client(sandbox, SESSION, {**given, **came}, f"{WHATSAPP_CLIENT} reads")
    assert read == {"genuine": True, "id": told["sent"], "status": "sent", "person": "16505551234"}
