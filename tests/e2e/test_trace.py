"""One trace runs from a request, by HTTP or by Kafka, through outbox, queue and platform call to its result."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from deploy.local.demo.internal_system import Writer
from libs.postgres.schemas import SCHEMAS
from tests.support.bus import until
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.traces import Caller, SpanLine, Traces, new_caller
from tests.support.traffic import Ask, Organization, make_operator, make_organization, request_body

pytestmark = pytest.mark.e2e

BY_HTTP, BY_KAFKA = "POST /v1/requests", "process requests"
ACCEPTED, RESULTS = "create ingest.accepted", "create batcher.results"
WHOLE = (
    ("ingest", ACCEPTED),
    ("batcher", "call meta"),
    ("batcher", "POST"),
    ("batcher", RESULTS),
    ("ingest", "process batcher.results"),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What runs, and who asks."""

    system: System
    organization: Organization
    http: httpx.AsyncClient

    def traces(self) -> Traces:
        return Traces(self.system.spans(name) for name in SCHEMAS)

    async def post(self, caller: Caller, ask: Ask) -> str:
        response = await self.http.post(
            "/v1/requests",
            json=request_body(self.organization, ask),
            headers={"traceparent": caller.traceparent, "Idempotency-Key": ask.idempotency_key},
        )
        assert response.status_code == 202, response.text
        return str(response.json()["request_id"])

    async def until_whole(self, caller: Caller, way_in: str) -> Traces:
        """Give the spans once the trace is whole; `way_in` names the span by which ingest took the request."""

        async def whole() -> bool:
            return self.traces().is_whole(caller, ("ingest", way_in), *WHOLE)

        await until(whole, "a whole trace in the span files")
        return self.traces()


@pytest.fixture(scope="module")
async def scene(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    database = await databases.create(*SCHEMAS)
    system = await System.start(Path(tmp_path_factory.mktemp("trace")), servers, database)
    try:
        operator = await make_operator(system)
        organization = await make_organization(system, operator, "trace")
        await operator.close()
        headers = {"Authorization": f"Bearer {organization.key}"}
        url = system.urls["ingest"]
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
            yield Scene(system, organization, http)
    finally:
        await system.close()
        await databases.drop(database)


async def test_one_trace_runs_from_an_http_request_to_its_result(scene: Scene) -> None:
    caller = new_caller()
    ask = Ask("trace-http", "object-http", scene.organization.objects[0], "http", max_wait_seconds=0)
    request_id = await scene.post(caller, ask)
    traces = await scene.until_whole(caller, BY_HTTP)

    server = traces.one(caller.trace_id, "ingest", BY_HTTP)
    assert (server.kind, server.parent_span_id) == ("SERVER", caller.span_id)
    accepted = traces.one(caller.trace_id, "ingest", ACCEPTED)
    assert accepted.parent_span_id == server.span_id
    check_the_way_to_the_result(traces, caller, accepted)

    async def completed() -> bool:
        """The span of reading the result may be written before what was read is committed."""
        return bool((await scene.http.get(f"/v1/requests/{request_id}")).json()["status"] == "completed")

    await until(completed, "the request to be completed")


async def test_one_trace_runs_from_a_kafka_request_to_its_result(scene: Scene) -> None:
    caller = new_caller()
    ask = Ask("trace-kafka", "object-kafka", scene.organization.objects[1], "kafka", max_wait_seconds=0)
    async with Writer(scene.system.kafka_bootstrap, scene.organization.source) as writer:
        await writer.submit(
            UUID(scene.organization.org_id),
            ask.object_key,
            request_body(scene.organization, ask)["payload"],
            idempotency_key=ask.idempotency_key,
            traceparent=caller.traceparent,
        )
    traces = await scene.until_whole(caller, BY_KAFKA)

    process = traces.one(caller.trace_id, "ingest", BY_KAFKA)
    assert (process.kind, process.parent_span_id) == ("CONSUMER", caller.span_id)
    accepted = traces.one(caller.trace_id, "ingest", ACCEPTED)
    assert accepted.parent_span_id == caller.span_id
    check_the_way_to_the_result(traces, caller, accepted)


def check_the_way_to_the_result(traces: Traces, caller: Caller, accepted: SpanLine) -> None:
    """From the accepted request: its sending, the call, the result, and ingest's reading of it."""
    assert accepted.kind == "PRODUCER"
    call = traces.one(caller.trace_id, "batcher", "call meta")
    assert call.parent_span_id == accepted.span_id
    http = traces.one(caller.trace_id, "batcher", "POST")
    assert (http.kind, http.parent_span_id) == ("CLIENT", call.span_id)
    assert http.attributes["http.response.status_code"] == 200
    assert "access_token" not in str(http.attributes)
    result = traces.one(caller.trace_id, "batcher", RESULTS)
    assert (result.kind, result.parent_span_id) == ("PRODUCER", accepted.span_id)
    status = traces.one(caller.trace_id, "ingest", "process batcher.results")
    assert (status.kind, status.parent_span_id) == ("CONSUMER", result.span_id)
    assert accepted.start_ns < call.start_ns <= http.start_ns < result.start_ns < status.start_ns

    # The relay sends in batches, which belong to no trace: they link to each message's creation.
    for created, service in ((accepted, "ingest"), (result, "batcher")):
        assert [(span.service, span.kind) for span in traces.sending(created)] == [(service, "CLIENT")]

    spans = traces.of(caller.trace_id)
    known = {span.span_id for span in spans} | {caller.span_id}
    assert [span for span in spans if span.parent_span_id not in known] == [], traces.drawn(caller.trace_id)
    assert {span.status for span in spans} == {"UNSET"}, traces.drawn(caller.trace_id)


async def test_a_call_for_several_asks_links_to_the_trace_of_each(scene: Scene) -> None:
    callers = [new_caller() for _ in range(3)]
    operator = await make_operator(scene.system)
    await operator.ask("batcher", "POST", "/v1/batches:pause", body={"platform": "meta"})
    for number, caller in enumerate(callers):
        object_id = scene.organization.objects[number // 2]  # two asks for one object, one for another
        await scene.post(caller, Ask(f"shared-{number}", f"object-{number}", object_id, "http", max_wait_seconds=0))

    async def queued() -> bool:
        waiting = await scene.system.rows("SELECT 1 FROM batching.batch_request_queue WHERE status = 'pending'")
        return len(waiting) == len(callers)

    await until(queued, "three queued asks")
    await operator.ask("batcher", "POST", "/v1/batches:resume", body={"platform": "meta"})
    await operator.close()

    def calls_linking(traces: Traces) -> list[set[str]]:
        """For each caller the calls that its accepted request is part of, as parent or by a link."""
        found: list[set[str]] = []
        for caller in callers:
            accepted = [span for span in traces.of(caller.trace_id) if span.name == ACCEPTED]
            linking = [span for created in accepted for span in traces.linking_to(created)]
            ids = {created.span_id for created in accepted}
            children = [span for span in traces.spans if span.parent_span_id in ids]
            found.append({span.span_id for span in (*linking, *children) if span.name == "call meta"})
        return found

    async def called() -> bool:
        return all(calls_linking(scene.traces()))

    await until(called, "a call for all three asks in the span files")
    first, second, third = calls_linking(scene.traces())
    assert first == second == third
    assert len(first) == 1
