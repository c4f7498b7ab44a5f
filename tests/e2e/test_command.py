"""The command `platformbus` against the whole system: what an operator does on a day, one thing after the other."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from libs.postgres.schemas import SCHEMAS
from tests.support.cli import Run, run_real
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@dataclass
class Operator:
    """Somebody at a terminal: the settings, and what is known so far."""

    system: System
    settings: dict[str, Any] = field(default_factory=dict)
    org_id: str = ""
    connection_id: str = ""
    object_id: str = ""

    async def does(self, *arguments: str, stdin: str | None = None, exit_code: int = 0) -> Run:
        """Run the command and demand how it ends."""
        run = await run_real(*arguments, settings=self.settings, stdin=stdin)
        assert run.exit_code == exit_code, f"{' '.join(arguments)}\n{run.stdout}\n{run.stderr}"
        return run

    async def asks(self, *arguments: str, stdin: str | None = None) -> Any:
        """The same with --json; gives what it answers."""
        return (await self.does(*arguments, "--json", stdin=stdin)).json

    async def until(self, *arguments: str, holds: Any) -> Any:
        """Ask again until the answer is as it should be."""
        async with asyncio.timeout(60):
            while True:
                run = await run_real(*arguments, "--json", settings=self.settings)
                if run.exit_code == 0 and holds(run.json):
                    return run.json

    @property
    def reading(self) -> tuple[str, ...]:
        """The command that asks for the object."""
        wanted = ("--param", f"object_id={self.object_id}", "--param-json", 'fields=["id"]')
        return ("requests", "submit", "--connection", self.connection_id, "--type", "get_object", *wanted)


@pytest.fixture(scope="module")
async def operator(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Operator]:
    """The system, an operator's key, an organization and a connection, all made by the command."""
    database = await databases.create(*SCHEMAS)
    system = await System.start(tmp_path_factory.mktemp("command"), servers, database)
    try:
        made = Operator(system, {f"{service}_url": url for service, url in system.urls.items()})
        made.settings["ingest_worker_dsn"] = database.dsn("ingest", "worker")
        made.settings["secrets_kek_file"] = Path(system.environment["SECRETS_KEK_FILE"])
        made.settings["platformbus_key"] = (await made.asks("keys", "bootstrap"))["key"]
        made.org_id = (await made.asks("organizations", "create", "Acme"))["org_id"]
        made.settings["platformbus_organization"] = made.org_id
        await _connect(made)
        yield made
    finally:
        await system.close()
        await databases.drop(database)


async def _connect(operator: Operator) -> None:
    world = (await operator.system.world())["platforms"]["meta"]
    token = next(each for each in world["tokens"] if each["state"] == "valid" and each["kind"] == "user")
    operator.object_id = next(seen["id"] for seen in token["sees"] if seen["type"] == "page")
    # The key and the organization reach the other services by events, within moments.
    await operator.until("connections", "list", holds=lambda _: True)
    await operator.until("batches", "stats", holds=lambda _: True)
    made = await operator.asks(
        "connections",
        "add",
        "meta",
        "--name",
        "shop",
        "--app",
        token["app"],
        "--token-stdin",
        stdin=token["access_token"],
    )
    assert token["access_token"] not in json.dumps(made)
    operator.connection_id = made["id"]
    # So does the connection; and all services answer only once the last of them has the key too.
    await operator.until(
        *("trace", "show", operator.connection_id),
        holds=lambda found: {step["service"] for step in found["steps"]} == set(SCHEMAS),
    )


async def test_every_service_is_ready_and_nothing_piles_up(operator: Operator) -> None:
    rows = await operator.asks("status")
    assert {row["service"]: row["ready"] for row in rows} == dict.fromkeys(SCHEMAS, True)
    assert {row["open_dead_letters"] for row in rows} == {0}
    await operator.until("outbox", holds=lambda states: all(state["pending_rows"] == 0 for state in states))


async def test_keys_open_what_their_role_allows_until_they_are_revoked(operator: Operator) -> None:
    made = await operator.asks("keys", "create", "shop", "--role", "editor")
    as_shop = Operator(operator.system, {**operator.settings, "platformbus_key": made["key"]})
    assert await as_shop.asks("requests", "list") is not None
    refused = await as_shop.does("keys", "create", "more", exit_code=1)
    assert "Role missing (403)" in refused.stderr
    await as_shop.does("outbox", exit_code=1)
    listed = {key["key_id"]: key for key in await operator.asks("keys", "list")}
    assert listed[made["key_id"]]["revoked_at"] is None
    await operator.does("keys", "revoke", made["key_id"])
    refused = await as_shop.does("requests", "list", exit_code=1)
    assert "The key was revoked" in refused.stderr


async def test_a_producer_is_set_and_listed(operator: Operator) -> None:
    await operator.does("producers", "set", "shop/eu", "--for", operator.org_id)
    assert [each["source"] for each in await operator.asks("producers", "list")] == ["shop/eu"]


async def test_a_request_waits_while_the_batcher_is_paused_and_ends_after_a_flush(operator: Operator) -> None:
    await operator.until(*operator.reading, "--dry-run", holds=lambda answer: answer["status"] == "valid")
    await operator.does("batches", "pause", "meta")
    first, second = [
        (await operator.asks(*operator.reading, "--object-key", f"page-{n}"))["request_id"] for n in (1, 2)
    ]
    stats = await operator.until("batches", "stats", holds=lambda stats: stats["platforms"][0]["pending"] == 2)
    assert stats["platforms"][0]["paused"] is True
    assert "would resume meta" in (await operator.does("batches", "resume", "meta", "--dry-run")).stdout
    await operator.does("batches", "resume", "meta")
    await operator.does("batches", "flush", "meta", "--connection", operator.connection_id)
    for request_id in (first, second):
        shown = await operator.asks("requests", "show", request_id, "--wait", "60")
        assert (shown["status"], shown["result"]) == ("completed", {"id": operator.object_id})
    listed = await operator.asks("requests", "list", "--status", "completed")
    assert {first, second} <= {row["request_id"] for row in listed}


async def test_from_any_id_it_is_seen_what_caused_what(operator: Operator) -> None:
    key = ("--idempotency-key", "traced", "--object-key", "traced", "--max-wait", "0")
    request_id = (await operator.asks(*operator.reading, *key))["request_id"]
    await operator.asks("requests", "show", request_id, "--wait", "60")
    found = await operator.until("trace", "show", request_id, holds=lambda found: len(found["steps"]) >= 5)
    steps = {step["kind"]: step for step in found["steps"]}
    assert [steps[kind]["depth"] for kind in ("request", "event", "ask", "call", "ending")] == [0, 1, 2, 3, 4]
    assert steps["ending"]["what"] == "api_request completed"
    whole = {(step["kind"], step["id"]) for step in found["steps"]}
    for other in ("traced", steps["event"]["id"], steps["call"]["id"]):
        also = await operator.asks("trace", "show", other)
        assert {(step["kind"], step["id"]) for step in also["steps"]} >= whole, other
    shown = (await operator.does("trace", "show", request_id)).stdout
    assert "└ call completed" in shown
    known = await operator.asks("trace", "show", operator.connection_id)
    assert {step["service"] for step in known["steps"]} == set(SCHEMAS)
    assert "no service knows" in (await operator.does("trace", "show", "lost", exit_code=1)).stderr


async def test_a_webhook_is_pushed_ignored_replayed_and_seen_by_its_organization(operator: Operator) -> None:
    secret = "a secret of the shop's app"
    await operator.does("webhooks", "apps", "add", "shop", "--secret-stdin", stdin=secret.replace(" ", "-"))
    key, push = secret.replace(" ", "-"), ("webhooks", "send", "shop", "--sample", "leadgen", "--secret-stdin")
    async with asyncio.timeout(60):
        while (run := await run_real(*push, "--account", "7001", settings=operator.settings, stdin=key)).exit_code:
            assert "404" in run.stdout, run.stderr  # the edge hears of a new app within moments
    (delivery,) = await operator.until("webhooks", "list", "--status", "ignored", holds=lambda rows: len(rows) == 1)
    webhook_id = delivery["id"]
    assert (await operator.asks("webhooks", "show", webhook_id))["publications"] == []
    named = ("connections", "replace-accounts", operator.connection_id, "--account", "page:7001")
    version = (await operator.asks(*named))["version"]
    await operator.until(
        *("trace", "show", operator.connection_id),
        holds=lambda found: any(
            (step["service"], step["detail"].get("version")) == ("webhook_receiver", version) for step in found["steps"]
        ),
    )
    assert (await operator.asks("webhooks", "replay", webhook_id))["replayed"] == 1
    got = await operator.until("webhooks", "received", "--account", "page:7001", holds=lambda rows: len(rows) == 1)
    assert got[0]["webhook_id"] == webhook_id
    for each in (webhook_id, got[0]["event_id"], got[0]["external_event_id"]):
        found = await operator.asks("trace", "show", each)
        chain = [(step["depth"], step["service"], step["kind"]) for step in found["steps"]]
        assert chain == [
            (0, "webhook_receiver", "webhook"),
            (1, "webhook_receiver", "change"),
            (2, "webhook_receiver", "event"),
            (3, "ingest", "event"),
            (4, "ingest", "kept_webhook"),
        ], each
    forged = await operator.asks("webhooks", "send", "shop", "--sample", "leadgen", "--wrong-signature")
    assert forged["answers"] == {"401": 1}
    await operator.until("webhooks", "list", "--refused", holds=lambda rows: len(rows) == 1)


async def test_a_refused_request_says_what_where_and_how_to_mend_it(operator: Operator) -> None:
    refused = await operator.does(
        "requests", "submit", "--connection", operator.connection_id, "--type", "get_nothing", exit_code=1
    )
    assert "/payload/request_type" in refused.stderr


async def test_a_job_is_run_by_hand(operator: Operator) -> None:
    jobs = {row["name"] for row in await operator.asks("jobs", "list")}
    assert "flush_meta" in jobs
    run = await operator.asks("jobs", "run", "flush_meta", "--wait", "--wait-seconds", "60")
    assert (run["trigger"], run["outcome"]) == ("manual", "succeeded")
    runs = await operator.asks("jobs", "runs", "flush_meta")  # its plan's time may have come meanwhile
    assert next(each for each in runs if each["trigger"] == "manual")["id"] == run["id"]
    await operator.does("jobs", "run", "no_such_job", exit_code=1)


async def test_a_record_that_cannot_be_read_is_looked_at_and_dropped(operator: Operator) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=operator.system.kafka_bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait("requests", b"{not json", key=b"poison")
    finally:
        await producer.stop()
    mine = await operator.until(
        "dead-letters", "list", "--service", "ingest",
        holds=lambda letters: any(letter["key"] == "poison" for letter in letters),
    )  # fmt: skip
    letter_id = next(letter["id"] for letter in mine if letter["key"] == "poison")
    assert (await operator.asks("dead-letters", "show", letter_id))["value"] == "{not json"
    refused = await operator.does("dead-letters", "redrive", letter_id, exit_code=1)
    assert "Cannot be redriven (409)" in refused.stderr
    await operator.does("dead-letters", "drop", letter_id, "--reason", "made by a test", "--dry-run")
    assert letter_id in (await operator.does("dead-letters", "list")).stdout
    await operator.does("dead-letters", "drop", letter_id, "--reason", "made by a test")
    assert letter_id not in (await operator.does("dead-letters", "list")).stdout
    assert (await operator.asks("dead-letters", "show", letter_id))["note"] == "made by a test"


async def test_state_is_announced_again(operator: Operator) -> None:
    done = {row["service"]: row["count"] for row in await operator.asks("topics", "reannounce", "--all")}
    assert done["asset_sync"] >= 1
    assert done["ingest"] >= 2


async def test_the_key_encryption_key_is_rotated_while_requests_go_on(operator: Operator) -> None:
    before = await operator.asks("connections", "show", operator.connection_id)
    rotated = await operator.asks("secrets", "rotate-kek")
    after = await operator.until(
        "connections", "show", operator.connection_id, holds=lambda row: row["kek_id"] == rotated["key_id"]
    )
    assert after["version"] > before["version"]
    ended = await operator.asks(*operator.reading, "--max-wait", "0", "--wait", "60")
    assert ended["status"] == "completed"


async def test_the_command_runs_as_a_program(operator: Operator) -> None:
    environment = {name: str(value) for name, value in operator.settings.items() if not name.endswith("_dsn")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "connections", "list", "--json",
        cwd=ROOT, env={"PATH": os.environ["PATH"]} | {name.upper(): value for name, value in environment.items()},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert [row["id"] for row in json.loads(out)] == [operator.connection_id]


async def test_nothing_is_asked_through_a_connection_that_was_disconnected(operator: Operator) -> None:
    assert (await operator.asks("connections", "disconnect", operator.connection_id, "--dry-run"))["dry_run"] is True
    assert (await operator.asks("connections", "show", operator.connection_id))["status"] == "healthy"
    await operator.does("connections", "disconnect", operator.connection_id)
    async with asyncio.timeout(60):
        while (
            "is disconnected" not in (await run_real(*operator.reading, "--dry-run", settings=operator.settings)).stderr
        ):
            pass  # ingest hears of it within moments
