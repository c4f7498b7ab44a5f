"""One trace runs from a platform's delivery through its storing and the outbox to who reads the event."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from libs.postgres.schemas import SCHEMAS
from tests.support.bus import until
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.traces import Caller, Traces, new_caller
from tests.support.traffic import Organization, make_operator, make_organization

pytestmark = pytest.mark.e2e

PAGE = "153125381133"
DELIVERY, STORE = "POST /webhooks/{platform}/{app}", "store webhook"
CREATED, READ = "create webhooks.events", "process webhooks.events"


@dataclass(frozen=True, slots=True)
class Scene:
    """What runs, whose page it is, and the app that pushes."""

    system: System
    organization: Organization
    operator_key: str
    app: str

    def traces(self) -> Traces:
        return Traces(self.system.spans(name) for name in SCHEMAS)

    async def push(self, caller: Caller, *leads: str) -> None:
        """Deliver one change per lead, signed."""
        changes = [
            {"field": "leadgen", "value": {"leadgen_id": lead, "page_id": PAGE, "created_time": 1_588_890_044}}
            for lead in leads
        ]
        body = json.dumps(
            {"object": "page", "entry": [{"id": PAGE, "time": 1_588_890_044, "changes": changes}]}
        ).encode()
        secret = json.loads(self.system.environment["META_APP_SECRETS"])[self.app].encode()
        headers = {
            "X-Hub-Signature-256": f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}",
            "traceparent": caller.traceparent,
        }
        url = self.system.urls["webhook_receiver"]
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            answer = await http.post(f"/webhooks/meta/{self.app}", content=body, headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
async def scene(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    database = await databases.create(*SCHEMAS)
    system = await System.start(Path(tmp_path_factory.mktemp("trace_webhook")), servers, database)
    try:
        async with await make_operator(system) as operator:
            organization = await make_organization(system, operator, "trace-webhook")
            operator.org_id = organization.org_id
            path = f"/v1/connections/{organization.connection_id}/accounts"
            await operator.ask("asset_sync", "PUT", path, body={"accounts": [{"type": "page", "id": PAGE}]})

        async def known() -> bool:
            return bool(await system.rows("SELECT FROM webhooks.connection_accounts WHERE account_id = $1", PAGE))

        await until(known, "the page is known to webhook_receiver")
        yield Scene(system, organization, operator.key, next(iter(json.loads(system.environment["META_APP_SECRETS"]))))
    finally:
        await system.close()
        await databases.drop(database)


async def test_one_trace_runs_from_a_delivery_to_who_reads_its_event(scene: Scene) -> None:
    caller = new_caller()
    await scene.push(caller, f"{uuid4().int}")

    async def whole() -> bool:
        return scene.traces().is_whole(caller, ("webhook_receiver", DELIVERY), ("ingest", READ))

    await until(whole, "a whole trace in the span files")
    traces = scene.traces()
    server = traces.one(caller.trace_id, "webhook_receiver", DELIVERY)
    assert (server.kind, server.parent_span_id) == ("SERVER", caller.span_id)
    assert server.attributes["http.response.status_code"] == 200
    store = traces.one(caller.trace_id, "webhook_receiver", STORE)
    assert store.parent_span_id == server.span_id
    created = traces.one(caller.trace_id, "webhook_receiver", CREATED)
    assert (created.kind, created.parent_span_id) == ("PRODUCER", server.span_id)
    (sent,) = traces.sending(created)
    assert (sent.service, sent.kind) == ("webhook_receiver", "CLIENT")
    read = traces.one(caller.trace_id, "ingest", READ)
    assert (read.kind, read.parent_span_id) == ("CONSUMER", created.span_id)
    assert server.start_ns < store.start_ns < created.start_ns < sent.start_ns < read.start_ns

    spans = traces.of(caller.trace_id)
    known = {span.span_id for span in spans} | {caller.span_id}
    assert [span for span in spans if span.parent_span_id not in known] == [], traces.drawn(caller.trace_id)
    assert {span.status for span in spans} == {"UNSET"}, traces.drawn(caller.trace_id)
    assert "sha256=" not in str([span.attributes for span in spans]), "a signature is nobody else's business"


async def test_every_change_of_a_delivery_goes_on_with_its_trace(scene: Scene) -> None:
    caller = new_caller()
    await scene.push(caller, *(f"{uuid4().int}" for _ in range(3)))

    def made() -> list[str]:
        return [span.span_id for span in scene.traces().of(caller.trace_id) if span.name == CREATED]

    async def read() -> bool:
        """A batch of several belongs to no trace: it links to each."""
        traces = scene.traces()
        created = [span for span in traces.of(caller.trace_id) if span.name == CREATED]
        linking = [{span.name for span in traces.linking_to(each)} for each in created]
        children = {span.parent_span_id for span in traces.of(caller.trace_id) if span.name == READ}
        return len(created) == 3 and all(
            READ in names or each.span_id in children for names, each in zip(linking, created, strict=True)
        )

    await until(read, "three events, each read")
    assert len(made()) == 3
