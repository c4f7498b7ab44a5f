"""How the command ends and speaks, whatever the noun."""

import httpx
import pytest

from tests.support.cli import KEY, FakeServices, run_cli


def test_without_arguments_it_explains_itself() -> None:
    run = run_cli()
    assert run.exit_code == 2
    assert "dead-letters" in run.words


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("keys", "revoke"),
        ("keys", "revoke", "not-a-uuid"),
        ("batches", "flush", "myspace"),
        ("dead-letters", "list", "--service", "publisher"),
        ("dead-letters", "list", "--limit", "0"),
        ("requests", "submit"),
    ],
)
def test_what_is_asked_wrongly_ends_with_2_and_asks_nobody(arguments: tuple[str, ...]) -> None:
    services = FakeServices()
    run = run_cli(*arguments, services=services)
    assert run.exit_code == 2
    assert services.asked == []
    assert run.stdout == ""
    assert run.stderr


def test_a_refusal_ends_with_1_and_says_what_where_and_how_to_mend_it() -> None:
    services = FakeServices()
    item = {"where": "/role", "what": "is not known", "how": "use one of the six roles"}
    services.refuse("ingest", "POST", "/v1/keys", 422, "Request not valid", "One value does not keep the rules.", item)
    run = run_cli("keys", "create", "x", services=services)
    assert run.exit_code == 1
    assert run.stdout == ""
    assert run.stderr.splitlines() == [
        "Request not valid (422): One value does not keep the rules.",
        "  /role: is not known; use one of the six roles",
    ]


def test_a_refusal_as_json_is_the_services_own_document_on_standard_error() -> None:
    services = FakeServices()
    services.refuse("ingest", "GET", "/v1/keys", 403, "Role missing", "This needs the role admin.")
    run = run_cli("keys", "list", "--json", services=services)
    assert run.exit_code == 1
    assert run.stdout == ""
    assert httpx.Response(403, text=run.stderr).json()["title"] == "Role missing"


def test_a_service_that_does_not_answer_is_named() -> None:
    services = FakeServices()
    services.on("batcher", "GET", "/v1/batches/stats", httpx.ConnectError("connection refused"))
    run = run_cli("batches", "stats", services=services)
    assert (run.exit_code, run.stderr) == (
        1,
        "batcher does not answer at http://batcher.test: connection refused\n",
    )


def test_an_address_where_something_else_listens_is_reported() -> None:
    services = FakeServices()
    services.on("ingest", "GET", "/v1/keys", httpx.Response(200, text="<html>welcome</html>"))
    run = run_cli("keys", "list", services=services)
    assert run.exit_code == 1
    assert "did not answer with JSON" in run.stderr
    services.on("ingest", "GET", "/v1/keys", httpx.Response(502, text="<html>bad gateway</html>"))
    run = run_cli("keys", "list", services=services)
    assert run.exit_code == 1
    assert "answered 502" in run.stderr


def test_a_missing_key_or_address_ends_with_2_and_names_the_variable() -> None:
    run = run_cli("keys", "list", settings={"platformbus_key": None})
    assert run.exit_code == 2
    assert "PLATFORMBUS_KEY is not set" in run.stderr
    run = run_cli("keys", "list", settings={"ingest_url": None})
    assert run.exit_code == 2
    assert "INGEST_URL is not set" in run.stderr
    for arguments, variable in (
        (("migrate", "status"), "INGEST_OWNER_DSN"),
        (("migrate", "roles"), "POSTGRES_ADMIN_DSN"),
        (("keys", "bootstrap"), "INGEST_WORKER_DSN"),
        (("secrets", "rotate-kek"), "SECRETS_KEK_FILE"),
    ):
        run = run_cli(*arguments)
        assert (run.exit_code, variable in run.stderr) == (2, True), arguments


def test_kafkas_variable_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    run = run_cli("topics", "compare")
    assert run.exit_code == 2
    assert "BOOTSTRAP_SERVERS" in run.stderr


def test_the_key_travels_in_its_header_and_is_never_printed() -> None:
    services = FakeServices()
    services.refuse("ingest", "GET", "/v1/keys", 401, "Not authenticated", "The key is not known here.")
    run = run_cli("keys", "list", services=services)
    assert services.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in run.stdout + run.stderr


def test_the_organization_is_named_by_option_else_by_variable_else_not_at_all() -> None:
    services = FakeServices()
    services.on("ingest", "GET", "/v1/keys", {"items": []})
    run_cli("keys", "list", services=services)
    run_cli("keys", "list", services=services, settings={"platformbus_organization": "from-variable"})
    run_cli("keys", "list", "-o", "given", services=services, settings={"platformbus_organization": "from-variable"})
    run_cli("keys", "list", "--all", services=services, settings={"platformbus_organization": "from-variable"})
    named = [request.headers.get("X-Organization-Id") for request in services.asked]
    assert named == [None, "from-variable", "given", None]


def test_what_others_wrote_into_a_record_cannot_steer_the_terminal() -> None:
    services = FakeServices()
    services.on(
        "ingest", "GET", "/v1/organizations", {"items": [{"org_id": "1", "name": "\x1b[2Jgone [bold]x[/bold]\n"}]}
    )
    run = run_cli("organizations", "list", services=services)
    assert "\x1b" not in run.stdout
    assert "\\x1b[2Jgone [bold]x[/bold]\\n" in run.stdout
