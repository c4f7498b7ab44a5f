"""Webhooks on their way: spelling, signatures, several changes in one POST, retries, duplicates, disorder."""

import json
from typing import Any

import pytest

from services.sandbox.meta.tokens import App
from services.sandbox.meta.webhooks.sending import GAPS, MAX_CHANGES, WHATSAPP_GAPS, sign, spell
from tests.support.meta_webhooks import (
    app_of,
    install,
    is_signed,
    lead_forms,
    listen_to_page,
    make_lead,
    subscribe,
    values_of,
)
from tests.support.sandbox import SandboxProcess
from tests.support.webhook_sink import WebhookSink

APP = App("1", "Example", "app_secret_example", "standard_access", 1)


def test_letters_beyond_ascii_and_slashes_are_escaped_as_meta_escapes_them() -> None:
    spelled = spell({"message": "Grüße 👋", "link": "https://a.example/b"})
    assert spelled == rb'{"message":"Gr\u00fc\u00dfe \ud83d\udc4b","link":"https:\/\/a.example\/b"}'


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (b'{"object":"page","entry":[]}', "525647799b07d87469d0ffe368a0b5bcdba9bbee0a2d4611e98fcb1ec3db947c"),
        (
            spell(
                {
                    "object": "page",
                    "entry": [{"id": "1", "time": 1, "changes": [{"field": "feed", "value": {"message": "äöå"}}]}],
                }
            ),
            "4e74d23b42a0582df03924727966b31c6b684ab600334680b802dd0ebd47321f",
        ),
    ],
)
def test_signatures_are_those_of_known_vectors(body: bytes, digest: str) -> None:
    assert sign(APP, body)["X-Hub-Signature-256"] == f"sha256={digest}"


def test_attempts_end_within_36_hours_and_those_of_whatsapp_within_7_days() -> None:
    for gaps, most_hours in ((GAPS, 36), (WHATSAPP_GAPS, 7 * 24)):
        assert gaps[0] == 0
        assert list(gaps) == sorted(gaps)
        assert most_hours * 0.9 < sum(gaps) / 3600 <= most_hours


@pytest.mark.e2e
def test_a_lead_arrives_signed_at_the_apps_callback(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    form = lead_forms(sandbox, page)[0]
    lead = make_lead(sandbox, form)
    (delivery,) = sink.got(1)
    app = sandbox.app(app_of(sandbox, "app_main"))
    assert is_signed(delivery, app["webhook_secret"])
    assert (delivery.headers["content-type"], delivery.headers["user-agent"]) == (
        "application/json",
        "facebookexternalua",
    )
    content = delivery.content
    assert (content["object"], content["entry"][0]["id"]) == ("page", page)
    (value,) = values_of(delivery)
    assert (value["leadgen_id"], value["form_id"], value["page_id"]) == (lead, form, page)
    (row,) = sandbox.get(f"{form}/test_leads", token="page_busy").json()["data"]
    assert row["field_data"][0]["name"] == "full_name"


@pytest.mark.e2e
def test_what_happens_in_one_batch_comes_in_one_delivery(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    forms = lead_forms(sandbox, page)
    items = [{"method": "POST", "relative_url": f"{form}/test_leads"} for form in forms]
    made = [json.loads(result["body"])["id"] for result in sandbox.results(items, "page_busy")]
    (delivery,) = sink.got(1)
    assert len(made) == len(forms) > 1
    assert [value["leadgen_id"] for value in values_of(delivery)] == made
    assert len(delivery.content["entry"]) == 1
    assert len(made) <= MAX_CHANGES


@pytest.mark.e2e
def test_a_refused_delivery_comes_again_at_once_and_then_by_the_sandboxs_clock(
    sandbox: SandboxProcess, sink: WebhookSink
) -> None:
    page = listen_to_page(sandbox, sink)
    # A 204 is no 200.
    sink.statuses = [500, 204]
    make_lead(sandbox, lead_forms(sandbox, page)[0])
    assert len({delivery.body for delivery in sink.got(2)}) == 1
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": GAPS[1] + 1})
    assert len({delivery.body for delivery in sink.got(3)}) == 1
    (row,) = deliveries(sandbox)
    assert (row["operation"], row["state"]) == ("meta.webhook.page", "delivered")
    assert [attempt["status"] for attempt in row["attempts"]] == [500, 204, 200]


@pytest.mark.e2e
def test_a_subscriber_that_stays_away_is_given_up(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    sink.statuses = [500] * 50
    make_lead(sandbox, lead_forms(sandbox, page)[0])
    sink.got(2)
    for number, gap in enumerate(GAPS[1:], 3):
        sandbox.client.post("/_sandbox/clock", json={"advance_seconds": gap + 1})
        sink.got(number)
    sandbox.client.post("/_sandbox/clock", json={"advance_seconds": 7 * 86_400})
    (row,) = deliveries(sandbox)
    assert (row["state"], len(row["attempts"])) == ("given_up", len(GAPS) + 1)


@pytest.mark.e2e
def test_a_fault_sends_a_delivery_twice(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    sandbox.fault("duplicate_delivery", {"operation": "meta.webhook.page"}, times=1)
    make_lead(sandbox, lead_forms(sandbox, page)[0])
    first, second = sink.got(2)
    assert (first.body, first.headers["x-hub-signature-256"]) == (second.body, second.headers["x-hub-signature-256"])


@pytest.mark.e2e
def test_a_fault_lets_a_later_delivery_overtake(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    sandbox.fault("reordered_delivery", {"operation": "meta.webhook.page"}, times=1)
    made = [make_lead(sandbox, form) for form in lead_forms(sandbox, page)[:2]]
    came = [value["leadgen_id"] for delivery in sink.got(2) for value in values_of(delivery)]
    assert came == made[::-1]


@pytest.mark.e2e
def test_without_values_only_the_names_of_fields_are_told(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = listen_to_page(sandbox, sink)
    subscribe(sandbox, sink, "page", "leadgen", include_values="false")
    make_lead(sandbox, lead_forms(sandbox, page)[0])
    (delivery,) = sink.got(1)
    (entry,) = delivery.content["entry"]
    assert (entry["changed_fields"], "changes" in entry) == (["leadgen"], False)


@pytest.mark.e2e
def test_nothing_is_sent_without_both_layers(sandbox: SandboxProcess, sink: WebhookSink) -> None:
    page = sandbox.token_row("page_busy")["owner"]["id"]
    form = lead_forms(sandbox, page)[0]
    subscribe(sandbox, sink, "page", "leadgen")
    make_lead(sandbox, form)
    install(sandbox, page, "page_busy", subscribed_fields="feed")
    make_lead(sandbox, form)
    install(sandbox, page, "page_busy", subscribed_fields="feed,leadgen")
    last = make_lead(sandbox, form)
    (delivery,) = sink.got(1)
    assert [value["leadgen_id"] for value in values_of(delivery)] == [last]
    assert len(deliveries(sandbox)) == 1


def deliveries(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    """Those that made it to an end; waits until all have."""
    while True:
        read = sandbox.client.get("/_sandbox/deliveries").json()
        if not read["counts"]["waiting"]:
            rows: list[dict[str, Any]] = read["deliveries"]
            return rows
