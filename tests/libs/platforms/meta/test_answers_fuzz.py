"""Good answers with something wrong in them: never an unhandled exception, never a wrong success.

What counts as a success is judged here by another JSON reader and by the documents' words alone.
"""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.base import Credential, ItemDone, ItemFailed
from libs.platforms.errors import PlatformError
from libs.platforms.meta.batching import MetaBatching
from libs.platforms.meta.client import Answer, GraphClient
from libs.platforms.meta.packing import Item, pack
from libs.platforms.meta.quota import Budgets
from libs.platforms.meta.unpacking import unpack
from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.meta_batches import SETTINGS, item
from tests.support.mutations import mutated

USER = Credential("user-token", "4711")
FUZZ = settings(deadline=None, max_examples=3 * FUZZ_EXAMPLES, suppress_health_check=list(HealthCheck))
READS: list[tuple[str, dict[str, Any]]] = [
    ("get_object", {"object_id": "1", "fields": ["id", "name"]}),
    ("list_edge", {"object_id": "me", "edge": "accounts", "fields": ["id"]}),
    ("get_insights", {"object_id": "act_1", "fields": ["spend"], "date_preset": "yesterday"}),
]
PAGING = {"cursors": {"before": "QVFI", "after": "QVFJ"}, "next": "https://graph.facebook.com/v26.0/x?after=QVFJ"}
BODIES: list[Any] = [
    {"id": "1", "name": "one"},
    {"data": [{"id": "2"}, {"id": "3"}], "paging": PAGING},
    {"data": [{"spend": "1.5", "date_start": "2026-11-20", "date_stop": "2026-11-20"}]},
]
USAGE = [("X-App-Usage", '{"call_count":1}'), ("X-Business-Use-Case-Usage", '{"1":[{"type":"ads_insights"}]}')]


def damaged_batches() -> st.SearchStrategy[bytes]:
    """Damage outside, in an element, or in an element's body."""
    inner = st.tuples(*(mutated(body).map(lambda text: item(text.decode("utf-8", "replace"))) for body in BODIES))
    outside = mutated([item(body, 200, USAGE) for body in BODIES])
    return st.one_of(outside, inner.map(lambda items: json.dumps(items).encode("utf-8", "surrogatepass")))


def as_read(body: bytes) -> str:
    """The text that any HTTP client makes of these bytes."""
    return httpx.Response(200, content=body).text


def storable(value: Any) -> Any:
    """The same JSON with U+FFFD for U+0000."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [storable(part) for part in value]
    return {storable(name): storable(part) for name, part in value.items()} if isinstance(value, dict) else value


def is_error(body: Any) -> bool:
    return isinstance(body, dict) and body.get("error") is not None and "id" not in body


def is_success(element: Any, *, is_list: bool) -> bool:
    """Whether an element of a batch's answer holds what was asked for, by the documents."""
    if not isinstance(element, dict) or float(element["code"]) != 200 or not isinstance(element["body"], str):
        return False
    body = json.loads(element["body"])
    if not isinstance(body, dict) or is_error(body) or body.get("success") is False:
        return False
    return not is_list or (isinstance(body["data"], list) and all(isinstance(row, dict) for row in body["data"]))


@FUZZ
@given(body=damaged_batches(), status=st.sampled_from([200, 200, 200, 400, 500]))
async def test_a_damaged_batch_gives_outcomes_and_no_wrong_success(body: bytes, status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    batching = MetaBatching(GraphClient(httpx.AsyncClient(transport=transport), SETTINGS))
    calls = [batching.plan(*read) for read in READS]
    try:
        outcome = await batching.execute(USER, calls)
    except PlatformError as error:
        assert USER.access_token not in str(error)
        return
    assert len(outcome.items) == len(calls)
    elements = json.loads(as_read(body))
    for call, element, found in zip(calls, elements, outcome.items, strict=True):
        assert isinstance(found, ItemDone | ItemFailed)
        if isinstance(found, ItemDone):
            assert is_success(element, is_list=call.request_type != "get_object")
            assert json.dumps(found.body, allow_nan=False).encode(), "it can be published"


@FUZZ
@given(body=mutated({**BODIES[0], "success": True}), status=st.sampled_from([200, 200, 200, 204, 302, 400, 500]))
async def test_a_damaged_answer_gives_an_object_or_an_error_of_the_tree(body: bytes, status: int) -> None:
    client = GraphClient(
        httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(status, content=body))), SETTINGS
    )
    try:
        found = await client.read("look", "1", {"fields": "id"}, credential=USER)
    except PlatformError as error:
        assert USER.access_token not in str(error)
        return
    assert status == 200
    assert found.body == storable(json.loads(as_read(body)))
    assert not is_error(found.body)
    assert found.body.get("success") is not False


@FUZZ
@given(first=mutated(BODIES[1]), second=mutated(BODIES[1]))
async def test_a_damaged_list_never_ends_early_without_saying_so(first: bytes, second: bytes) -> None:
    answers = [first, second, json.dumps({"data": []}).encode()]
    asked: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("after"))
        return httpx.Response(200, content=answers[min(len(asked), len(answers)) - 1])

    client = GraphClient(httpx.AsyncClient(transport=httpx.MockTransport(handler)), SETTINGS)
    pages = []
    try:
        async for page in client.pages("list", "me/accounts", {"fields": "id"}, credential=USER):
            pages.append(page)  # noqa: PERF401  what was read before a failure counts
    except PlatformError:
        return
    for page, text in zip(pages, answers, strict=False):
        body = json.loads(as_read(text))
        assert list(page.items) == body["data"]
        next_page = (body.get("paging") or {}).get("next")
        assert (page.following is None) == (next_page is None)


@FUZZ
@given(body=mutated([item({"id": "5"}), item({"success": True})]), status=st.sampled_from([200, 200, 200, 400, 500]))
def test_a_damaged_answer_to_a_write_is_no_proof_of_anything(body: bytes, status: int) -> None:
    writes = [Item("publish", "7/feed", {"message": "a"}, USER, "POST"), Item("remove", "7_8", {}, USER, "DELETE")]
    text = httpx.Response(status, content=body).text
    outcome = unpack(pack(writes, SETTINGS), Answer(status, {}, text), SETTINGS, Budgets(SETTINGS))
    assert len(outcome.items) == 2
    for index, found in enumerate(outcome.items):
        if found.outcome == "done":
            element = json.loads(text)[index]
            assert float(element["code"]) == 200
            written = json.loads(element["body"])
            assert written is True or (isinstance(written, dict) and not is_error(written))
        elif found.outcome == "not_attempted":
            # Only Meta's own words prove that: a throttle, or that nothing was made.
            assert isinstance(found, ItemFailed)
            assert found.error.platform_code is not None


@pytest.mark.parametrize("depth", [300, 100_000])
async def test_nesting_without_end_is_an_error_of_the_tree(depth: int) -> None:
    body = '{"a":' * depth + "1" + "}" * depth
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
    client = GraphClient(httpx.AsyncClient(transport=transport), SETTINGS)
    with pytest.raises(PlatformError):
        await client.read("look", "1", {}, credential=USER)
