"""`platformbus secrets`: the steps of a rotation, in their order."""

from pathlib import Path

import pytest

from libs.security.key_file import new_key, read_keys
from tests.support.cli import FakeServices, run_cli


@pytest.fixture
def kek_file(tmp_path: Path) -> Path:
    path = tmp_path / "kek.json"
    new_key(path, key_id="old")
    return path


def test_a_rotation_adds_activates_and_reseals(kek_file: Path) -> None:
    services = FakeServices()
    services.on("asset_sync", "GET", "/admin/outbox", {})
    active_when_resealed = []

    def reseal() -> dict[str, object]:
        active = read_keys(kek_file).active
        active_when_resealed.append(active)
        return {"kek_id": active, "resealed": 5, "failed": 0, "remaining": 0}

    services.on("asset_sync", "POST", "/v1/connections:reseal", reseal)
    services.on("webhook_receiver", "GET", "/admin/outbox", {})
    services.on("webhook_receiver", "POST", "/v1/webhook-apps:reseal", lambda: reseal() | {"resealed": 2})
    run = run_cli(
        "secrets",
        "rotate-kek",
        "--settle-seconds",
        "0",
        "--json",
        services=services,
        settings={"secrets_kek_file": kek_file},
    )
    keys = read_keys(kek_file)
    assert run.exit_code == 0
    assert (run.json["was"], run.json["key_id"], run.json["resealed"]) == ("old", keys.active, 5)
    assert run.json["webhook_secrets_resealed"] == 2
    assert set(keys.by_id) == {"old", keys.active}
    assert active_when_resealed == [keys.active, keys.active]


def test_nothing_is_changed_when_asset_sync_refuses_or_in_a_dry_run(kek_file: Path) -> None:
    services = FakeServices()
    services.refuse("asset_sync", "GET", "/admin/outbox", 403, "Operators only", "This concerns all organizations.")
    before = kek_file.read_bytes()
    settings = {"secrets_kek_file": kek_file}
    assert run_cli("secrets", "rotate-kek", services=services, settings=settings).exit_code == 1
    assert run_cli("secrets", "rotate-kek", "--dry-run", services=services, settings=settings).exit_code == 0
    assert run_cli("secrets", "add-kek", "--dry-run", settings=settings).exit_code == 0
    assert run_cli("secrets", "activate-kek", "old", "--dry-run", settings=settings).exit_code == 0
    assert kek_file.read_bytes() == before


@pytest.mark.parametrize("late", ["asset_sync", "webhook_receiver"])
def test_a_rotation_that_a_service_did_not_follow_ends_with_1(kek_file: Path, late: str) -> None:
    services = FakeServices()
    for service, path in (("asset_sync", "/v1/connections:reseal"), ("webhook_receiver", "/v1/webhook-apps:reseal")):
        services.on(service, "GET", "/admin/outbox", {})

        def reseal(service: str = service) -> dict[str, object]:
            kek_id = "old" if service == late else read_keys(kek_file).active
            return {"kek_id": kek_id, "resealed": 0, "failed": 0, "remaining": 0}

        services.on(service, "POST", path, reseal)
    run = run_cli(
        "secrets", "rotate-kek", "--settle-seconds", "0", services=services, settings={"secrets_kek_file": kek_file}
    )
    assert run.exit_code == 1
    assert f"{late} seals with old" in run.stderr


def test_the_steps_can_be_taken_one_by_one_and_no_key_is_shown(kek_file: Path) -> None:
    settings = {"secrets_kek_file": kek_file}
    added = run_cli("secrets", "add-kek", "--json", settings=settings).json["key_id"]
    assert read_keys(kek_file).active == "old"
    run_cli("secrets", "activate-kek", added, settings=settings)
    listed = run_cli("secrets", "list-keks", "--json", settings=settings)
    assert sorted(listed.json, key=lambda row: row["active"]) == [
        {"key_id": "old", "active": False},
        {"key_id": added, "active": True},
    ]
    assert run_cli("secrets", "remove-kek", added, "--yes", settings=settings).exit_code == 1, "it is the active one"
    assert run_cli("secrets", "remove-kek", "old", settings=settings, stdin="n\n").exit_code == 1
    assert "old" in read_keys(kek_file).by_id
    assert run_cli("secrets", "remove-kek", "old", "--yes", settings=settings).exit_code == 0
    assert set(read_keys(kek_file).by_id) == {added}


def test_a_broken_key_file_is_reported(tmp_path: Path) -> None:
    run = run_cli("secrets", "list-keks", settings={"secrets_kek_file": tmp_path / "none.json"})
    assert run.exit_code == 1
    assert "cannot be read" in run.stderr
