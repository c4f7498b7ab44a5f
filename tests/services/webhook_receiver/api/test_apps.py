"""Operators keep apps; their secrets never come out, two may be active at once, and the edge knows of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from deploy.local import ports
from libs.platforms.base import Platform
from libs.postgres import Database, is_available_error
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing
from libs.vocabulary import PlatformName
from services.webhook_receiver import handlers
from services.webhook_receiver.handlers import hourly_reseal
from services.webhook_receiver.usecases.directory import AppDirectory
from tests.support.asgi import problem_of
from tests.support.databases import ServiceDatabase
from tests.support.proxy import Proxy
from tests.support.webhook_receiver import Bench, bench, operators_client

pytestmark = pytest.mark.db

FIRST, SECOND, THIRD = "first-secret-0001", "second-secret-0002", "third-secret-0003"


@pytest.fixture
async def receiver(webhook_receiver_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(webhook_receiver_database, tmp_path) as made:
        yield made


@pytest.fixture
async def http(receiver: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with operators_client(receiver) as client:
        yield client


def body(**more: str) -> dict[str, str]:
    return {"platform": "meta", "app": "1001", "secret": FIRST} | more


async def add_secret(http: httpx.AsyncClient, secret: str) -> httpx.Response:
    return await http.post("/v1/webhook-apps/meta/1001/secrets", json={"secret": secret})


def secrets_of(receiver: Bench) -> list[bytes]:
    app = receiver.directory.find("meta", "1001")
    return sorted(app.secrets) if app is not None else []


async def test_an_app_is_known_to_the_edge_as_soon_as_it_is_added(receiver: Bench, http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/webhook-apps", json=body())
    assert answer.status_code == 201
    added = answer.json()
    assert (added["path"], added["name"]) == ("/webhooks/meta/1001", "1001")
    assert [(each["hint"], each["status"]) for each in added["secrets"]] == [(FIRST[-4:], "active")]
    app = receiver.directory.find("meta", "1001")
    assert app is not None
    assert (app.secrets, app.verify_tokens) == ((FIRST.encode(),), (added["verify_token"].encode(),))
    assert FIRST not in repr(app)
    assert len(added["verify_token"]) >= 40
    assert receiver.directory.find("meta", "1002") is None
    assert receiver.directory.find("google", "1001") is None


async def test_no_answer_and_no_column_holds_a_secret(receiver: Bench, http: httpx.AsyncClient) -> None:
    added = (await http.post("/v1/webhook-apps", json=body(verify_token="given-token-77"))).json()
    assert added["verify_token"] is None
    texts = [(await http.get(path)).text for path in ("/v1/webhook-apps", "/v1/webhook-apps/meta/1001")]
    tables = ("webhook_apps", "webhook_app_secrets", "audit_log")
    texts += [str(await receiver.rows(f"SELECT * FROM {table}")) for table in tables]
    for text in (*texts, str(added)):
        assert FIRST not in text
        assert "given-token-77" not in text


async def test_a_secret_is_rotated_without_a_gap_and_never_are_three_active(
    receiver: Bench, http: httpx.AsyncClient
) -> None:
    await http.post("/v1/webhook-apps", json=body())
    both = (await add_secret(http, SECOND)).json()
    assert secrets_of(receiver) == [FIRST.encode(), SECOND.encode()]
    problem_of(await add_secret(http, THIRD), 409, "two_secrets_active")
    old = next(each["id"] for each in both["secrets"] if each["hint"] == FIRST[-4:])
    retired = await http.delete(f"/v1/webhook-apps/meta/1001/secrets/{old}")
    assert [(each["hint"], each["status"], each["kek_id"]) for each in retired.json()["secrets"]] == [
        (FIRST[-4:], "retired", None),
        (SECOND[-4:], "active", "first"),
    ]
    assert secrets_of(receiver) == [SECOND.encode()]
    problem_of(await http.delete(f"/v1/webhook-apps/meta/1001/secrets/{old}"), 404, "secret_unknown")
    assert (await add_secret(http, THIRD)).status_code == 201
    assert (
        await receiver.rows("SELECT FROM webhook_app_secrets WHERE status = 'retired' AND sealed_secret IS NOT NULL")
        == []
    )


async def test_a_database_that_falls_silent_keeps_no_retired_secret_alive_for_long(
    receiver: Bench, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "REFRESH_LIMIT_SECONDS", 2.0)
    added = (await http.post("/v1/webhook-apps", json=body())).json()
    through = urlsplit(receiver.dsns.worker_dsn)
    proxy = Proxy(ports.choose(), through.port or 5432)
    proxy.start()
    dsn = through._replace(netloc=f"{through.username}:{through.password}@127.0.0.1:{proxy.port}").geturl()
    elsewhere = AppDirectory(receiver.ring, receiver.deps.platforms, secrets={}, verify_tokens={})
    database = await Database.connect(dsn, role="worker", application_name="test", max_size=1)
    try:
        await handlers.refresh_apps(elsewhere, database)
        assert elsewhere.find("meta", "1001") is not None
        proxy.black_hole()
        await http.delete(f"/v1/webhook-apps/meta/1001/secrets/{added['secrets'][0]['id']}")
        async with asyncio.timeout(20):
            with pytest.raises(Exception) as caught:
                await handlers.refresh_apps(elsewhere, database)
        assert is_available_error(caught.value)
        proxy.heal()
        await handlers.refresh_apps(elsewhere, database)
        app = elsewhere.find("meta", "1001")
        assert app is not None
        assert app.secrets == ()
    finally:
        database.terminate()
        await proxy.close()


async def test_of_many_secrets_added_at_once_two_become_active(receiver: Bench, http: httpx.AsyncClient) -> None:
    await http.post("/v1/webhook-apps", json=body())
    answers = await asyncio.gather(*(add_secret(http, f"secret-number-{number}") for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert len(secrets_of(receiver)) == 2


async def test_a_deleted_app_is_unknown_at_once(receiver: Bench, http: httpx.AsyncClient) -> None:
    await http.post("/v1/webhook-apps", json=body())
    problem_of(await http.post("/v1/webhook-apps", json=body(secret=SECOND)), 409, "app_exists")
    assert (await http.delete("/v1/webhook-apps/meta/1001", params={"dry_run": "true"})).json()["dry_run"]
    assert receiver.directory.find("meta", "1001") is not None
    assert (await http.delete("/v1/webhook-apps/meta/1001")).status_code == 200
    assert receiver.directory.find("meta", "1001") is None
    problem_of(await http.get("/v1/webhook-apps/meta/1001"), 404, "app_unknown")
    problem_of(await http.delete("/v1/webhook-apps/meta/1001"), 404, "app_unknown")
    problem_of(await add_secret(http, SECOND), 404, "app_unknown")
    deeds = [row["action"] for row in await receiver.rows("SELECT action FROM audit_log ORDER BY id")]
    assert deeds == ["webhook_app.added", "webhook_app.deleted"]


async def test_a_dry_run_keeps_nothing(receiver: Bench, http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/webhook-apps", json=body(), params={"dry_run": "true"})
    assert (answer.status_code, answer.json()["dry_run"], answer.json()["verify_token"]) == (200, True, None)
    assert (await http.get("/v1/webhook-apps")).json() == {"apps": []}
    assert receiver.directory.find("meta", "1001") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "short"},
        {"secret": "with a space"},
        {"app": "../up"},
        {"platform": "myspace"},
        {"name": "nul\x00"},
        {"name": " "},
        {"verify_token": "ü" * 9},
    ],
)
async def test_a_malformed_app_is_refused_without_its_secret_in_the_answer(
    http: httpx.AsyncClient, wrong: dict[str, str]
) -> None:
    answer = await http.post("/v1/webhook-apps", json=body(**wrong))
    assert answer.status_code == 422
    assert FIRST not in answer.text


async def test_settings_count_only_for_apps_that_no_operator_keeps(receiver: Bench, http: httpx.AsyncClient) -> None:
    """A secret that leaked is over once it is retired, though it is in the settings too."""
    added = (await http.post("/v1/webhook-apps", json=body())).json()
    directory = AppDirectory(
        receiver.ring,
        receiver.deps.platforms,
        secrets={("meta", "1001"): SECOND, ("meta", "7"): THIRD, ("myspace", "7"): THIRD},
        verify_tokens={("meta", "8"): "token", ("meta", "1001"): "token"},
    )
    found = directory.find("meta", "7")
    assert found is not None
    assert found.secrets == (THIRD.encode(),)
    async with receiver.database.acquire() as conn:
        await directory.refresh(conn)
    app, handshake_only = directory.find("meta", "1001"), directory.find("meta", "8")
    assert app is not None
    assert handshake_only is not None
    assert (app.secrets, app.verify_tokens) == ((FIRST.encode(),), (added["verify_token"].encode(),))
    assert (handshake_only.secrets, handshake_only.verify_tokens) == ((), (b"token",))
    assert directory.find("myspace", "7") is None
    await http.delete(f"/v1/webhook-apps/meta/1001/secrets/{added['secrets'][0]['id']}")
    async with receiver.database.acquire() as conn:
        await directory.refresh(conn)
    retired = directory.find("meta", "1001")
    assert retired is not None
    assert retired.secrets == ()


async def test_who_deletes_an_app_that_the_settings_name_hears_that_they_count_again(receiver: Bench) -> None:
    secrets, tokens = {("meta", "1001"): SECOND}, {("meta", "1002"): "token"}
    receiver.directory = AppDirectory(receiver.ring, receiver.deps.platforms, secrets=secrets, verify_tokens=tokens)
    async with operators_client(receiver) as http:
        for app, named in (("1001", True), ("1002", True), ("1003", False)):
            added = (await http.post("/v1/webhook-apps", json=body(app=app))).json()
            assert added["in_settings"] is named
            assert (await http.get(f"/v1/webhook-apps/meta/{app}")).json()["in_settings"] is named
            assert (await http.delete(f"/v1/webhook-apps/meta/{app}")).json()["in_settings"] is named
    assert secrets_of(receiver) == [SECOND.encode()]
    assert receiver.directory.find("meta", "1003") is None


async def test_secrets_move_under_the_active_key_and_open_as_before(
    receiver: Bench, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    await http.post("/v1/webhook-apps", json=body())
    await add_secret(http, SECOND)
    new_key(tmp_path / "kek.json", key_id="second")
    ring = KeyRing.from_file(tmp_path / "kek.json")
    assert await hourly_reseal(ring, receiver.database) == {"resealed": 3, "failed": 0}
    assert await hourly_reseal(ring, receiver.database) == {"resealed": 0, "failed": 0}
    named = await receiver.rows("SELECT kek_id FROM webhook_apps UNION SELECT kek_id FROM webhook_app_secrets")
    assert [row["kek_id"] for row in named] == ["second"]
    directory = AppDirectory(ring, receiver.deps.platforms, secrets={}, verify_tokens={})
    async with receiver.database.acquire() as conn:
        await directory.refresh(conn)
    app = directory.find("meta", "1001")
    assert app is not None
    assert sorted(app.secrets) == [FIRST.encode(), SECOND.encode()]


async def test_an_operator_has_secrets_moved_at_once(receiver: Bench, http: httpx.AsyncClient, tmp_path: Path) -> None:
    await http.post("/v1/webhook-apps", json=body())
    new_key(tmp_path / "kek.json", key_id="second")
    dry = (await http.post("/v1/webhook-apps:reseal", params={"dry_run": "true"})).json()
    assert dry == {"kek_id": "second", "resealed": 2, "failed": 0, "dry_run": True}
    assert (await http.post("/v1/webhook-apps:reseal")).json() == dry | {"dry_run": False}
    assert (await http.post("/v1/webhook-apps:reseal")).json()["resealed"] == 0
    assert secrets_of(receiver) == [FIRST.encode()]


async def test_a_secret_that_does_not_open_leaves_the_others_in_use(receiver: Bench, http: httpx.AsyncClient) -> None:
    await http.post("/v1/webhook-apps", json=body())
    await add_secret(http, SECOND)
    await receiver.run(
        'UPDATE webhook_app_secrets SET sealed_secret = sealed_secret || \'{"kek_id": "lost"}\' WHERE hint = $1',
        FIRST[-4:],
    )
    directory = AppDirectory(receiver.ring, receiver.deps.platforms, secrets={}, verify_tokens={})
    async with receiver.database.acquire() as conn:
        await directory.refresh(conn)
    app = directory.find("meta", "1001")
    assert app is not None
    assert app.secrets == (SECOND.encode(),)


async def test_a_platform_without_webhooks_has_no_apps(receiver: Bench) -> None:
    platforms = {PlatformName.META: Platform(PlatformName.META, "v0")}
    directory = AppDirectory(receiver.ring, platforms, secrets={("meta", str(uuid4())): FIRST}, verify_tokens={})
    assert directory.find("meta", "1001") is None
