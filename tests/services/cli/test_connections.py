"""`platformbus connections`: the token's way in, and nowhere out."""

from uuid import uuid4

from tests.support.cli import FakeServices, run_cli

TOKEN = "EAAplantedtoken1234567890"
CONNECTION = {"id": str(uuid4()), "platform": "meta", "name": "shop", "status": "healthy", "token_hint": "7890"}


def test_a_token_comes_from_standard_input_or_a_variable_and_is_not_printed() -> None:
    services = FakeServices()
    services.on("asset_sync", "POST", "/v1/connections", CONNECTION, status=201)
    first = run_cli(
        "connections",
        "add",
        "meta",
        "--name",
        "shop",
        "--app",
        "1234",
        "--token-stdin",
        services=services,
        stdin=f"{TOKEN}\n",
    )
    second = run_cli(
        "connections", "add", "meta", "--name", "shop", "--token-env", "SHOP_TOKEN",
        "--idempotency-key", "once", services=services, environment={"SHOP_TOKEN": TOKEN},
    )  # fmt: skip
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert services.body(0) == {"platform": "meta", "name": "shop", "app_id": "1234", "access_token": TOKEN}
    assert services.body(1)["access_token"] == TOKEN
    assert services.asked[1].headers["Idempotency-Key"] == "once"
    assert TOKEN not in first.stdout + first.stderr + second.stdout + second.stderr
    assert CONNECTION["id"] in first.stdout


def test_a_token_from_nowhere_from_two_places_or_empty_is_asked_wrongly() -> None:
    services = FakeServices()
    add = ("connections", "add", "meta", "--name", "shop")
    for arguments, stdin, words in (
        (add, "", "say where the token is"),
        ((*add, "--token-stdin"), "  \n", "the token is empty"),
        ((*add, "--token-env", "NOT_SET_ANYWHERE"), "", "NOT_SET_ANYWHERE is not set"),
        ((*add, "--token-stdin", "--token-env", "X"), TOKEN, "from one place"),
        ((*add, "--token", TOKEN), "", "No such option"),
    ):
        run = run_cli(*arguments, services=services, stdin=stdin)
        assert run.exit_code == 2, arguments
        assert words in run.words
    assert services.asked == []


def test_dry_runs_are_the_services_own() -> None:
    services = FakeServices()
    path = f"/v1/connections/{CONNECTION['id']}"
    services.on("asset_sync", "POST", "/v1/connections", CONNECTION)
    services.on("asset_sync", "POST", f"{path}/token", CONNECTION)
    services.on("asset_sync", "DELETE", path, CONNECTION)
    services.on(
        "asset_sync", "POST", "/v1/connections:reseal", {"resealed": 0, "failed": 0, "remaining": 3, "kek_id": "k"}
    )
    for arguments in (
        ("connections", "add", "meta", "--name", "shop", "--token-stdin"),
        ("connections", "replace-token", CONNECTION["id"], "--token-stdin"),
        ("connections", "disconnect", CONNECTION["id"]),
        ("connections", "reseal"),
    ):
        assert run_cli(*arguments, "--dry-run", services=services, stdin=TOKEN).exit_code == 0
        assert services.asked[-1].url.params["dry_run"] == "true"
        assert run_cli(*arguments, services=services, stdin=TOKEN).exit_code == 0
        assert services.asked[-1].url.params["dry_run"] == "false"


def test_a_list_is_read_page_by_page_up_to_its_limit() -> None:
    services = FakeServices()
    page = [CONNECTION | {"id": str(uuid4())} for _ in range(200)]
    services.on(
        "asset_sync",
        "GET",
        "/v1/connections",
        {"connections": page, "next_after": "one"},
        {"connections": page[:50], "next_after": None},
    )
    run = run_cli("connections", "list", "--limit", "1000", "--status", "healthy", "--json", services=services)
    assert len(run.json) == 250
    asked = [dict(request.url.params) for request in services.asked]
    assert asked == [{"status": "healthy", "limit": "200"}, {"status": "healthy", "limit": "200", "after": "one"}]
    run_cli("connections", "list", "--limit", "3", services=services)
    assert services.asked[-1].url.params["limit"] == "3"


def test_resealing_goes_on_until_nothing_remains() -> None:
    services = FakeServices()
    answers = [{"kek_id": "k2", "resealed": n, "failed": 0, "remaining": left} for n, left in ((200, 30), (30, 0))]
    services.on("asset_sync", "POST", "/v1/connections:reseal", *answers)
    run = run_cli("connections", "reseal", "--json", services=services)
    assert (run.exit_code, run.json["resealed"], len(services.asked)) == (0, 230, 2)


def test_resealing_ends_with_1_when_a_token_does_not_open() -> None:
    services = FakeServices()
    services.on(
        "asset_sync",
        "POST",
        "/v1/connections:reseal",
        {"kek_id": "k2", "resealed": 4, "failed": 1, "remaining": 1},
        {"kek_id": "k2", "resealed": 0, "failed": 1, "remaining": 1},
    )
    run = run_cli("connections", "reseal", "--json", services=services)
    assert (run.exit_code, run.json["resealed"], run.json["failed"]) == (1, 4, 1)


def test_accounts_are_named_as_type_and_id_and_shown_so() -> None:
    services = FakeServices()
    accounts = [{"type": "page", "id": "1"}, {"type": "ad_account", "id": "act_9"}]
    shown = CONNECTION | {"accounts": accounts}
    path = f"/v1/connections/{CONNECTION['id']}/accounts"
    services.on("asset_sync", "POST", "/v1/connections", shown, status=201)
    services.on("asset_sync", "PUT", path, shown)
    services.on("asset_sync", "GET", "/v1/connections", {"connections": [shown], "next_after": None})
    named = ("--account", "page:1", "--account", "ad_account:act_9")
    add = ("connections", "add", "meta", "--name", "shop", "--token-stdin")
    assert run_cli(*add, *named, services=services, stdin=TOKEN).exit_code == 0
    assert services.body()["accounts"] == accounts
    replace = ("connections", "replace-accounts", CONNECTION["id"])
    assert run_cli(*replace, *named, services=services).exit_code == 0
    assert services.body() == {"accounts": accounts}
    assert run_cli(*replace, "--none", "--dry-run", services=services).exit_code == 0
    assert services.body() == {"accounts": []}
    assert services.asked[-1].url.params["dry_run"] == "true"
    assert "page:1 ad_account:act_9" in run_cli("connections", "list", services=services).stdout
    assert run_cli("connections", "list", "--json", services=services).json[0]["accounts"] == accounts


def test_an_account_without_type_or_id_and_no_word_about_accounts_are_asked_wrongly() -> None:
    services = FakeServices()
    replace = ("connections", "replace-accounts", CONNECTION["id"])
    for arguments in ((), ("--none", "--account", "page:1"), ("--account", "123"), ("--account", "page:")):
        assert run_cli(*replace, *arguments, services=services).exit_code == 2
    add = ("connections", "add", "meta", "--name", "shop", "--token-stdin", "--account", ":1")
    assert run_cli(*add, services=services, stdin=TOKEN).exit_code == 2
    assert services.asked == []
