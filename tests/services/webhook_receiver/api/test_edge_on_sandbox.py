"""The edge as the sandbox meets it: it asks before it sends, signs as Meta does, and tries again when it is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.platforms.meta.webhooks import MetaWebhooks
from tests.support.databases import ServiceDatabase
from tests.support.meta_webhooks import app_of, install, lead_forms, make_lead
from tests.support.sandbox import GRAPH, SandboxProcess
from tests.support.webhook_edge import TOKEN, Door, opened

pytestmark = [pytest.mark.db, pytest.mark.e2e]

FIELDS = "feed,leadgen"


@pytest.fixture
async def door(webhook_receiver_database: ServiceDatabase, sandbox: SandboxProcess) -> AsyncIterator[Door]:
    secret = str(sandbox.app(app_of(sandbox, "app_main"))["webhook_secret"]).encode()
    async with opened(webhook_receiver_database, secrets=(b"the one before", secret)) as made:
        yield made


def subscribe(sandbox: SandboxProcess, door: Door, verify_token: str) -> Any:
    """Both layers for the busy page; gives the answer to the first one."""
    row = sandbox.token_row("app_main")
    asked = {
        "object": "page",
        "fields": FIELDS,
        "callback_url": f"http://127.0.0.1:{door.port}/webhooks/meta/1",
        "verify_token": verify_token,
        "access_token": row["access_token"],
    }
    answer = sandbox.client.post(f"/{GRAPH}/v26.0/{row['app']}/subscriptions", data=asked).json()
    install(sandbox, str(sandbox.token_row("page_busy")["owner"]["id"]), "page_busy", subscribed_fields=FIELDS)
    return answer


def leads(sandbox: SandboxProcess) -> list[str]:
    page = str(sandbox.token_row("page_busy")["owner"]["id"])
    return [make_lead(sandbox, form) for form in lead_forms(sandbox, page)]


# The sandbox asks the edge back while it is asked itself, and the edge lives in this loop: so it is asked in a thread.


async def test_a_callback_is_believed_for_the_token_that_was_agreed(door: Door, sandbox: SandboxProcess) -> None:
    refused = await asyncio.to_thread(subscribe, sandbox, door, "another token")
    assert "error" in refused
    assert await asyncio.to_thread(subscribe, sandbox, door, TOKEN.decode()) == {"success": True}


async def test_what_happens_there_is_a_row_with_a_true_signature_here(door: Door, sandbox: SandboxProcess) -> None:
    await asyncio.to_thread(subscribe, sandbox, door, TOKEN.decode())
    made = await asyncio.to_thread(leads, sandbox)
    rows = await door.kept(len(made))
    assert all(row["signature_valid"] for row in rows)
    changes = [change for row in rows for change in MetaWebhooks().split(row["raw"])]
    assert sorted(change.external_event_id for change in changes) == sorted(f"page/leadgen/{lead}" for lead in made)


async def test_the_same_delivery_twice_is_two_rows_with_one_key(door: Door, sandbox: SandboxProcess) -> None:
    await asyncio.to_thread(subscribe, sandbox, door, TOKEN.decode())
    sandbox.fault("duplicate_delivery", {"operation": "meta.webhook.page"}, times=1)
    made = await asyncio.to_thread(leads, sandbox)
    rows = await door.kept(len(made) + 1)
    times = Counter(row["body_hash"] for row in rows)
    (twice,) = [body_hash for body_hash, count in times.items() if count == 2]
    one, other = [row for row in rows if row["body_hash"] == twice]
    assert one["raw"] == other["raw"]
    assert MetaWebhooks().split(one["raw"]) == MetaWebhooks().split(other["raw"])
