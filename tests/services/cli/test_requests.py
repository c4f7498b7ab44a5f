"""`platformbus requests`: what is sent, and how its end is awaited."""

from uuid import uuid4

from tests.support.cli import FakeServices, run_cli

ID = str(uuid4())
CONNECTION = str(uuid4())
SUBMIT = ("requests", "submit", "--connection", CONNECTION, "--type", "get_object")
ACCEPTED = {"request_id": ID, "status": "accepted", "duplicate": False, "dry_run": False}


def test_a_request_is_built_from_its_parts() -> None:
    services = FakeServices()
    services.on("ingest", "POST", "/v1/requests", ACCEPTED, status=202)
    run = run_cli(
        *SUBMIT,
        "--param", "object_id=123=4", "--param-json", 'fields=["id","name"]', "--priority", "2", "--max-wait", "0",
        "--object-key", "ad/123", "--idempotency-key", "once", "--json", services=services,
    )  # fmt: skip
    assert run.exit_code == 0
    assert run.json["request_id"] == ID
    assert services.asked[0].headers["Idempotency-Key"] == "once"
    assert services.body() == {
        "kind": "api_request",
        "object_key": "ad/123",
        "payload": {
            "platform": "meta",
            "connection_id": CONNECTION,
            "request_type": "get_object",
            "params": {"object_id": "123=4", "fields": ["id", "name"]},
            "priority": 2,
            "max_wait_seconds": 0,
        },
    }


def test_what_is_left_out_is_left_to_ingest_and_keys_are_fresh() -> None:
    services = FakeServices()
    services.on("ingest", "POST", "/v1/requests", ACCEPTED, status=202)
    run_cli(*SUBMIT, services=services)
    run_cli(*SUBMIT, services=services)
    assert set(services.body()["payload"]) == {"platform", "connection_id", "request_type", "params"}
    first, second = (request.headers["Idempotency-Key"] for request in services.asked)
    assert first != second
    assert services.body(0)["object_key"] != services.body(1)["object_key"]


def test_a_whole_payload_comes_from_standard_input() -> None:
    services = FakeServices()
    services.on("ingest", "POST", "/v1/requests", ACCEPTED, status=202)
    run_cli("requests", "submit", "--payload", "-", "--object-key", "k", services=services, stdin='{"any": 1}')
    assert services.body()["payload"] == {"any": 1}


def test_parts_that_mean_nothing_are_asked_wrongly() -> None:
    services = FakeServices()
    for arguments, words in (
        ((*SUBMIT, "--param", "novalue"), "NAME=VALUE"),
        ((*SUBMIT, "--param", "a=1", "--param-json", "a=2"), "given twice"),
        ((*SUBMIT, "--param-json", "a={"), "is not JSON"),
        ((*SUBMIT, "--payload", "-"), "not both"),
        (("requests", "submit", "--payload", "/nonexistent"), "cannot be read"),
        (("requests", "submit", "--connection", CONNECTION), "--connection and --type"),
        ((*SUBMIT, "--priority", "11"), "less than or equal to 10"),
    ):
        run = run_cli(*arguments, services=services, stdin="{}")
        assert (run.exit_code, words in run.words) == (2, True), (arguments, run.words)
    assert services.asked == []


def test_waiting_shows_the_end_and_its_exit_code() -> None:
    for status, exit_code in (("completed", 0), ("failed", 1), ("rejected", 1)):
        services = FakeServices()
        services.on("ingest", "POST", "/v1/requests", ACCEPTED, status=202)
        services.on(
            "ingest", "GET", f"/v1/requests/{ID}", ACCEPTED, {"request_id": ID, "status": status, "result": {"id": "1"}}
        )
        run = run_cli(*SUBMIT, "--wait", "30", "--json", services=services)
        assert (run.exit_code, run.json["status"]) == (exit_code, status)


def test_waiting_ends_at_its_limit() -> None:
    services = FakeServices()
    services.on("ingest", "GET", f"/v1/requests/{ID}", ACCEPTED)
    run = run_cli("requests", "show", ID, "--wait", "0", services=services)
    assert run.exit_code == 1
    assert "has not ended after 0 s" in run.stderr


def test_a_dry_run_asks_ingest_and_waits_for_nothing() -> None:
    services = FakeServices()
    services.on(
        "ingest", "POST", "/v1/requests", {"request_id": None, "status": "valid", "duplicate": False, "dry_run": True}
    )
    run = run_cli(*SUBMIT, "--dry-run", "--wait", "30", services=services)
    assert run.exit_code == 0
    assert services.asked[0].url.params["dry_run"] == "true"
    assert "valid" in run.stdout


def test_a_list_shows_ids_whole() -> None:
    services = FakeServices()
    row = {"request_id": ID, "kind": "api_request", "status": "completed", "object_key": "k" * 150, "source": "key:1"}
    services.on("ingest", "GET", "/v1/requests", {"items": [row], "next_cursor": None})
    run = run_cli("requests", "list", "--status", "completed", services=services)
    assert ID in run.stdout
    assert "k" * 150 in run.stdout
    assert dict(services.asked[0].url.params) == {"status": "completed", "limit": "50"}
