import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import BaseModel, Field

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.runtime.body import DISCARDED_BYTES, check_json
from libs.runtime.health import Health
from libs.runtime.http import create_app
from tests.support.asgi import client_of, problem_of
from tests.support.spans import recorded_spans

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JSON = {"Content-Type": "application/json"}


class Part(BaseModel):
    """A nested value."""

    size: int = Field(ge=1)


class Thing(BaseModel):
    """A body with rules."""

    id: UUID
    parts: list[Part] = []
    extra: dict[str, Any] = {}


def things() -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.post("/things")
    async def post_thing(thing: Thing) -> dict[str, str]:
        return {"id": str(thing.id)}

    @router.get("/things/{number}")
    async def get_thing(number: int, limit: int = 5) -> dict[str, int]:
        return {"number": number, "limit": limit}

    @router.get("/refused")
    async def get_refused() -> None:
        item = ProblemItem(where="/x", what="is old", how="send a new one")
        raise ProblemError(problem("old_thing", 409, "Too old", "It is old.", item), headers={"X-Reason": "age"})

    @router.get("/broken")
    async def get_broken() -> None:
        raise RuntimeError("internals: access_token=EAAGm0PX4ZCpsBAKZBZC")

    @router.get("/database-away")
    async def get_away() -> None:
        raise ConnectionRefusedError("postgres is away")

    return router


APP = create_app("testing", routers=[things()], health=Health(), max_body_bytes=2_000)
GOOD = {"id": "018f5b0e-7c1a-7c3e-9f5b-3f2a1b0c9d8e"}


async def test_a_good_request_is_served() -> None:
    async with client_of(APP) as client:
        response = await client.post("/v1/things", json=GOOD)
    assert (response.status_code, response.json()) == (200, GOOD)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"id": 1,}', "line 1, column 9"),
        (b'{"a": 1,\n "b": tru}', "line 2"),
        (b"{", "line 1"),
        (b"\xff\xfe", "line 1"),
        (b'{"a": NaN}', "line 1"),
        (b'{"a": "\\ud800"}', "line 1"),
        (b'{"a": 1} trailing', "line 1"),
    ],
)
async def test_malformed_json_is_refused_with_its_place(body: bytes, place: str) -> None:
    async with client_of(APP) as client:
        response = await client.post("/v1/things", content=body, headers=JSON)
    document = problem_of(response, 400, "malformed_json")
    assert place in document["detail"]
    assert document["errors"][0]["how"] == "send valid JSON, in UTF-8"


async def test_json_that_is_nested_too_deeply_is_refused() -> None:
    deep = b'{"id": 1, "extra": ' + b"[" * 300 + b"]" * 300 + b"}"
    async with client_of(APP) as client:
        problem_of(await client.post("/v1/things", content=deep, headers=JSON), 422, "too_deep")


async def test_brackets_inside_texts_are_not_depth() -> None:
    async with client_of(APP) as client:
        response = await client.post("/v1/things", json=GOOD | {"extra": {"text": "[{(" * 100}})
    assert response.status_code == 200


async def test_a_nul_character_is_refused_where_it_stands() -> None:
    async with client_of(APP) as client:
        response = await client.post("/v1/things", json=GOOD | {"extra": {"a/b": ["ok", "x\u0000y"]}})
        fine = await client.post("/v1/things", json=GOOD | {"extra": {"a": "the text \\u0000"}})
    assert problem_of(response, 422, "invalid")["errors"][0]["where"] == "/extra/a~1b/1"
    assert fine.status_code == 200


@given(st.recursive(st.none() | st.integers(-9, 9) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_whatever_json_can_say_is_taken_unless_it_holds_nul(value: object) -> None:
    text = json.dumps(value)
    assert (check_json(text.encode()) is None) == ("\\u0000" not in text)


async def test_a_body_too_large_by_its_length_is_refused() -> None:
    async with client_of(APP) as client:
        response = await client.post("/v1/things", content=b" " * 2_001, headers=JSON)
    document = problem_of(response, 413, "body_too_large")
    assert "2000" in document["detail"]
    assert response.headers["connection"] == "close"


async def test_a_body_that_grows_too_large_while_streaming_is_refused_at_once() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 50_000
            yield b"x" * 50_000

    async with client_of(APP) as client:
        response = await client.post("/v1/things", content=endless(), headers=JSON)
    problem_of(response, 413, "body_too_large")
    assert sent <= DISCARDED_BYTES + 100_000


async def test_a_head_that_is_too_large_is_refused() -> None:
    async with client_of(APP) as client:
        problem_of(await client.get("/live", headers={"X-Large": "x" * 40_000}), 431, "head_too_large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_a_body_that_is_not_called_json_is_refused(content_type: str) -> None:
    async with client_of(APP) as client:
        response = await client.post("/v1/things", content=b"{}", headers={"Content-Type": content_type})
    document = problem_of(response, 415, "not_json")
    assert document["errors"][0]["where"] == "header:Content-Type"


async def test_json_with_a_charset_or_a_profile_is_json() -> None:
    async with client_of(APP) as client:
        for content_type in ("application/json; charset=utf-8", "application/vnd.thing+json"):
            response = await client.post("/v1/things", content=json.dumps(GOOD), headers={"Content-Type": content_type})
            assert response.status_code == 200


async def test_every_broken_rule_is_named_by_its_pointer() -> None:
    body = {"id": "no-uuid", "parts": [{"size": 1}, {"size": 0}, {}]}
    async with client_of(APP) as client:
        document = problem_of(await client.post("/v1/things", json=body), 422, "invalid")
    assert [item["where"] for item in document["errors"]] == ["/id", "/parts/1/size", "/parts/2/size"]
    assert document["errors"][2]["how"] == "add it"
    assert "no-uuid" not in json.dumps(document)


async def test_a_missing_body_is_named() -> None:
    async with client_of(APP) as client:
        document = problem_of(await client.post("/v1/things"), 422, "invalid")
    assert document["errors"][0]["where"] == ""


async def test_broken_rules_outside_the_body_are_named() -> None:
    async with client_of(APP) as client:
        document = problem_of(await client.get("/v1/things/none?limit=many"), 422, "invalid")
    assert [item["where"] for item in document["errors"]] == ["path:number", "query:limit"]


async def test_an_unknown_address_is_a_problem_even_with_a_bad_body() -> None:
    async with client_of(APP) as client:
        problem_of(await client.get("/nothing"), 404, "not_found")
        problem_of(await client.post("/nothing", content=b"{"), 404, "not_found")


async def test_a_wrong_method_says_which_are_right() -> None:
    async with client_of(APP) as client:
        response = await client.delete("/v1/things")
    document = problem_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert "POST" in document["detail"]


async def test_a_refusal_carries_its_words_and_headers() -> None:
    async with client_of(APP) as client:
        response = await client.get("/v1/refused")
    document = problem_of(response, 409, "old_thing")
    assert document["errors"] == [{"where": "/x", "what": "is old", "how": "send a new one"}]
    assert response.headers["x-reason"] == "age"


async def test_a_fault_of_ours_shows_an_id_that_the_log_has(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "libs.runtime.problems"):
        async with client_of(APP) as client:
            document = problem_of(await client.get("/v1/broken"), 500, "internal")
    (record,) = caplog.records
    assert vars(record)["incident"] in document["detail"]
    assert "internals" not in json.dumps(document)
    assert record.exc_info is not None


async def test_while_the_database_is_away_the_answer_is_503() -> None:
    async with client_of(APP) as client:
        response = await client.get("/v1/database-away")
    problem_of(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) > 0


async def test_a_request_is_measured_by_route_and_traced_under_its_caller() -> None:
    labels = {"method": "GET", "route": "/v1/things/{number}", "status": "200"}
    name = "http_server_request_duration_seconds_count"
    before = REGISTRY.get_sample_value(name, labels) or 0
    with recorded_spans() as spans:
        async with client_of(APP) as client:
            await client.get("/v1/things/5", headers={"traceparent": PARENT})
            await client.get("/live")
    assert [span.name for span in spans.get_finished_spans()] == ["GET /v1/things/{number}"]
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /v1/things/{number}"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" in PARENT
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert REGISTRY.get_sample_value(name, labels) == before + 1


async def test_unknown_addresses_share_one_label() -> None:
    async with client_of(APP) as client:
        for number in range(3):
            await client.get(f"/random-{number}")
        text = (await client.get("/metrics")).text
    assert 'route="unknown"' in text
    assert "random-" not in text


async def test_probes_answer_what_the_checks_say() -> None:
    health = Health()
    broken = asyncio.Event()

    async def check() -> str | None:
        return "it is broken" if broken.is_set() else None

    health.add_ready("database", check)
    app = create_app("testing", routers=[], health=health)
    async with client_of(app) as client:
        assert (await client.get("/ready")).status_code == 200
        broken.set()
        response = await client.get("/ready")
        assert response.status_code == 503
        assert response.json() == {"status": "failing", "failed": {"database": "it is broken"}}
        assert (await client.get("/live")).json() == {"status": "ok"}


async def test_the_document_says_what_refusals_look_like() -> None:
    async with client_of(APP) as client:
        document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/v1/things"]["post"]["responses"]
    assert set(responses) == {"200", "default"}
    assert "application/problem+json" in responses["default"]["content"]
    assert {"Problem", "ProblemItem"} <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in json.dumps(document)
    assert "/live" not in document["paths"]
