"""Our reading of webhooks against what the sandbox sends: handshakes, signatures, words, keys, repeats, disorder."""

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

import pytest

from libs.platforms.base import Change
from libs.platforms.meta.webhooks import ACCOUNT_TYPES, MetaWebhooks
from tests.support.meta_webhooks import app_of, install, lead_forms, listen_to_page, make_lead, subscribe
from tests.support.meta_writes import THREADS, written
from tests.support.sandbox import SandboxProcess
from tests.support.webhook_sink import Delivery, WebhookSink

pytestmark = pytest.mark.e2e

META = MetaWebhooks()


def headers_of(delivery: Delivery) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in delivery.headers.items()]


def read(sandbox: SandboxProcess, deliveries: Sequence[Delivery], app: str = "app_main") -> list[Change]:
    """Check every delivery as the edge does, and give its changes."""
    secret = str(sandbox.app(app_of(sandbox, app))["webhook_secret"]).encode()
    changes: list[Change] = []
    for delivery in deliveries:
        headers = headers_of(delivery)
        assert META.needs_body(headers) is None
        assert META.check_signature(headers, delivery.body, [b"another", secret])[0] == "valid"
        assert META.check_signature(headers, delivery.body, [b"another"])[0] == "wrong"
        assert META.check_signature(headers, delivery.body + b" ", [secret])[0] == "wrong"
        changes += META.split(delivery.body)
    for change in changes:
        kind = ACCOUNT_TYPES.get(change.account_type)
        assert kind is None or re.fullmatch(kind.id_pattern, change.account_id)
        assert change.change_type != "other"
    return changes


def words(changes: Sequence[Change]) -> list[tuple[str, str, str]]:
    return [(change.change_type, change.account_type, change.account_id) for change in changes]


def test_a_handshake_is_answered_for_the_token_that_was_agreed(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    assert subscribe(sandbox, sink, "page", "feed").json() == {"success": True}
    (asked,) = sink.handshakes
    query = urlencode(asked).encode()
    token = sink.verify_token.encode()
    assert META.answer_handshake(query, [b"another", token]) == asked["hub.challenge"].encode()
    assert META.answer_handshake(query, [b"another"]) is None


def test_a_post_its_comment_and_their_ends_are_read_as_what_they_are(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    page = listen_to_page(sandbox, sink)
    post = written(sandbox, f"{page}/feed", "page_busy", message="Grüße 👋 https://a.example/b")["id"]
    comment = written(sandbox, f"{post}/comments", "page_busy", message="And this")["id"]
    written(sandbox, post, "page_busy", message="Edited")
    written(sandbox, comment, "page_busy", method="DELETE")
    written(sandbox, post, "page_busy", method="DELETE")
    changes = read(sandbox, sink.got(5))
    expected = ["post.created", "comment.created", "post.edited", "comment.removed", "post.removed"]
    assert sorted(word for word, _, _ in words(changes)) == sorted(expected)
    assert {(kind, account) for _, kind, account in words(changes)} == {("page", page)}
    assert len({change.external_event_id for change in changes}) == 5
    created = next(change for change in changes if change.change_type == "post.created")
    assert created.value["message"] == "Grüße 👋 https://a.example/b"
    assert created.occurred_at is not None


def test_a_planned_post_is_told_apart_from_its_publication(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    planned = {"published": False, "scheduled_publish_time": int(sandbox_now(sandbox)) + 1200}
    written(sandbox, f"{page}/feed", "page_busy", message="Later", **planned)
    sink.got(1)
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 1260})
    changes = read(sandbox, sink.got(2))
    assert len({change.external_event_id for change in changes}) == 2


def sandbox_now(sandbox: SandboxProcess) -> float:
    return datetime.fromisoformat(sandbox.client.get("/_sandbox/clock").json()["now"]).timestamp()


def test_leads_of_one_delivery_are_a_change_each(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    items = [{"method": "POST", "relative_url": f"{form}/test_leads"} for form in lead_forms(sandbox, page)]
    sandbox.results(items, "page_busy")
    changes = read(sandbox, sink.got(1))
    assert words(changes) == [("lead.created", "page", page)] * len(items)
    assert len({change.external_event_id for change in changes}) == len(items) > 1


@pytest.mark.parametrize("repeat", ["duplicate_delivery", "refused"])
def test_what_comes_twice_has_the_same_key(sandbox: SandboxProcess, sink: WebhookSink, repeat: str) -> None:
    page = listen_to_page(sandbox, sink)
    if repeat == "refused":
        sink.statuses = [500]
    else:
        sandbox.fault(repeat, {"operation": "meta.webhook.page"}, times=1)
    make_lead(sandbox, lead_forms(sandbox, page)[0])
    first, second = read(sandbox, sink.got(2))
    assert first == second


def test_what_comes_in_disorder_is_told_apart_and_says_when_it_was(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    sandbox.fault("reordered_delivery", {"operation": "meta.webhook.page"}, times=1)
    made = [make_lead(sandbox, form) for form in lead_forms(sandbox, page)[:2]]
    changes = read(sandbox, sink.got(2))
    assert [change.external_event_id for change in changes] == [f"page/leadgen/{lead}" for lead in reversed(made)]
    assert all(change.occurred_at is not None for change in changes)


def test_without_values_the_fields_are_hints(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    subscribe(sandbox, sink, "page", "leadgen", include_values="false")
    make_lead(sandbox, lead_forms(sandbox, page)[0])
    (delivery,) = sink.got(1)
    (change,) = META.split(delivery.body)
    assert (change.field, change.value, change.account_id) == ("leadgen", None, page)


def test_a_permission_that_is_taken_back_is_of_nobodys_account(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    assert subscribe(sandbox, sink, "permissions", "email,connected").status_code == 200
    written(sandbox, "me/permissions/email", "user_main", method="DELETE")
    (change,) = read(sandbox, sink.got(1))
    assert (change.change_type, change.account_type) == ("permission.revoked", "permissions")
    assert change.account_id == sandbox.token_row("user_main")["owner"]["id"]


def test_an_ad_accounts_hints_are_of_the_account_as_the_api_writes_it(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    account = sandbox.accounts("ad_account")[0]
    subscribe(sandbox, sink, "ad_account", "effective_status,in_process_ad_objects,with_issues_ad_objects")
    assert install(sandbox, account["id"], "system_main", app_id=app_of(sandbox, "system_main")).json()["success"]
    campaign = next(row for row in sandbox.children(account, "campaigns") if row["status"] == "ACTIVE")
    written(sandbox, campaign["id"], "system_main", status="PAUSED")
    changes = read(sandbox, sink.got(1))
    assert {(word, ref) for word, _, ref in words(changes)} == {("ad.status", account["id"])}
    assert len({change.external_event_id for change in changes}) == len(changes)


def test_threads_own_form_is_read(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    profile = str(sandbox.token_row("threads_busy")["owner"]["id"])
    answer = subscribe(sandbox, sink, "threads", "publish,delete,replies", app="app_threads")
    assert answer.json() == {"success": True}, answer.text
    container = written(sandbox, "me/threads", "threads_busy", host=THREADS, media_type="TEXT", text="Hello")["id"]
    post = written(sandbox, "me/threads_publish", "threads_busy", host=THREADS, creation_id=container)["id"]
    written(sandbox, post, "threads_busy", host=THREADS, method="DELETE")
    published, removed = sorted(read(sandbox, sink.got(2), "app_threads"), key=lambda change: change.change_type)
    assert words([published, removed]) == [("post.created", "threads", profile), ("post.removed", "threads", profile)]
    assert published.value["id"] == removed.value["id"] == post
    assert published.occurred_at is not None


def test_whatsapps_statuses_are_a_change_each(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    account = sandbox.accounts("whatsapp")[0]["id"]
    subscribe(sandbox, sink, "whatsapp_business_account", "messages")
    install(sandbox, account, "system_main")
    (number, *_) = sandbox.get(f"{account}/phone_numbers", token="system_main").json()["data"]
    text = {"messaging_product": "whatsapp", "to": "16505551234", "type": "text", "text": {"body": "Hello"}}
    answer = written(sandbox, f"{number['id']}/messages", "system_main", **text)
    wamid = answer["messages"][0]["id"]
    # Sent, delivered and read: a delivery each, the last one three seconds after the first.
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 5})
    told = read(sandbox, sink.got(3))
    statuses = [change for change in told if change.change_type == "message.status"]
    assert statuses
    assert {change.account_id for change in statuses} == {account}
    assert all(change.value["statuses"][0]["id"] == wamid for change in statuses)
    assert len({change.external_event_id for change in told}) == len(told)
