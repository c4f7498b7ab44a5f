import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.vocabulary import ConnectionStatus, Role
from services.ingest.usecases.identities import create_key, create_organization, revoke_key, update_organization
from services.ingest.usecases.requests import admit_requests
from services.ingest.usecases.results import end_requests
from tests.services.ingest.usecases.test_results import completed
from tests.support.asgi import client_of, problem_of
from tests.support.databases import Databases
from tests.support.ingest import OPERATOR, PLATFORMS, Ingest, IngestServer, an_ingest_server

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


@pytest.fixture
async def client(ingest: Ingest) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP with the key of an internal system."""
    async with client_of(ingest.app(), key=ingest.keys[Role.API_USER]) as made:
        yield made


def a_body(ingest: Ingest, **changes: Any) -> dict[str, Any]:
    return {"kind": "api_request", "object_key": "campaign-1", "payload": ingest.payload()} | changes


async def test_a_request_is_accepted_and_can_be_looked_at(ingest: Ingest, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/requests", json=a_body(ingest), headers={"Idempotency-Key": "once"})

    assert answer.status_code == 202
    out = answer.json()
    assert (out["status"], out["duplicate"], out["dry_run"]) == ("accepted", False, False)
    assert answer.headers["location"] == f"/v1/requests/{out['request_id']}"
    shown = (await client.get(answer.headers["location"])).json()
    assert (shown["status"], shown["via"], shown["idempotency_key"]) == ("accepted", "http", "once")
    assert shown["params"] == {"object_id": "120330000000001", "fields": ["id", "name"]}
    assert shown["source"] == f"key:{shown['key_id']}"
    [event] = await ingest.outbox("ingest.accepted")
    assert (event["body"]["request_id"], event["org_id"]) == (out["request_id"], ingest.org_id)


async def test_a_duplicate_is_answered_with_what_the_first_became(ingest: Ingest, client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = (await client.post("/v1/requests", json=a_body(ingest), headers=headers)).json()
    async with ingest.worker.transaction() as conn:
        await end_requests(conn, [completed(ingest, first["request_id"], result=[1])], result_limit_bytes=100)

    second = await client.post("/v1/requests", json=a_body(ingest), headers=headers)

    assert second.status_code == 202
    assert second.json() == first | {"status": "completed", "duplicate": True}
    shown = (await client.get(f"/v1/requests/{first['request_id']}")).json()
    assert (shown["result"], shown["http_status"]) == ([1], 200)


async def test_without_a_key_every_request_is_new(ingest: Ingest, client: httpx.AsyncClient) -> None:
    answers = [await client.post("/v1/requests", json=a_body(ingest)) for _ in range(2)]
    assert len({answer.json()["request_id"] for answer in answers}) == 2


async def test_a_dry_run_writes_nothing(ingest: Ingest, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/requests?dry_run=true", json=a_body(ingest))

    assert answer.status_code == 200
    assert answer.json() == {"request_id": None, "status": "valid", "duplicate": False, "dry_run": True}
    assert await ingest.rows("SELECT 1 FROM requests UNION ALL SELECT 1 FROM outbox") == []
    wrong = await client.post("/v1/requests?dry_run=true", json=a_body(ingest, kind="teleport"))
    problem_of(wrong, 422, "kind_unknown")


async def test_many_requests_are_decided_one_by_one(ingest: Ingest, client: httpx.AsyncClient) -> None:
    items = [
        a_body(ingest, object_key="1", idempotency_key="a"),
        a_body(ingest, object_key="2", kind="teleport"),
        a_body(ingest, object_key="1", idempotency_key="a"),
        a_body(ingest, object_key="3", idempotency_key="a"),
        a_body(ingest, object_key="4"),
    ]
    answer = await client.post("/v1/requests:bulk", json={"requests": items}, headers={"Idempotency-Key": "bulk"})

    assert answer.status_code == 202
    out = answer.json()
    assert (out["accepted"], out["duplicates"], out["rejected"]) == (2, 1, 2)
    assert [item["status"] for item in out["items"]] == ["accepted", "rejected", "accepted", "rejected", "accepted"]
    assert [item["duplicate"] for item in out["items"]] == [False, False, True, False, False]
    assert out["items"][2]["request_id"] == out["items"][0]["request_id"]
    assert out["items"][1]["problem"]["errors"][0]["where"] == "/requests/1/kind"
    assert out["items"][3]["problem"]["errors"][0]["where"] == "/requests/3/idempotency_key"
    again = await client.post("/v1/requests:bulk", json={"requests": items}, headers={"Idempotency-Key": "bulk"})
    assert (again.json()["accepted"], again.json()["duplicates"]) == (0, 3)


async def test_the_list_is_newest_first_and_pages_to_the_end(ingest: Ingest, client: httpx.AsyncClient) -> None:
    made = []
    for number in range(5):
        answer = await client.post("/v1/requests", json=a_body(ingest, object_key=str(number % 2)))
        made.append(answer.json()["request_id"])

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (await client.get("/v1/requests", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [item["request_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)
    some = (await client.get("/v1/requests", params={"object_key": "1", "status": "accepted"})).json()
    assert len(some["items"]) == 2
    assert (await client.get("/v1/requests", params={"connection_id": str(uuid4())})).json()["items"] == []


async def test_requests_of_another_organization_cannot_be_seen(ingest: Ingest, client: httpx.AsyncClient) -> None:
    request_id = (await client.post("/v1/requests", json=a_body(ingest))).json()["request_id"]
    async with ingest.worker.transaction() as conn:
        other = await create_organization(conn, OPERATOR, "Other")
        key = (await create_key(conn, OPERATOR, other.org_id, "x", Role.ADMIN, None)).text  # type: ignore[arg-type]
    async with client_of(ingest.app(), key=key) as stranger:
        problem_of(await stranger.get(f"/v1/requests/{request_id}"), 404, "not_found")
        assert (await stranger.get("/v1/requests")).json()["items"] == []
        answer = await stranger.post("/v1/requests", json=a_body(ingest))
        problem_of(answer, 422, "connection_unknown")


async def test_an_operator_asks_for_the_organization_that_it_names(ingest: Ingest) -> None:
    async with client_of(ingest.app(), key=ingest.operator_key) as operator:
        problem_of(await operator.post("/v1/requests", json=a_body(ingest)), 400, "organization_required")
        headers = {"X-Organization-Id": str(ingest.org_id)}
        assert (await operator.post("/v1/requests", json=a_body(ingest), headers=headers)).status_code == 202
        unknown = {"X-Organization-Id": str(uuid4())}
        problem_of(
            await operator.post("/v1/requests", json=a_body(ingest), headers=unknown), 404, "organization_unknown"
        )


@pytest.mark.parametrize(
    ("role", "may_ask", "may_look"),
    [
        (Role.ADMIN, True, True),
        (Role.EDITOR, True, True),
        (Role.API_USER, True, True),
        (Role.ANALYST, False, True),
        (Role.ARTIST, False, False),
    ],
)
async def test_a_role_decides_who_may_ask_and_look(ingest: Ingest, role: Role, may_ask: bool, may_look: bool) -> None:
    async with client_of(ingest.app(), key=ingest.keys[role]) as client:
        for answer, may in (
            (await client.post("/v1/requests", json=a_body(ingest)), may_ask),
            (await client.post("/v1/requests:bulk", json={"requests": [a_body(ingest)]}), may_ask),
            (await client.get("/v1/requests"), may_look),
        ):
            if may:
                assert answer.is_success
            else:
                problem_of(answer, 403, "role_missing")


async def test_keys_that_do_not_open_are_refused(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        created = await create_key(conn, OPERATOR, ingest.org_id, "x", Role.API_USER, None)
    typo = created.text[:-1] + ("a" if created.text[-1] != "a" else "b")
    for key in (None, "nonsense", typo):
        async with client_of(ingest.app(), key=key) as client:
            answer = await client.post("/v1/requests", json=a_body(ingest))
            problem_of(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")
    async with client_of(ingest.app(), key=created.text) as client:
        assert (await client.post("/v1/requests", json=a_body(ingest))).status_code == 202
        async with ingest.worker.transaction() as conn:
            await revoke_key(conn, OPERATOR, ingest.org_id, created.key.key_id)
        problem = problem_of(await client.post("/v1/requests", json=a_body(ingest)), 401, "unauthenticated")
        assert "revoked" in problem["detail"]


async def test_keys_of_a_closed_organization_do_not_open(ingest: Ingest, client: httpx.AsyncClient) -> None:
    async with ingest.worker.transaction() as conn:
        await update_organization(conn, OPERATOR, ingest.org_id, name=None, active=False)
    problem_of(await client.post("/v1/requests", json=a_body(ingest)), 401, "unauthenticated")


def with_changes(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A body with some values replaced; `payload.x` is inside the payload."""
    for name, value in changes.items():
        place, _, inner = name.partition(".")
        body[place] = body[place] | {inner: value} if inner else value
    return body


BAD_BODIES: list[tuple[str, Any, int, str, str]] = [
    ("no kind", {"kind": None}, 422, "invalid", "/kind"),
    ("unknown kind", {"kind": "teleport"}, 422, "kind_unknown", "/kind"),
    ("unknown field", {"more": 1}, 422, "invalid", "/more"),
    ("object key missing", {"object_key": None}, 422, "invalid", "/object_key"),
    ("object key empty", {"object_key": ""}, 422, "invalid", "/object_key"),
    ("object key too long", {"object_key": "x" * 513}, 422, "invalid", "/object_key"),
    ("payload no object", {"payload": []}, 422, "invalid", "/payload"),
    ("organization of others", {"org_id": str(uuid4())}, 403, "organization_not_allowed", "/org_id"),
    ("organization malformed", {"org_id": "acme"}, 422, "invalid", "/org_id"),
    ("platform", {"payload.platform": "myspace"}, 422, "platform_unknown", "/payload/platform"),
    ("type", {"payload.request_type": "x"}, 422, "request_type_unknown", "/payload/request_type"),
    ("params", {"payload.params": {"object_id": "../me"}}, 422, "invalid", "/payload/params/object_id"),
    ("priority", {"payload.priority": 11}, 422, "invalid", "/payload/priority"),
    ("connection", {"payload.connection_id": str(uuid4())}, 422, "connection_unknown", "/payload/connection_id"),
]


@pytest.mark.parametrize(
    ("changes", "status", "slug", "where"), [case[1:] for case in BAD_BODIES], ids=[case[0] for case in BAD_BODIES]
)
async def test_a_bad_body_is_answered_with_what_where_and_how_to_mend_it(
    ingest: Ingest, client: httpx.AsyncClient, changes: dict[str, Any], status: int, slug: str, where: str
) -> None:
    body = with_changes(a_body(ingest), changes)

    problem = problem_of(await client.post("/v1/requests", json=body), status, slug)

    assert where in [item["where"] for item in problem["errors"]]
    assert all(item["what"] and item["how"] for item in problem["errors"])
    assert await ingest.rows("SELECT 1 FROM requests UNION ALL SELECT 1 FROM outbox") == []


FRAME_OF_HTTP = {"no kind", "unknown field", "object key missing", "payload no object", "organization malformed"}
"""What HTTP refuses before a request is read; over Kafka such a record is a dead letter."""
READABLE = [case for case in BAD_BODIES if case[0] not in FRAME_OF_HTTP | {"organization of others"}]


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case[0])
async def test_kafka_refuses_in_the_words_of_http(
    ingest: Ingest, client: httpx.AsyncClient, case: tuple[str, dict[str, Any], int, str, str]
) -> None:
    body = with_changes(a_body(ingest), case[1])
    over_http = (await client.post("/v1/requests", json=body)).json()

    ask = ingest.ask(kind=body["kind"], object_key=body["object_key"], payload=body["payload"])
    async with ingest.worker.transaction() as conn:
        await admit_requests(conn, [ask], PLATFORMS)

    [event] = await ingest.outbox("ingest.accepted")
    over_kafka = event["body"]["problem"]
    for item in over_http["errors"]:
        item["where"] = item["where"].replace("/object_key", "key")
    assert over_kafka == over_http


@pytest.mark.parametrize("status", [ConnectionStatus.REVOKED, ConnectionStatus.EXPIRED, ConnectionStatus.DISCONNECTED])
async def test_a_connection_that_cannot_be_used_is_refused(
    ingest: Ingest, client: httpx.AsyncClient, status: ConnectionStatus
) -> None:
    connection_id = await ingest.put_connection(status)
    body = a_body(ingest, payload=ingest.payload(connection_id=str(connection_id)))
    problem = problem_of(await client.post("/v1/requests", json=body), 409, "connection_not_usable")
    assert status.value in problem["detail"]


async def test_a_key_used_again_with_another_body_is_refused(ingest: Ingest, client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    await client.post("/v1/requests", json=a_body(ingest), headers=headers)
    again = await client.post("/v1/requests", json=a_body(ingest, object_key="campaign-2"), headers=headers)
    problem = problem_of(again, 422, "idempotency_key_reused")
    assert problem["errors"][0]["where"] == "header:Idempotency-Key"


async def test_a_malformed_idempotency_key_is_refused(ingest: Ingest, client: httpx.AsyncClient) -> None:
    for key in ("", "x" * 256, "a\tb"):
        answer = await client.post("/v1/requests", json=a_body(ingest), headers={"Idempotency-Key": key})
        problem_of(answer, 422, "idempotency_key_malformed")


@pytest.mark.parametrize(
    ("content", "headers", "status", "slug"),
    [
        (b'{"kind": ', {}, 400, "malformed_json"),
        (b'{"kind": NaN}', {}, 400, "malformed_json"),
        (b"\xff\xfe", {}, 400, "malformed_json"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "not_json"),
        (b'{"kind": "a\\u0000"}', {}, 422, "invalid"),
        (b"[" * 1_000 + b"]" * 1_000, {}, 422, "too_deep"),
        (b" " * 1_100_000, {}, 413, "body_too_large"),
        (b"", {}, 422, "invalid"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, slug: str
) -> None:
    sent = {"Content-Type": "application/json"} | headers
    problem_of(await client.post("/v1/requests", content=content, headers=sent), status, slug)


async def test_a_body_too_large_is_refused_while_it_streams(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 10_000

    sent = {"Content-Type": "application/json"}
    problem_of(await client.post("/v1/requests", content=chunks(), headers=sent), 413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/v1/requests?limit=0", "query:limit"),
        ("/v1/requests?cursor=next", "query:cursor"),
        ("/v1/requests?status=lost", "query:status"),
        ("/v1/requests?object_key=a%00b", "query:object_key"),
        ("/v1/requests/not-an-id", "path:request_id"),
    ],
)
async def test_a_bad_question_is_refused_with_its_place(client: httpx.AsyncClient, path: str, where: str) -> None:
    problem = problem_of(await client.get(path), 422, "invalid")
    assert problem["errors"][0]["where"] == where


async def test_bulk_is_bounded(ingest: Ingest, client: httpx.AsyncClient) -> None:
    for count in (0, 501):
        answer = await client.post("/v1/requests:bulk", json={"requests": [a_body(ingest)] * count})
        problem = problem_of(answer, 422, "invalid")
        assert problem["errors"][0]["where"] == "/requests"


async def test_a_twin_that_takes_too_long_is_answered_with_come_again(
    ingest: Ingest, client: httpx.AsyncClient
) -> None:
    """The first transaction holds the idempotency key longer than a caller may wait for a lock."""
    async with ingest.worker.acquire() as conn:
        transaction = conn.transaction()
        await transaction.__aenter__()
        first = await client.get("/v1/keys")  # any call: nothing is held yet
        assert first.status_code == 403
        await conn.execute("LOCK TABLE requests IN EXCLUSIVE MODE")
        answer = await client.post("/v1/requests", json=a_body(ingest), headers={"Idempotency-Key": "once"})
        await transaction.__aexit__(None, None, None)
    problem_of(answer, 409, "in_progress")
    assert answer.headers["retry-after"] == "1"


async def test_a_result_with_large_numbers_is_shown_as_it_came(ingest: Ingest, client: httpx.AsyncClient) -> None:
    request_id = (await client.post("/v1/requests", json=a_body(ingest))).json()["request_id"]
    number = 123456789012345678901234567890
    async with ingest.worker.transaction() as conn:
        events = [completed(ingest, request_id, result={"n": number})]
        await end_requests(conn, events, result_limit_bytes=1_000)
    answer = await client.get(f"/v1/requests/{request_id}")
    assert json.loads(answer.text)["result"] == {"n": number}
