"""Every operation of every service's OpenAPI document, asked in right and wrong ways: no 5xx, and answers that fit.

The documents are the committed ones, the services real processes. Each question is asked with an operator's key and
with a tenant's, so that both what is done and what is refused is seen.
"""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from libs.events.ingest_identities import Organization as Org
from libs.events.requests import RequestSubmitted
from libs.postgres.schemas import SCHEMAS
from libs.runtime.openapi import FOLDER
from tests.support.bus import headers_for
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.traffic import (
    Ask,
    Client,
    Organization,
    make_operator,
    make_organization,
    request_body,
    send_by_http,
)

pytestmark = pytest.mark.e2e

CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {"max-examples": 10, "deterministic": True},
        "phases": {"stateful": {"enabled": False}},
    }
)


def _document(service: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{service}.json").read_text())
    return document


def _without_tuples(value: Any) -> Any:
    """Without `prefixItems`, which schemathesis 4.32 turns into a form that is no JSON Schema 2020-12."""
    if isinstance(value, dict):
        return {name: _without_tuples(inner) for name, inner in value.items() if name != "prefixItems"}
    return [_without_tuples(each) for each in value] if isinstance(value, list) else value


DOCUMENTS = {
    service: schemathesis.openapi.from_dict(_without_tuples(_document(service)), config=CONFIG) for service in SCHEMAS
}
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
TIMEOUT_SECONDS = 20.0
MANY, FEW = 40, 12
"""Things of a kind to ask for in turn, so that what ended one of them does not hide what else can be done."""
SECRET = {"secret": "the-first-of-openapi"}
PUT_LETTER = """
INSERT INTO {schema}.dead_letters
    (id, consumer, topic, partition, record_offset, key, value, headers, record_hash, reason)
VALUES ($1, $2, $3, 0, 0, $4, $5, $6, $4, 'did not fit')
"""
PUT_DELIVERY = """
INSERT INTO webhooks.webhook_events (id, received_at, platform, app, headers, raw, body_bytes, body_hash, shard)
VALUES ($1, now(), 'meta', 'a0', '{}', '{}', 2, '', 0)
"""
KEEP_WEBHOOK = """
INSERT INTO ingest.webhooks (event_id, org_id, connection_id, platform, app, object, field, change_type, account_type,
    account_id, external_event_id, webhook_id, position, received_at, value)
VALUES ('openapi', $1::text::uuid, gen_random_uuid(), 'meta', 'a0', 'page', 'leadgen', 'lead.created', 'page', '7', 'k',
    gen_random_uuid(), 0, now(), '{}')
"""
NEED_A_FITTING_BODY = {
    ("ingest", f"PATCH /admin/{what}") for what in ("parked/{parked_id}", "dead-letters/{letter_id}")
}
"""An edit must fit a contract that the document does not know: tests/libs/runtime do them."""
PARK = """
WITH blocked AS (
    INSERT INTO {schema}.parked_keys (consumer, topic, key, next_attempt_at)
    VALUES ($2, $3, convert_from($4, 'UTF8'), now() + interval '1 hour')
)
INSERT INTO {schema}.parked
    (id, consumer, topic, key, partition, record_offset, record_key, value, headers, record_hash)
VALUES ($1, $2, $3, convert_from($4, 'UTF8'), 0, 0, $4, $5, $6, $4)
"""


@dataclass(slots=True)
class Scene:
    """What runs, who asks, and what really exists there."""

    system: System
    callers: Sequence[dict[str, str]]
    """Headers of each: an operator, an operator who speaks for an organization, and a tenant."""
    paths: Mapping[str, Mapping[str, Sequence[Any]]]
    """By service and parameter, values in turn that name something: made-up ids find nothing."""
    fields: Mapping[str, Any]
    """The same for fields of bodies."""
    session: requests.Session
    asked: int = 0
    done: set[tuple[str, str]] = field(default_factory=set)
    """Operations that were done for somebody, not only refused."""

    def ask(self, service: str, case: Case[Any]) -> None:
        """Ask as operator and as one other. Raises: schemathesis' failures, which say how to ask the same with curl."""
        self.asked += 1
        if self.asked % 2:
            known = {name: values[self.asked // 2 % len(values)] for name, values in self.paths[service].items()}
            case.path_parameters = _with(known, case.path_parameters)
            case.body = _with(self.fields, case.body)
        first, *others = self.callers
        for headers in (first, others[self.asked // 2 % len(others)]):
            answer = case.call_and_validate(
                base_url=self.system.urls[service],
                session=self.session,
                headers=headers,
                timeout=TIMEOUT_SECONDS,
                checks=CHECKS,
            )
            if answer.status_code < 300:
                self.done.add((service, case.operation.label))


def _with(known: Mapping[str, Any], value: Any) -> Any:
    """The value with what is known in place of what was made up."""
    if isinstance(value, dict):
        return {name: known.get(name, _with(known, inner)) for name, inner in value.items()}
    return [_with(known, each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
async def scene(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    database = await databases.create(*SCHEMAS)
    system = await System.start(Path(tmp_path_factory.mktemp("openapi")), servers, database)
    try:
        async with await make_operator(system) as operator:
            organization = await make_organization(system, operator, "openapi")
            paths = {service: await _things(system, operator, service, organization) for service in SCHEMAS}
            fields = await _words(system, organization)
        by_operator = {"Authorization": f"Bearer {operator.key}"}
        for_organization = by_operator | {"X-Organization-Id": organization.org_id}
        by_tenant = {"Authorization": f"Bearer {organization.key}"}
        with requests.Session() as session:
            session.trust_env = False
            yield Scene(system, (by_operator, for_organization, by_tenant), paths, fields, session)
    finally:
        await system.close()
        await databases.drop(database)


async def _things(
    system: System, operator: Client, service: str, organization: Organization
) -> dict[str, Sequence[Any]]:
    """What parameters may name; what an operation may end for good is nobody's who asks."""
    spare = await operator.ask("ingest", "POST", "/v1/organizations", body={"name": f"spare of {service}"})
    spare_key = {"name": "spare", "role": "admin", "org_id": spare["org_id"]}
    key = await operator.ask("ingest", "POST", "/v1/keys", body=spare_key)
    jobs = await operator.ask(service, "GET", "/admin/jobs")
    job_run = await operator.ask(service, "POST", f"/admin/jobs/{jobs[0]['name']}/run")
    things: dict[str, Sequence[Any]] = {
        "org_id": [spare["org_id"]],
        "key_id": [key["key_id"]],
        "connection_id": [organization.connection_id],
        "name": [jobs[0]["name"]],
        "run_id": [job_run["count"]],
        "letter_id": [await _refused_record(system, service, PUT_LETTER) for _ in range(MANY)],
        "parked_id": [await _refused_record(system, service, PARK) for _ in range(MANY)],
        "source": ["openapi"],
        "platform": ["meta"],
    }
    async with Client(system.urls, organization.key) as tenant:
        if service == "ingest":
            await system.rows(KEEP_WEBHOOK, organization.org_id)
            things["event_id"] = ["openapi"]
            ask = Ask("openapi", "openapi", organization.objects[0], "http")
            things["request_id"] = [(await send_by_http(tenant, organization, ask))["request_id"]]
        if service == "asset_sync":
            wanted = await _words(system, organization) | {"name": "spare"}
            body = {name: wanted[name] for name in ("platform", "name", "access_token", "app_id")}
            made = [await tenant.ask("asset_sync", "POST", "/v1/connections", body=body) for _ in range(FEW)]
            things["connection_id"] = [each["id"] for each in made]
    if service == "webhook_receiver":
        apps = [
            await operator.ask(service, "POST", "/v1/webhook-apps", body={"platform": "meta", "app": f"a{n}"} | SECRET)
            for n in range(FEW)
        ]
        things |= {"app": [app["app"] for app in apps], "secret_id": [app["secrets"][0]["id"] for app in apps]}
        webhook_id = uuid4()
        await system.rows(PUT_DELIVERY, webhook_id)
        things["webhook_id"] = [str(webhook_id)]
    return things


async def _refused_record(system: System, service: str, statement: str) -> str:
    """A record that was refused once and would be taken now, so that redriving it does something."""
    made = Org(org_id=uuid4(), name="openapi", active=True, created_at=datetime.now(UTC))
    event = RequestSubmitted(kind="x", org_id=made.org_id, payload={}) if service == "ingest" else made
    headers = [(name, b64encode(value or b"").decode()) for name, value in headers_for(type(event), version=1)]
    values = (uuid4(), service, event.topic, str(made.org_id).encode(), event.model_dump_json().encode())
    await system.rows(statement.format(schema=SCHEMAS[service]), *values, json.dumps(headers))
    return str(values[0])


async def _words(system: System, organization: Organization) -> dict[str, Any]:
    """What fields of bodies may say."""
    tokens = (await system.world())["platforms"]["meta"]["tokens"]
    token = next(each for each in tokens if each["state"] == "valid" and each["kind"] == "user")
    ask = Ask("openapi", "openapi", organization.objects[0], "http")
    return {
        "org_id": organization.org_id,
        "org_ids": [organization.org_id],
        "kind": "api_request",
        "kinds": ["api_request"],
        "object_key": "openapi",
        "payload": request_body(organization, ask)["payload"],
        "platform": "meta",
        "access_token": token["access_token"],
        "app_id": token["app"],
        "source": "openapi",
        "secret": "the-second-of-openapi",
        "reason": "asked by a test",
    }


@DOCUMENTS["ingest"].parametrize()
def test_ingest(scene: Scene, case: Case[Any]) -> None:
    scene.ask("ingest", case)


@DOCUMENTS["asset_sync"].parametrize()
def test_asset_sync(scene: Scene, case: Case[Any]) -> None:
    scene.ask("asset_sync", case)


@DOCUMENTS["batcher"].parametrize()
def test_batcher(scene: Scene, case: Case[Any]) -> None:
    scene.ask("batcher", case)


@DOCUMENTS["webhook_receiver"].parametrize()
def test_webhook_receiver(scene: Scene, case: Case[Any]) -> None:
    scene.ask("webhook_receiver", case)


def test_the_questions_reach_what_they_ask_for(scene: Scene) -> None:
    """Runs last: refusals alone would prove little."""
    every = {
        (service, f"{method.upper()} {path}")
        for service in SCHEMAS
        for path, operations in _document(service)["paths"].items()
        for method in operations
    }
    missed = sorted(every - scene.done - NEED_A_FITTING_BODY)
    assert missed == [], "\n".join(map(str, missed))
