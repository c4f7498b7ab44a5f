"""Secrets are planted in a whole running system, things go well and wrong, and then every byte that stays is searched.

Only sealed forms may be found: no token, API key, app secret, password or key-encryption key in a log, span, table,
record, book of the limiter, answer or output of the command.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from libs.events.assets_connections import SealedSecret
from libs.events.requests import RequestSubmitted
from libs.postgres.schemas import SCHEMAS
from libs.security.api_keys import new_api_key
from libs.security.key_file import read_keys
from libs.security.sealing import KeyRing, connection_aad
from tests.support.bus import headers_for, publish, until
from tests.support.databases import Databases
from tests.support.leaks import (
    Hunt,
    Recorder,
    forms,
    look_in_files,
    look_in_tables,
    look_in_topics,
    look_in_valkey,
    server_logs,
)
from tests.support.processes import ROOT
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.traffic import Organization, make_operator, make_organization

pytestmark = pytest.mark.e2e
TALKATIVE = {f"{service.upper()}_LOG_LEVEL": "DEBUG" for service in SCHEMAS} | {"BATCHER_LOG_REQUESTS": "true"}
QUICK = {"META_THROTTLE_WAIT_SECONDS": "1", "BATCHER_RETRY_BASE_SECONDS": "0.1", "BATCHER_RETRY_CAP_SECONDS": "0.5"}
SECONDS = 90.0
AS_IT_CAME = {
    "token in a refused record": {"topic: requests"},
    "token in a broken record": {"topic: requests", "topic: ingest.dead_letters", "table: ingest.dead_letters"},
}
"""What a caller wrote to Kafka is the caller's; a dead letter is kept untouched, and shown only redacted."""


@pytest.fixture
async def system(servers: Servers, databases: Databases, tmp_path: Path) -> AsyncIterator[System]:
    database = await databases.create(*SCHEMAS)
    made = await System.start(tmp_path, servers, database, extra=TALKATIVE | QUICK)
    try:
        yield made
    finally:
        await made.close()
        await databases.drop(database)


@pytest.mark.parametrize("secret", [b"EAAcanary|1\xff", bytes(range(31, 256, 7))])
def test_the_hunt_knows_a_secret_in_every_form(secret: bytes) -> None:
    hunt = Hunt({"it": secret})
    for place, data in {
        "plain": b"a" + secret + b"b",
        "hex": b"\\x" + secret.hex().encode(),
        "quoted": quote(b"x=" + secret).encode(),
        **{f"base64 {n}": b64encode(b"Bearer"[:n] + secret + b"...") for n in range(4)},
    }.items():
        hunt.look_in(place, data)
    assert len(hunt.findings()) == 7


async def test_no_secret_is_found_in_anything_that_a_run_leaves_behind(system: System) -> None:
    hunt, marker = Hunt(), f"marker-{uuid4().hex}"
    operator = await make_operator(system)
    organization = await make_organization(system, operator, "canaries")
    await operator.close()
    await plant_what_exists(hunt, system, operator.key, organization)
    async with Recorder(hunt, organization.key) as http, Recorder(hunt, operator.key) as operators:
        connection_id = await connections_well_and_wrong(hunt, system, http, marker)
        await keys_in_wrong_places(hunt, system)
        await requests_well_and_wrong(hunt, system, http, organization, connection_id)
        await records_that_hold_a_token(hunt, system, organization)
        signed = await webhooks_well_and_wrong(hunt, system, operators)
        await the_command(hunt, system, operator.key, organization)
        await what_operators_read(system, operators)
        await until(lambda: nothing_waits(system), "every outbox is empty", seconds=SECONDS)
        await sealed_tokens_still_open(hunt, system)
    assert set((await system.fleet.stop()).values()) <= {0, -15}
    look_in_files(hunt, "log", system.folder.glob("*.log"))
    look_in_files(hunt, "span", system.folder.glob("*.spans.jsonl"))
    look_in_files(hunt, "server log", server_logs())
    await look_in_tables(hunt, system.database)
    await look_in_topics(hunt, system.kafka_bootstrap)
    await look_in_valkey(hunt, system.environment["VALKEY_URL"])
    assert hunt.places_of(marker) >= {"answer", "table", "topic"}, "the hunt must see what is really there"
    assert hunt.places_of("POST /v1/connections") >= {"span"}
    assert {place.split(":")[0] for place in hunt.places} >= {"log", "span", "table", "topic", "valkey", "output"}
    found = set(hunt.findings())
    kept = {f"{secret} in {place}" for secret, places in (AS_IT_CAME | signed).items() for place in places}
    assert found >= kept, "the hunt must find what is kept as it came"
    assert found == kept, "\n".join(sorted(found - kept))


async def plant_what_exists(hunt: Hunt, system: System, operator_key: str, organization: Organization) -> None:
    """Everything secret that the run works with."""
    hunt.plant("operator's key", operator_key)
    hunt.plant("organization's key", organization.key)
    for name, password in system.database.passwords.items():
        hunt.plant(f"password of {name}", password)
    plant_keks(hunt, system)
    meta = (await system.world())["platforms"]["meta"]
    app_secrets = {app["id"]: app["secret"] for app in meta["apps"]}
    for app_id, secret in app_secrets.items():
        hunt.plant(f"secret of app {app_id}", secret)
    for token in meta["tokens"]:
        if "|" in token["access_token"]:
            continue  # an app's own token: its secret is hunted already
        hunt.plant(f"token {token['id']}", token["access_token"])
        proof = hmac.new(app_secrets[token["app"]].encode(), token["access_token"].encode(), hashlib.sha256)
        hunt.plant(f"proof of {token['id']}", proof.hexdigest())


def plant_keks(hunt: Hunt, system: System) -> None:
    for key_id, key in read_keys(Path(system.environment["SECRETS_KEK_FILE"])).by_id.items():
        hunt.plant(f"key-encryption key {key_id}", key)


async def connections_well_and_wrong(hunt: Hunt, system: System, http: Recorder, marker: str) -> str:
    """Add, refuse, replace, disconnect; give a connection that works."""
    url = system.urls["asset_sync"] + "/v1/connections"
    tokens = (await system.world())["platforms"]["meta"]["tokens"]
    valid = [token for token in tokens if token["state"] == "valid" and token["kind"] in ("user", "system_user")]
    dead = [token for token in tokens if token["state"] != "valid"]
    made = await http.post(url, json=connection(valid[0], marker), headers={"Idempotency-Key": "hunt"})
    assert made.status_code == 201, made.text
    invented = f"EAA{secrets.token_hex(40)}"
    hunt.plant("invented token", invented)
    for token in [*dead, {"access_token": invented, "app": valid[0]["app"]}]:
        assert (await http.post(url, json=connection(token, "refused"))).status_code == 422
    body = json.dumps(connection(valid[0], "x"))
    json_type = {"Content-Type": "application/json"}
    reused = {"Idempotency-Key": "hunt"}
    assert (await http.post(url, json=connection(valid[0], "other name"), headers=reused)).status_code == 422
    assert (await http.post(url, content=body[:-1], headers=json_type)).status_code == 400
    assert (await http.post(url, content=body + " " * 2_000_000, headers=json_type)).status_code == 413
    assert (await http.post(url, content=body, headers={"Content-Type": "text/plain"})).status_code == 415
    for wrong in ({"platform": invented}, {"app_id": valid[0]["access_token"] + "/"}, {"scopes": [invented]}):
        assert (await http.post(url, json=connection(valid[0], "x") | wrong)).status_code == 422
    one = f"{url}/{made.json()['id']}"
    assert (await http.post(f"{one}/token", json={"access_token": invented})).status_code == 422
    assert (await http.post(f"{one}/token", json={"access_token": valid[0]["access_token"]})).status_code == 200
    for forget in ("false", "true"):
        gone = await http.post(url, json=connection(valid[0], "gone"))
        assert (await http.delete(f"{url}/{gone.json()['id']}?forget={forget}")).status_code == 200
    assert (await http.get(url)).status_code == (await http.get(one)).status_code == 200
    connection_id: str = made.json()["id"]
    return connection_id


def connection(token: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {"platform": "meta", "name": name, "access_token": token["access_token"], "app_id": token["app"]}


async def keys_in_wrong_places(hunt: Hunt, system: System) -> None:
    """Callers who put a secret where none belongs; what they sent is not repeated either."""
    for service, url in system.urls.items():
        unknown, lost = new_api_key().text, new_api_key().text
        hunt.plant(f"unknown key at {service}", unknown)
        hunt.plant(f"misplaced key at {service}", lost)
        async with Recorder(hunt, unknown) as http:
            assert (await http.get(f"{url}/v1/connections")).status_code in (401, 404)
            assert (await http.get(f"{url}/v1/requests")).status_code in (401, 404)
        async with Recorder(hunt, None) as http:
            for scheme in ("Basic", "Bearer x", ""):
                answer = await http.get(f"{url}/admin/outbox", headers={"Authorization": f"{scheme} {lost}".strip()})
                assert answer.status_code == 401
            await http.get(f"{url}/v1/connections", params={"access_token": lost})
            assert (await http.get(f"{url}/v1/nothing/{lost}")).status_code == 404


async def requests_well_and_wrong(
    hunt: Hunt, system: System, http: Recorder, organization: Organization, connection_id: str
) -> None:
    """Reads that are answered, refused by the platform, throttled, cut, and never sent."""
    url = system.urls["ingest"] + "/v1/requests"
    canary = f"EAA{secrets.token_hex(40)}"
    hunt.plant("token in parameters", canary)
    accounts = (await system.world())["platforms"]["meta"]["accounts"]
    page = next(account["id"] for account in accounts if account["type"] == "page")
    asks: list[tuple[str, dict[str, Any]]] = [
        ("get_object", {"object_id": organization.objects[0], "fields": ["id", "name"]}),
        ("get_object", {"object_id": page, "fields": ["id", "access_token"]}),
        ("get_object", {"object_id": "1", "fields": ["id"]}),
        ("get_ad_accounts", {"fields": ["id", "name"], "limit": 1}),
        ("get_object", {"object_id": organization.objects[0], "access_token": canary}),
        ("get_object", {"object_id": f"me?access_token={canary}"}),
        (canary, {}),
    ]
    await until(lambda: connection_known(system, connection_id), "the connection is known", seconds=SECONDS)
    fault = f"{system.sandbox_url}/_sandbox/faults"
    for kind in ("server_error", "throttled", "truncated", "token_revoked"):
        await http.post(fault, json={"platform": "meta", "kind": kind, "match": {}, "times": 1, "args": {}})
        ids = []
        for number, (request_type, params) in enumerate(asks):
            payload = {
                "platform": "meta", "connection_id": connection_id, "request_type": request_type, "params": params,
                "max_wait_seconds": 0,
            }  # fmt: skip
            body = {"kind": "api_request", "object_key": f"{kind}-{number}", "payload": payload}
            answer = await http.post(url, json=body, headers={"Idempotency-Key": f"{kind}-{number}"})
            assert answer.status_code in (202, 422), answer.text
            ids += [answer.json()["request_id"]] if answer.status_code == 202 else []
        assert ids
        if kind == "token_revoked":  # waits for a newer token: replacing it lets the reads end
            connections = system.urls["asset_sync"] + "/v1/connections"
            tokens = (await system.world())["platforms"]["meta"]["tokens"]
            token = next(t for t in tokens if t["state"] == "valid" and t["kind"] in ("user", "system_user"))
            await http.post(f"{connections}/{connection_id}/token", json={"access_token": token["access_token"]})
        await until(lambda: all_ended(system), f"every read has its end after {kind}", seconds=SECONDS)
        for each in ids:
            assert (await http.get(f"{url}/{each}")).json()["status"] in ("completed", "failed")


async def connection_known(system: System, connection_id: str) -> bool:
    """Whether it is where it is asked for and where it is used: it comes to both by Kafka."""
    query = "SELECT FROM {}.connections WHERE connection_id = $1::text::uuid"
    return all([await system.rows(query.format(schema), connection_id) for schema in ("ingest", "batching")])


async def all_ended(system: System) -> bool:
    return not await system.rows("SELECT FROM ingest.requests WHERE status = 'accepted'")


async def records_that_hold_a_token(hunt: Hunt, system: System, organization: Organization) -> None:
    """Two records with a token inside: one is readable and refused, one cannot be read."""
    refused, broken = f"EAA{secrets.token_hex(40)}", f"EAA{secrets.token_hex(40)}"
    hunt.plant("token in a refused record", refused)
    hunt.plant("token in a broken record", broken)
    params = {"object_id": organization.objects[0], "fields": ["id"], "access_token": refused}
    payload = {
        "platform": "meta", "connection_id": organization.connection_id, "request_type": "get_object", "params": params
    }  # fmt: skip
    body = {"kind": "api_request", "org_id": organization.org_id, "payload": payload}
    headers = [(name, value) for name, value in headers_for(RequestSubmitted) if name != "ce_source"]
    headers.append(("ce_source", organization.source.encode()))
    key = secrets.token_hex(8).encode()
    values = [json.dumps(body).encode(), b'{"kind": "api_request", "access_token": "' + broken.encode()]
    await publish(system.kafka_bootstrap, "requests", [(key, value, headers) for value in values])

    async def both_settled() -> bool:
        letters = await system.rows("SELECT count(*) AS n FROM ingest.dead_letters")
        rejected = await system.rows("SELECT count(*) AS n FROM ingest.requests WHERE status = 'rejected'")
        return bool(letters[0]["n"] == rejected[0]["n"] == 1)

    await until(both_settled, "one record is refused, the other a dead letter", seconds=SECONDS)


async def webhooks_well_and_wrong(hunt: Hunt, system: System, operators: Recorder) -> dict[str, set[str]]:
    """An app with two secrets, its handshake, deliveries true and forged; give where signatures may be found.

    A signature proves that one body came from who knows the secret: it is kept with the delivery and shown with it.
    """
    url = system.urls["webhook_receiver"]
    first, second, token = secrets.token_hex(20), secrets.token_hex(20), secrets.token_urlsafe(20)
    lost, wrong_token = secrets.token_hex(20), secrets.token_urlsafe(20)
    planted = {"first secret of an app": first, "second secret of an app": second, "verify token": token}
    planted |= {"secret of a refused app": lost, "wrong verify token": wrong_token}
    for name, secret in planted.items():
        hunt.plant(name, secret)
    apps, app = f"{url}/v1/webhook-apps", {"platform": "meta", "app": "hunted", "secret": first, "verify_token": token}
    assert (await operators.post(apps, json=app | {"platform": lost, "secret": lost})).status_code == 422
    assert (await operators.post(apps, json=app | {"verify_token": f"{lost} "})).status_code == 422
    assert (await operators.post(apps, json=app)).status_code == 201
    assert (await operators.post(apps, json=app | {"secret": lost})).status_code == 409
    assert (await operators.post(f"{apps}/meta/hunted/secrets", json={"secret": second})).status_code == 201
    assert (await operators.post(f"{apps}/meta/hunted/secrets", json={"secret": lost})).status_code == 409
    body = json.dumps({"object": "page", "entry": [{"id": "1", "time": 1, "changes": [{"field": "x", "value": {}}]}]})
    places: dict[str, set[str]] = {}
    async with Recorder(hunt, None) as stranger:
        door = f"{url}/webhooks/meta/hunted"

        async def known() -> bool:
            asked = {"hub.mode": "subscribe", "hub.challenge": "7", "hub.verify_token": token}
            return (await stranger.get(door, params=asked)).status_code == 200

        await until(known, "the new app is known", seconds=SECONDS)
        refused = {"hub.mode": "subscribe", "hub.challenge": "7", "hub.verify_token": wrong_token}
        assert (await stranger.get(door, params=refused)).status_code == 403
        for name, secret in (("signature", second), ("forged signature", "nobody's")):
            signature = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
            hunt.plant(name, signature)
            answer = await stranger.post(door, content=body, headers={"X-Hub-Signature-256": f"sha256={signature}"})
            assert answer.status_code == (200 if name == "signature" else 401)
            places[name] = {f"table: webhooks.webhook_events_{datetime.now(UTC):%Y%m}"}

    async def settled() -> bool:
        return len(await system.rows("SELECT FROM webhooks.webhook_events WHERE status = 'ignored'")) == 2

    await until(settled, "one delivery belongs to nobody, the other is kept as refused", seconds=SECONDS)
    for delivery in (await operators.get(f"{url}/v1/webhooks")).json()["webhooks"]:
        path = f"/v1/webhooks/{delivery['id']}"
        assert (await operators.get(url + path)).status_code == 200
        places["signature" if delivery["signature_valid"] else "forged signature"].add(f"answer: GET {path} 200")
    assert (await operators.post(f"{url}/v1/webhooks:replay", json={"app": "hunted"})).status_code == 200
    return places


async def the_command(hunt: Hunt, system: System, key: str, organization: Organization) -> None:
    """What a person sees of `platformbus`, also while the key-encryption key is rotated."""
    tokens = (await system.world())["platforms"]["meta"]["tokens"]
    token = next(t for t in tokens if t["state"] == "valid" and t["kind"] == "user")
    urls = {f"{service.upper()}_URL": url for service, url in system.urls.items()}
    environment = system.environment | urls | {"PLATFORMBUS_KEY": key, "CANARY": token["access_token"]}
    environment["APP_SECRET"] = hunt.secrets["second secret of an app"].decode()
    named = ["--organization", organization.org_id]
    added = ["connections", "add", "meta", "--name", "by hand", "--app", token["app"], "--token-env", "CANARY", *named]
    commands: Sequence[Sequence[str]] = [
        added,
        ["connections", "list", *named],
        ["secrets", "rotate-kek", "--settle-seconds", "1.5"],
        ["secrets", "list-keks"],
        ["keys", "list"],
        ["requests", "list", *named],
        ["webhooks", "send", "hunted", "--sample", "leadgen", "--secret-env", "APP_SECRET"],
        ["webhooks", "apps", "list"],
        ["webhooks", "list"],
        ["parked", "list"],
        ["dead-letters", "list"],
        ["trace", "show", organization.connection_id],
        ["status"],
        ["connections", "show", str(uuid4()), *named],
    ]
    for arguments in commands:
        done = await asyncio.to_thread(run_command, arguments, environment)
        hunt.look_in(f"output: {' '.join(arguments[:2])}", done.stdout + done.stderr)
        assert done.returncode == (0 if arguments[:2] != ["connections", "show"] else 1), done.stdout + done.stderr
    plant_keks(hunt, system)
    assert len([name for name in hunt.secrets if name.startswith("key-encryption key")]) == 2


def run_command(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(words, env=dict(environment), cwd=ROOT, capture_output=True, timeout=60, check=False)


async def what_operators_read(system: System, operators: Recorder) -> None:
    for url in system.urls.values():
        for letter in (await operators.get(f"{url}/admin/dead-letters")).json():
            whole = (await operators.get(f"{url}/admin/dead-letters/{letter['id']}")).json()
            assert "[redacted]" in whole["value"]
        for path in ("/live", "/ready", "/metrics", "/openapi.json", "/admin/outbox", "/admin/dead-letters"):
            assert (await operators.get(url + path)).status_code == 200


async def nothing_waits(system: System) -> bool:
    counts = [await system.rows(f"SELECT count(*) AS n FROM {schema}.outbox") for schema in SCHEMAS.values()]
    return not any(rows[0]["n"] for rows in counts)


async def sealed_tokens_still_open(hunt: Hunt, system: System) -> None:
    """The tokens are there, sealed under the new key: what is hunted was really kept."""
    ring = KeyRing.from_file(Path(system.environment["SECRETS_KEK_FILE"]))
    rows = await system.rows("SELECT id, org_id, status, sealed_access_token FROM assets.connections")
    assert len(rows) >= 3
    for row in rows:
        sealed = SealedSecret.model_validate_json(row["sealed_access_token"])
        assert sealed.kek_id == ring.active_id
        text = ring.open(sealed, aad=connection_aad(row["org_id"], UUID(str(row["id"])), "access_token"))
        assert (text == "") == (row["status"] == "disconnected")
        assert not text or any(text.encode() == secret for secret in hunt.secrets.values())
        assert not any(form in row["sealed_access_token"].encode() for form in forms(text.encode()) if text)
