"""Messages of WhatsApp numbers: what is answered, and what the account hears of them afterwards."""

import json
from typing import Any

import httpx
import pytest

from tests.support.meta_webhooks import install, is_signed, subscribe
from tests.support.sandbox import GRAPH, SandboxProcess
from tests.support.webhook_sink import WebhookSink

pytestmark = pytest.mark.e2e
TEXT: dict[str, Any] = {
    "messaging_product": "whatsapp",
    "to": "+1 650-555-0123",
    "type": "text",
    "text": {"body": "Grüße"},
}


def numbers(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    for account in sandbox.accounts("whatsapp"):
        rows = sandbox.get(f"{account['id']}/phone_numbers", token="system_main").json()["data"]
        if len(rows) > 1:
            return [{**row, "account": account["id"]} for row in rows]
    raise AssertionError("no account of the world has two numbers")


def send(sandbox: SandboxProcess, number: str, token: str = "system_main", **content: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {sandbox.token(token)}"}
    return sandbox.client.post(f"/{GRAPH}/v26.0/{number}/messages", json=content, headers=headers)


def listen(sandbox: SandboxProcess, sink: WebhookSink) -> list[dict[str, Any]]:
    found = numbers(sandbox)
    assert subscribe(sandbox, sink, "whatsapp_business_account", "messages").status_code == 200
    assert install(sandbox, found[0]["account"], "system_main").status_code == 200
    return found


def statuses(sink: WebhookSink, count: int) -> list[dict[str, Any]]:
    values = [change["value"] for got in sink.got(count) for change in got.content["entry"][0]["changes"]]
    return [status for value in values for status in value.get("statuses", ())]


def test_a_message_is_sent_delivered_and_read_by_the_sandboxs_clock(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    sandbox.client.post("/_sandbox/clock", json={"rate": 0})
    number = listen(sandbox, sink)[0]
    answer = send(sandbox, number["id"], **TEXT, biz_opaque_callback_data="order 7").json()
    assert answer["contacts"] == [{"input": "+1 650-555-0123", "wa_id": "16505550123"}]
    (message,) = answer["messages"]
    assert [row["status"] for row in statuses(sink, 1)] == ["sent"]
    for seconds, count, status in ((1, 2, "delivered"), (2, 3, "read")):
        sandbox.client.post("/_sandbox/clock", json={"advance_seconds": seconds})
        assert statuses(sink, count)[-1]["status"] == status
    told = statuses(sink, 3)
    assert {(row["id"], row["recipient_id"]) for row in told} == {(message["id"], "16505550123")}
    assert {row["biz_opaque_callback_data"] for row in told} == {"order 7"}
    assert [int(row["timestamp"]) - int(told[0]["timestamp"]) for row in told] == [0, 1, 3]
    delivery = sink.got(1)[0]
    assert is_signed(delivery, sandbox.app(sandbox.token_row("app_main")["app"])["webhook_secret"])
    value = delivery.content["entry"][0]["changes"][0]["value"]
    assert value["metadata"]["phone_number_id"] == number["id"]
    assert value["contacts"][0]["user_id"] == told[0]["recipient_user_id"]


def test_a_number_of_the_world_receives_what_is_sent_to_it(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    number, other, *_ = listen(sandbox, sink)
    send(sandbox, number["id"], **{**TEXT, "to": other["display_phone_number"]})
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 1})
    values = [change["value"] for got in sink.got(2) for change in got.content["entry"][0]["changes"]]
    (value,) = [value for value in values if "messages" in value]
    (message,) = value["messages"]
    assert (message["type"], message["text"]) == ("text", {"body": "Grüße"})
    assert value["metadata"]["phone_number_id"] == other["id"]
    assert value["contacts"][0]["wa_id"] == message["from"]
    assert value["contacts"][0]["user_id"] == message["from_user_id"]


def test_a_number_that_cannot_exist_is_where_deliveries_fail(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    number = listen(sandbox, sink)[0]
    send(sandbox, number["id"], **{**TEXT, "to": "+999 1234567"})
    (status,) = statuses(sink, 1)
    assert (status["status"], status["errors"][0]["code"]) == ("failed", 131026)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"messaging_product": "sms"}, 100),
        ({"to": ""}, 100),
        ({"to": "12"}, 131009),
        ({"type": "smell"}, 100),
        ({"type": "image"}, 100),
        ({"text": {"body": ""}}, 100),
        ({"text": {"body": "x" * 4097}}, 131009),
        ({"text": "no object"}, 100),
    ],
)
def test_a_message_that_cannot_be_sent_says_why(sandbox: SandboxProcess, change: dict[str, Any], code: int) -> None:
    answer = send(sandbox, numbers(sandbox)[0]["id"], **{**TEXT, **change})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    told = answer.json()["error"].get("error_data", {})
    assert (told.get("messaging_product") == "whatsapp" and "details" in told) == (code == 131009)


def test_a_template_is_accepted_and_a_message_can_be_marked_as_read(sandbox: SandboxProcess) -> None:
    number = numbers(sandbox)[0]["id"]
    template = {"name": "hello_world", "language": {"code": "en_US"}}
    sent = send(sandbox, number, messaging_product="whatsapp", to="16505550123", type="template", template=template)
    (message,) = sent.json()["messages"]
    assert message["message_status"] == "accepted"
    read = send(sandbox, number, messaging_product="whatsapp", status="read", message_id=message["id"])
    assert read.json() == {"success": True}


def test_a_number_sends_eighty_messages_a_second(sandbox: SandboxProcess) -> None:
    sandbox.client.post("/_sandbox/clock", json={"rate": 0})
    number = numbers(sandbox)[0]["id"]
    body = f"messaging_product=whatsapp&to=16505550123&type=text&text={json.dumps({'body': 'x'})}"
    item = {"method": "POST", "relative_url": f"{number}/messages", "body": body}
    codes = [result["code"] for _ in range(2) for result in sandbox.results([item] * 45, "system_main")]
    assert codes == [200] * 80 + [400] * 10
