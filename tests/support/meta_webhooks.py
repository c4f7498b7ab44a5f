"""Short ways to subscribe to the sandbox's Meta, and to make something happen there."""

import hashlib
import hmac
from typing import Any

import httpx

from tests.support.meta_writes import VERSIONS
from tests.support.sandbox import GRAPH, SandboxProcess
from tests.support.webhook_sink import Delivery, WebhookSink


def app_of(sandbox: SandboxProcess, token_id: str) -> str:
    return str(sandbox.token_row(token_id)["app"])


def subscribe(
    sandbox: SandboxProcess, sink: WebhookSink, name: str, fields: str, *, app: str = "app_main", **more: str
) -> httpx.Response:
    """`POST /{app}/subscriptions` with the app's own token, on the app's own host."""
    row = sandbox.token_row(app)
    asked = {
        "object": name, "fields": fields, "callback_url": sink.url, "verify_token": sink.verify_token,
        "access_token": row["access_token"], **more,
    }  # fmt: skip
    version = VERSIONS.get(row["host"], "v26.0")
    return sandbox.client.post(f"/{row['host']}/{version}/{row['app']}/subscriptions", data=asked)


def install(sandbox: SandboxProcess, account: str, token: str, host: str = GRAPH, **params: str) -> httpx.Response:
    """`POST /{account}/subscribed_apps`."""
    return sandbox.client.post(
        f"/{host}/{account}/subscribed_apps", data={"access_token": sandbox.token(token), **params}
    )


def listen_to_page(sandbox: SandboxProcess, sink: WebhookSink, fields: str = "feed,leadgen") -> str:
    """Both layers for the busy page; gives its id."""
    page = str(sandbox.token_row("page_busy")["owner"]["id"])
    assert subscribe(sandbox, sink, "page", fields).json() == {"success": True}
    assert install(sandbox, page, "page_busy", subscribed_fields=fields).json() == {"success": True}
    return page


def lead_forms(sandbox: SandboxProcess, page: str) -> list[str]:
    rows = sandbox.get(f"{page}/leadgen_forms", token="page_busy").json()["data"]
    return [str(row["id"]) for row in rows]


def make_lead(sandbox: SandboxProcess, form: str) -> str:
    """A test lead; the one before goes first."""
    secret = {"access_token": sandbox.token("page_busy")}
    for lead in sandbox.get(f"{form}/test_leads", token="page_busy").json()["data"]:
        sandbox.client.delete(f"/{GRAPH}/{lead['id']}", params=secret).raise_for_status()
    answer = sandbox.client.post(f"/{GRAPH}/{form}/test_leads", data=secret).raise_for_status()
    return str(answer.json()["id"])


def is_signed(delivery: Delivery, secret: str) -> bool:
    """Whether both signatures are over the bytes as they came."""
    key = secret.encode()
    return delivery.headers[
        "x-hub-signature-256"
    ] == f"sha256={hmac.new(key, delivery.body, 'sha256').hexdigest()}" and (
        delivery.headers["x-hub-signature"] == f"sha1={hmac.new(key, delivery.body, hashlib.sha1).hexdigest()}"
    )


def values_of(delivery: Delivery) -> list[Any]:
    return [change["value"] for entry in delivery.content["entry"] for change in entry["changes"]]
