"""`platformbus parked` and what it shares with `dead-letters`."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.cli import FakeServices, run_cli

SERVICES = ("ingest", "asset_sync", "batcher", "webhook_receiver")
RECORD = str(uuid4())
PARKED: dict[str, Any] = {
    "id": RECORD,
    "topic": "requests",
    "key": "an org/a shop/post 1",
    "waiting": 3,
    "created_at": "2026-01-01T00:00:00Z",
    "key_status": "gave_up",
    "key_attempts": 20,
    "next_attempt_at": "2026-01-01T01:00:00Z",
    "error": "ValueError: no such post",
}
DONE = {"dry_run": False, "done": "did it", "count": 1}


@pytest.fixture
def services() -> FakeServices:
    """Nothing is parked but in batcher."""
    made = FakeServices()
    for service in SERVICES:
        made.on(service, "GET", "/admin/parked", [])
    made.on("batcher", "GET", "/admin/parked", [PARKED])
    made.on("batcher", "GET", f"/admin/parked/{RECORD}", PARKED | {"value": "{}", "actions": []})
    made.on("batcher", "GET", f"/admin/dead-letters/{RECORD}", {"id": RECORD})
    return made


def test_blocked_keys_are_listed_over_all_services(services: FakeServices) -> None:
    assert run_cli("parked", "list", "--json", services=services).json == [PARKED | {"service": "batcher"}]
    shown = run_cli("parked", "list", services=services).stdout
    assert "gave_up" in shown
    assert "no such post" in shown
    assert "nothing is parked" in run_cli("parked", "list", "--service", "ingest", services=services).stdout
    run_cli("parked", "list", "--service", "batcher", "--topic", "requests", "--key", "a/b", services=services)
    assert dict(services.asked[-1].url.params) == {"topic": "requests", "key": "a/b", "limit": "50"}


def test_a_record_is_found_where_it_is_and_shown(services: FakeServices) -> None:
    shown = run_cli("parked", "show", RECORD, "--json", services=services).json
    assert (shown["service"], shown["value"]) == ("batcher", "{}")
    assert run_cli("parked", "show", str(uuid4()), services=services).exit_code == 1


@pytest.mark.parametrize("noun", ["parked", "dead-letters"])
def test_a_record_is_redriven_and_dropped_with_a_reason(services: FakeServices, noun: str) -> None:
    path = f"/admin/{noun}/{RECORD}"
    services.on("batcher", "POST", f"{path}/redrive", DONE | {"dry_run": True})
    services.on("batcher", "POST", f"{path}/drop", DONE)
    run = run_cli(noun, "redrive", RECORD, "--dry-run", services=services)
    assert (run.exit_code, run.stdout) == (0, "not done, only tried: did it\n")
    assert services.asked[-1].url.params["dry_run"] == "true"
    run = run_cli(noun, "drop", RECORD, "--reason", "test data", services=services)
    assert (run.exit_code, run.stdout) == (0, "did it\n")
    assert services.body() == {"reason": "test data"}
    assert run_cli(noun, "drop", RECORD, services=services).exit_code == 2


@pytest.mark.parametrize("noun", ["parked", "dead-letters"])
def test_an_edit_sends_the_whole_file(services: FakeServices, noun: str, tmp_path: Path) -> None:
    services.on("batcher", "PATCH", f"/admin/{noun}/{RECORD}", DONE)
    file = tmp_path / "body.json"
    file.write_text('{"größe": 1}\n')
    assert run_cli(noun, "edit", RECORD, "--value", str(file), services=services).exit_code == 0
    assert services.body() == {"value": '{"größe": 1}\n'}
    file.write_bytes(b"\xff")
    run = run_cli(noun, "edit", RECORD, "--value", str(file), services=services)
    assert (run.exit_code, "cannot be read as text" in run.stderr) == (2, True)
    assert run_cli(noun, "edit", RECORD, "--value", str(tmp_path / "none"), services=services).exit_code == 2


def test_a_redrive_that_still_fails_ends_with_1_and_says_why(services: FakeServices) -> None:
    services.refuse(
        "batcher", "POST", f"/admin/parked/{RECORD}/redrive", 409, "Still fails", "replayed 0, then it failed"
    )
    run = run_cli("parked", "redrive", RECORD, services=services)
    assert (run.exit_code, run.stderr) == (1, "Still fails (409): replayed 0, then it failed\n")
