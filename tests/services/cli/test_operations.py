"""The nouns that speak to the operators' routes: status, outbox, dead letters, jobs, topics, batches, identities."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.cli import FakeServices, run_cli

SERVICES = ("ingest", "asset_sync", "batcher", "webhook_receiver")
LETTER = str(uuid4())
JOB = {
    "name": "flush",
    "next_run_at": "2026-01-01T00:00:00Z",
    "paused": False,
    "running": False,
    "last_outcome": "succeeded",
}


def outbox(service: str, rows: int = 0) -> dict[str, Any]:
    topics = [{"topic": "t", "rows": rows, "oldest_at": "2026-01-01T00:00:00Z"}] if rows else []
    return {"service": service, "pending_rows": rows, "oldest_age_seconds": 0.0, "topics": topics, "blocked_keys": []}


@pytest.fixture
def services() -> FakeServices:
    """Every service, and all are well."""
    made = FakeServices()
    for service in SERVICES:
        made.on(service, "GET", "/ready", {"status": "ok"})
        made.on(service, "GET", "/admin/outbox", outbox(service))
        made.on(service, "GET", "/admin/dead-letters", [])
        made.on(service, "GET", "/admin/parked", [])
        made.on(service, "GET", "/admin/jobs", [])
    return made


def test_status_is_0_when_every_service_is_ready(services: FakeServices) -> None:
    services.on("batcher", "GET", "/admin/jobs", [JOB | {"last_outcome": "failed"}])
    services.on("ingest", "GET", "/admin/outbox", outbox("ingest", 7))
    services.on("ingest", "GET", "/admin/parked", [{"id": LETTER}])
    run = run_cli("status", "--json", services=services)
    assert run.exit_code == 0
    by_name = {row["service"]: row for row in run.json}
    assert all(row["ready"] for row in run.json)
    assert (by_name["ingest"]["outbox_rows"], by_name["batcher"]["jobs_failed"]) == (7, 1)
    assert [row["parked_keys"] for row in run.json] == [1, 0, 0, 0]


def test_status_is_1_and_says_why_when_one_is_not_ready(services: FakeServices) -> None:
    services.on("batcher", "GET", "/ready", {"status": "failing", "failed": {"database": "refused"}}, status=503)
    services.on("ingest", "GET", "/ready", httpx.ConnectError("refused"))
    run = run_cli("status", services=services)
    assert run.exit_code == 1
    assert "database: refused" in run.stdout
    assert "does not answer" in run.stdout


def test_status_says_that_there_may_be_more_than_it_counts(services: FakeServices) -> None:
    services.on("ingest", "GET", "/admin/parked", [{"id": LETTER}] * 500)
    services.on("batcher", "GET", "/admin/dead-letters", [{"id": LETTER}] * 499)
    shown = run_cli("status", services=services).stdout.split()
    assert ("500+" in shown, "499" in shown) == (True, True)
    assert run_cli("status", "--json", services=services).json[0]["parked_keys"] == 500


def test_status_needs_no_key_to_say_whether_services_are_ready(services: FakeServices) -> None:
    run = run_cli("status", "--json", services=services, settings={"platformbus_key": None})
    assert run.exit_code == 0
    assert "outbox_rows" not in run.json[0]
    assert "what waits there is not shown" in run.stderr


def test_outbox_shows_what_waits_and_what_the_broker_refuses(services: FakeServices) -> None:
    blocked = {"topic": "t", "key": "k", "reason": "too large", "attempts": 3, "next_try_at": "soon", "blocked_at": "x"}
    services.on("ingest", "GET", "/admin/outbox", outbox("ingest", 5) | {"blocked_keys": [blocked]})
    run = run_cli("outbox", services=services)
    assert run.exit_code == 0
    assert "too large" in run.stdout
    assert len(run_cli("outbox", "--json", services=services).json) == len(SERVICES)
    assert "nothing waits" in run_cli("outbox", "--service", "batcher", services=services).stdout


def test_dead_letters_are_listed_over_all_services_and_found_where_they_are(services: FakeServices) -> None:
    letter = {"id": LETTER, "topic": "requests", "partition": 1, "offset": 2, "reason": "not JSON", "status": "open"}
    services.on("batcher", "GET", "/admin/dead-letters", [letter])
    services.on("batcher", "GET", f"/admin/dead-letters/{LETTER}", letter | {"headers": [["ce_id", "1"]], "value": "{"})
    listed = run_cli("dead-letters", "list", "--json", services=services).json
    assert listed == [letter | {"service": "batcher"}]
    shown = run_cli("dead-letters", "show", LETTER, "--json", services=services).json
    assert (shown["service"], shown["value"]) == ("batcher", "{")


def test_a_dead_letter_is_redriven_and_dropped_with_a_reason(services: FakeServices) -> None:
    path = f"/admin/dead-letters/{LETTER}"
    services.on("asset_sync", "GET", path, {"id": LETTER})
    services.on("asset_sync", "POST", f"{path}/redrive", {"dry_run": True, "done": "redrove it", "count": 1})
    services.on("asset_sync", "POST", f"{path}/drop", {"dry_run": False, "done": "dropped it", "count": 1})
    run = run_cli("dead-letters", "redrive", LETTER, "--dry-run", services=services)
    assert (run.exit_code, run.stdout) == (0, "not done, only tried: redrove it\n")
    assert services.asked[-1].url.params["dry_run"] == "true"
    run = run_cli("dead-letters", "drop", LETTER, "--reason", "test data", services=services)
    assert (run.exit_code, run.stdout) == (0, "dropped it\n")
    assert services.body() == {"reason": "test data"}
    assert run_cli("dead-letters", "drop", LETTER, services=services).exit_code == 2


def test_a_dead_letter_that_nobody_has_ends_with_1(services: FakeServices) -> None:
    assert run_cli("dead-letters", "show", LETTER, services=services).exit_code == 1


def test_a_redrive_that_is_refused_says_why(services: FakeServices) -> None:
    services.on("ingest", "GET", f"/admin/dead-letters/{LETTER}", {"id": LETTER})
    services.refuse(
        "ingest", "POST", f"/admin/dead-letters/{LETTER}/redrive", 409, "Cannot be redriven", "still not JSON"
    )
    run = run_cli("dead-letters", "redrive", LETTER, services=services)
    assert (run.exit_code, run.stderr) == (1, "Cannot be redriven (409): still not JSON\n")


def test_a_job_is_run_where_it_is_and_its_end_awaited(services: FakeServices) -> None:
    services.on("batcher", "GET", "/admin/jobs", [JOB])
    services.on(
        "batcher", "POST", "/admin/jobs/flush/run", {"dry_run": False, "done": "asked", "count": 41}, status=202
    )
    ended = {"id": 41, "ended_at": "2026-01-01T00:00:01Z", "outcome": "succeeded", "counts": {"calls_made_due": 3}}
    services.on("batcher", "GET", "/admin/job-runs/41", ended | {"ended_at": None, "outcome": None}, ended)
    assert run_cli("jobs", "run", "flush", services=services).exit_code == 0
    run = run_cli("jobs", "run", "flush", "--wait", "--json", services=services)
    assert (run.exit_code, run.json["counts"]) == (0, {"calls_made_due": 3})
    services.on("batcher", "GET", "/admin/job-runs/41", ended | {"outcome": "failed", "error": "no"})
    assert run_cli("jobs", "run", "flush", "--wait", services=services).exit_code == 1


def test_jobs_are_listed_paused_and_resumed(services: FakeServices) -> None:
    services.on("batcher", "GET", "/admin/jobs", [JOB])
    services.on("batcher", "POST", "/admin/jobs/flush/pause", {"dry_run": False, "done": "paused job flush"})
    services.on("batcher", "GET", "/admin/jobs/flush/runs", [{"id": 1, "outcome": "abandoned"}])
    assert run_cli("jobs", "list", "--json", services=services).json == [JOB | {"service": "batcher"}]
    assert run_cli("jobs", "pause", "flush", services=services).stdout == "paused job flush\n"
    assert "abandoned" in run_cli("jobs", "runs", "flush", services=services).stdout
    run = run_cli("jobs", "run", "nothing", services=services)
    assert (run.exit_code, "there is no job 'nothing'" in run.stderr) == (1, True)


def test_a_job_name_of_two_services_needs_to_be_told_apart(services: FakeServices) -> None:
    for service in ("ingest", "batcher"):
        services.on(service, "GET", "/admin/jobs", [JOB])
    run = run_cli("jobs", "run", "flush", services=services)
    assert (run.exit_code, "--service" in run.stderr) == (2, True)


def test_topics_are_listed_from_their_declaration() -> None:
    rows = {row["name"]: row for row in run_cli("topics", "list", "--json").json}
    assert rows["assets.connections"]["cleanup"] == "compact"
    assert "ingest.identities" in run_cli("topics", "list").stdout


def test_state_is_reannounced_by_the_service_that_writes_it(services: FakeServices) -> None:
    for service in SERVICES:
        services.on(service, "POST", "/admin/topics/reannounce", {"dry_run": True, "done": "x", "count": 2})
    run = run_cli(
        "topics", "reannounce", "--topic", "assets.connections", "--all", "--dry-run", "--json", services=services
    )
    assert [row["service"] for row in run.json] == ["asset_sync"]
    assert services.body() == {"topic": "assets.connections", "everything": True}
    assert len(run_cli("topics", "reannounce", "--json", services=services).json) == len(SERVICES)
    for arguments in (("--topic", "requests"), ("--topic", "assets.connections", "--service", "ingest")):
        assert run_cli("topics", "reannounce", *arguments, services=services).exit_code == 2
    assert run_cli("topics", "apply", "--grow", "nothing").exit_code == 2


def test_batches_are_flushed_paused_and_counted(services: FakeServices) -> None:
    stats = {
        "window_hours": 24.0,
        "platforms": [
            {"platform": "meta", "enabled": True, "paused": True, "pending": 200, "window_totals": {"http_calls": 3}}
        ],
    }
    flushed = {"platform": "meta", "connections": 1, "calls_made_due": 120, "dry_run": False}
    services.on("batcher", "GET", "/v1/batches/stats", stats)
    services.on("batcher", "POST", "/v1/batches:flush", flushed)
    services.on("batcher", "POST", "/v1/batches:pause", {"platform": "meta", "paused": True, "changed": False})
    run = run_cli("batches", "flush", "meta", "--connection", LETTER, services=services)
    assert run.stdout == "made 120 calls due on 1 connections\n"
    assert services.body() == {"platform": "meta", "connection_id": LETTER, "dry_run": False}
    assert run_cli("batches", "pause", "meta", services=services).stdout == "meta is paused already\n"
    shown = run_cli("batches", "stats", services=services).stdout
    assert "paused" in shown
    assert "200" in shown
    asked = len(services.asked)
    assert run_cli("batches", "resume", "meta", "--dry-run", services=services).stdout == "would resume meta\n"
    assert run_cli("batches", "pause", "meta", "--dry-run", services=services).stdout == "meta is paused already\n"
    assert {request.method for request in services.asked[asked:]} == {"GET"}


def test_keys_organizations_and_producers_are_made_with_what_was_said() -> None:
    services = FakeServices()
    org_id = str(uuid4())
    services.on("ingest", "POST", "/v1/keys", {"key_id": LETTER, "key": "pbk_new"}, status=201)
    services.on("ingest", "POST", f"/v1/keys/{LETTER}/revoke", {"key_id": LETTER})
    services.on("ingest", "POST", "/v1/organizations", {"org_id": org_id}, status=201)
    services.on("ingest", "PATCH", f"/v1/organizations/{org_id}", {"org_id": org_id})
    services.on("ingest", "PUT", "/v1/producers/shop/eu", {"source": "shop/eu"})

    run = run_cli("keys", "create", "shop", "--role", "editor", "-o", org_id, "--json", services=services)
    assert (run.exit_code, run.json["key"]) == (0, "pbk_new")
    assert services.body() == {"name": "shop", "role": "editor"}
    assert services.asked[-1].headers["X-Organization-Id"] == org_id

    run_cli("keys", "create", "ops", "--platform", "--expires-in-days", "3", services=services)
    assert services.body()["role"] == "super_admin"
    assert "expires_at" in services.body()
    assert run_cli("keys", "create", "x", "--platform", "-o", org_id, services=services).exit_code == 2

    assert run_cli("keys", "revoke", LETTER, "-o", org_id, services=services).exit_code == 0
    run_cli("organizations", "create", "Acme", services=services)
    assert services.body() == {"name": "Acme"}
    run_cli("organizations", "set", org_id, "--inactive", services=services)
    assert services.body() == {"active": False}
    assert run_cli("organizations", "set", org_id, services=services).exit_code == 2

    run_cli("producers", "set", "shop/eu", "--for", org_id, "--kind", "api_request", services=services)
    assert services.body() == {"org_ids": [org_id], "kinds": ["api_request"], "active": True}
