"""Subscribing: the handshake, what is listed, what is refused, per app and per account."""

import pytest

from tests.support.meta_webhooks import app_of, install, subscribe
from tests.support.sandbox import GRAPH, SandboxProcess
from tests.support.webhook_sink import WebhookSink

pytestmark = pytest.mark.e2e


def test_the_callback_is_asked_before_a_subscription_holds(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    assert subscribe(sandbox, sink, "page", "feed,leadgen").json() == {"success": True}
    (asked,) = sink.handshakes
    assert (asked["hub.mode"], asked["hub.verify_token"]) == ("subscribe", sink.verify_token)
    assert asked["hub.challenge"].isdigit()
    app = app_of(sandbox, "app_main")
    assert sandbox.get(f"{app}/subscriptions", token="app_main").json()["data"] == [
        {
            "object": "page",
            "callback_url": sink.url,
            "active": True,
            "fields": [{"name": "feed", "version": "v26.0"}, {"name": "leadgen", "version": "v26.0"}],
        }
    ]
    assert sink.verify_token not in sandbox.client.get("/_sandbox/calls").text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"verify_token": "another"}, "HTTP Status Code = 403"),
        ({"callback_url": "http://127.0.0.1:1/"}, "HTTP Status Code = 0"),
        ({"callback_url": "https://example.com/hook"}, "does not call this address"),
    ],
)
def test_a_callback_that_does_not_prove_itself_is_refused(
    sandbox: SandboxProcess, sink: WebhookSink, change: dict[str, str], what: str
) -> None:
    answer = subscribe(sandbox, sink, "page", "feed", **change)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, 2200)
    assert what in error["message"]
    assert sandbox.get(f"{app_of(sandbox, 'app_main')}/subscriptions", token="app_main").json() == {"data": []}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"object": "weather"}, 100),
        ({"object": "threads"}, 100),
        ({"fields": "feed,weather"}, 100),
        ({"fields": ""}, 100),
        ({"verify_token": ""}, 100),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused_without_a_question(
    sandbox: SandboxProcess, sink: WebhookSink, change: dict[str, str], code: int
) -> None:
    wanted = {"object": "page", "fields": "feed", **change}
    name, fields = wanted.pop("object"), wanted.pop("fields")
    assert subscribe(sandbox, sink, name, fields, **wanted).json()["error"]["code"] == code
    assert sink.handshakes == []


@pytest.mark.parametrize("token", ["user_main", "page_busy", "system_main"])
def test_only_the_apps_own_token_subscribes(sandbox: SandboxProcess, sink: WebhookSink, token: str) -> None:
    answer = subscribe(sandbox, sink, "page", "feed", app=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 15)


def test_fields_are_added_and_taken_away_one_by_one(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    app, secret = app_of(sandbox, "app_main"), {"access_token": sandbox.token("app_main")}

    def fields() -> list[str]:
        rows = sandbox.get(f"{app}/subscriptions", token="app_main").json()["data"]
        return [field["name"] for row in rows for field in row["fields"]]

    subscribe(sandbox, sink, "page", "feed")
    subscribe(sandbox, sink, "page", '["leadgen","mention"]')
    subscribe(sandbox, sink, "instagram", "comments")
    assert fields() == ["feed", "leadgen", "mention", "comments"]
    path = f"/{GRAPH}/{app}/subscriptions"
    sandbox.client.delete(path, params={**secret, "object": "page", "fields": "feed,mention"})
    assert fields() == ["leadgen", "comments"]
    sandbox.client.delete(path, params={**secret, "object": "page"})
    assert fields() == ["comments"]
    sandbox.client.delete(path, params=secret)
    assert fields() == []


def test_a_page_is_installed_with_its_own_token_and_listed_with_its_fields(sandbox: SandboxProcess) -> None:
    page = sandbox.token_row("page_busy")["owner"]["id"]
    refused = install(sandbox, page, "user_main", subscribed_fields="feed")
    assert refused.json()["error"]["code"] == 210
    assert install(sandbox, page, "page_busy").json()["error"]["code"] == 100
    assert install(sandbox, page, "page_busy", subscribed_fields="feed,mention").json() == {"success": True}
    (row,) = sandbox.get(f"{page}/subscribed_apps", token="page_busy").json()["data"]
    assert (row["id"], row["subscribed_fields"]) == (app_of(sandbox, "page_busy"), ["feed", "mention"])
    gone = sandbox.client.delete(
        f"/{GRAPH}/{page}/subscribed_apps", params={"access_token": sandbox.token("page_busy")}
    )
    assert gone.json() == {"success": True}
    assert sandbox.get(f"{page}/subscribed_apps", token="page_busy").json() == {"data": []}


def test_ad_accounts_and_whatsapp_accounts_are_installed_each_in_its_own_way(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    app = app_of(sandbox, "system_main")
    account, messages = sandbox.accounts("ad_account")[0]["id"], sandbox.accounts("whatsapp")[0]["id"]
    assert install(sandbox, account, "system_main").json()["error"]["code"] == 100
    assert install(sandbox, account, "system_main", app_id=app).json() == {"success": True}
    rows = sandbox.get(f"{account}/subscribed_apps", token="system_main").json()["data"]
    assert rows == [{"name": "Platformbus main", "id": app}]
    override = {"override_callback_uri": sink.url, "verify_token": sink.verify_token}
    assert install(sandbox, messages, "system_main", **override).json() == {"success": True}
    assert len(sink.handshakes) == 1
    (row,) = sandbox.get(f"{messages}/subscribed_apps", token="system_main").json()["data"]
    assert (row["whatsapp_business_api_data"]["id"], row["override_callback_uri"]) == (app, sink.url)


@pytest.mark.parametrize(("host", "token"), [("graph.instagram.com", "instagram_busy"), (GRAPH, "user_main")])
def test_a_profile_is_installed_with_either_login(sandbox: SandboxProcess, host: str, token: str) -> None:
    profile = sandbox.token_row("instagram_busy")["owner"]["id"]
    answer = install(sandbox, profile, token, host, subscribed_fields="comments,messages")
    assert answer.json() == {"success": True}
    params = {"access_token": sandbox.token(token)}
    (row,) = sandbox.client.get(f"/{host}/{profile}/subscribed_apps", params=params).json()["data"]
    assert (row["id"], row["subscribed_fields"]) == (app_of(sandbox, token), ["comments", "messages"])
    assert install(sandbox, profile, token, host, subscribed_fields="feed").json()["error"]["code"] == 100


def test_who_takes_a_permission_back_is_told_to_that_app_alone(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    for app in ("app_main", "app_limited"):
        assert subscribe(sandbox, sink, "permissions", "email,connected", app=app).status_code == 200
    secret = {"access_token": sandbox.token("user_main")}
    sandbox.client.delete(f"/{GRAPH}/me/permissions/email", params=secret)
    (first,) = sink.got(1)
    (entry,) = first.content["entry"]
    assert (first.content["object"], entry["id"]) == ("permissions", sandbox.token_row("user_main")["owner"]["id"])
    assert entry["changes"] == [{"field": "email", "value": {"verb": "revoked"}}]
    sandbox.client.delete(f"/{GRAPH}/me/permissions", params=secret)
    last = sink.got(2)[1]
    assert [change["field"] for change in last.content["entry"][0]["changes"]] == ["connected"]
