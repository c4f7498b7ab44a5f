"""What the client sends, where to, and what it makes of one answer."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from libs.platforms.base import Credential
from libs.platforms.errors import (
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    PlatformError,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.platforms.meta.client import Found, GraphClient
from libs.platforms.meta.quota import Subject
from libs.platforms.meta.settings import GraphHost, MetaSettings
from tests.support.meta_batches import form_of, graph_error

SETTINGS = MetaSettings(
    graph_url="http://127.0.0.1:1/graph.facebook.com/",
    instagram_url="http://127.0.0.1:1/graph.instagram.com",
    threads_url="http://127.0.0.1:1/graph.threads.net",
    throttle_wait_seconds=77,
)
USER = Credential("token_example", "4711", "app_secret_example")
PROOF = "b1c41d86fd7c129f844337c7d1308197e023b7d3f1ae4d1816ee7dcea0037cba"
Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler) -> GraphClient:
    return GraphClient(httpx.AsyncClient(transport=httpx.MockTransport(handler)), SETTINGS)


async def read(answer: Any, status: int = 200, headers: Sequence[tuple[str, str]] = (), **options: Any) -> Found:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    handler: Handler = lambda _: httpx.Response(status, text=text, headers=dict(headers))  # noqa: E731
    return await client(handler).read("look", "me", {"fields": "id"}, **{"credential": USER, **options})


@pytest.mark.parametrize(
    ("login", "options", "address"),
    [
        (None, {}, "http://127.0.0.1:1/graph.facebook.com/v26.0/me"),
        ("facebook", {}, "http://127.0.0.1:1/graph.facebook.com/v26.0/me"),
        ("instagram", {}, "http://127.0.0.1:1/graph.instagram.com/v26.0/me"),
        ("threads", {}, "http://127.0.0.1:1/graph.threads.net/v1.0/me"),
        ("threads", {"versioned": False}, "http://127.0.0.1:1/graph.threads.net/me"),
        ("threads", {"host": GraphHost.FACEBOOK}, "http://127.0.0.1:1/graph.facebook.com/v26.0/me"),
    ],
)
async def test_a_token_goes_to_the_host_of_its_login(login: str | None, options: Any, address: str) -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"id": "1"})

    credential = Credential("token_example", "4711", "app_secret_example", login)
    await client(handler).read("look", "me", {"fields": "id"}, credential=credential, **options)
    (request,) = asked
    assert str(request.url.copy_with(query=None)) == address
    assert dict(request.url.params) == {"fields": "id", "access_token": "token_example", "appsecret_proof": PROOF}


async def test_a_post_says_everything_in_its_form() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"access_token": "new"})

    await client(handler).read("exchange", "oauth/access_token", {"code": "c"}, method="POST")
    (request,) = asked
    assert request.url.query == b""
    assert form_of(request) == {"code": "c"}


async def test_what_was_found_is_told_with_what_it_cost() -> None:
    usage = [("X-App-Usage", '{"call_count":28,"total_time":25,"total_cputime":25}')]
    found = await read({"id": "1", "access_token": "page-token"}, headers=usage, about=Subject("me"))
    assert found.body == {"id": "1", "access_token": "page-token"}
    assert [(each.scope.name, each.used_fraction) for each in found.usage] == [("user", 0.28)]
    assert "page-token" not in repr(found)


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        (graph_error(100), 200, Rejected),
        ({"error": {"code": 100, "message": 5, "fbtrace_id": 7, "is_transient": "no"}}, 200, Rejected),
        ({"error": {"code": "17", "message": []}}, 400, RateLimited),
        ({"error": {"code": True, "message": "x"}}, 503, Unavailable),
        ({"error": {"code": [1], "message": "x"}}, 200, Rejected),
        ({"success": False}, 200, Rejected),
        ("Service Unavailable", 200, Unavailable),
        ('{"id": NaN}', 200, Unavailable),
        ("[]", 200, ContractBroken),
        ("{}", 302, ContractBroken),
        ("{}", 204, ContractBroken),
        ("{}", 400, Rejected),
        ("{}", 408, Unavailable),
        ({"error": "invalid_grant", "error_description": "x"}, 400, Rejected),
        (graph_error(2635), 400, Misconfigured),
        (graph_error(4, 2207051), 403, OutcomeUnknown),
    ],
)
async def test_an_answer_that_is_no_success_is_never_one(
    answer: Any, status: int, expected: type[PlatformError]
) -> None:
    with pytest.raises(PlatformError) as caught:
        await read(answer, status)
    assert type(caught.value) is expected


@pytest.mark.parametrize("charset", ["rot13", "hex", "zlib", "utf-16", "punycode", "none-such"])
async def test_an_answer_is_read_by_what_it_holds_whatever_it_says_of_itself(charset: str) -> None:
    kind = [("Content-Type", f"text/html; charset={charset}")]
    assert (await read({"id": "1", "name": "Gr\u00fc\u00dfe"}, headers=kind)).body["name"] == "Gr\u00fc\u00dfe"


async def test_a_node_may_have_a_field_called_error() -> None:
    body = {"id": "1", "error": {"message": "of the ad", "code": 100}}
    assert (await read(body)).body == body


async def test_no_secret_of_a_call_is_in_its_error() -> None:
    params = {"client_secret": "s3cr3t/+", "code": "the code", "input_token": "looked-at"}
    words = "bad s3cr3t/+ and s3cr3t%2F%2B, the code, looked-at, token_example"

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json=graph_error(100, None, words))

    with pytest.raises(Rejected) as caught:
        await client(handler).read("exchange", "oauth/access_token", params, credential=USER)
    for secret in ("s3cr3t", "the code", "looked-at", "token_example"):
        assert secret not in str(caught.value)


async def test_a_throttle_waits_as_long_as_the_answer_says_and_closes_what_it_names() -> None:
    usage = [("X-Business-Use-Case-Usage", '{"10":[{"type":"ads_insights","estimated_time_to_regain_access":4}]}')]
    with pytest.raises(RateLimited) as caught:
        await read(graph_error(80000, 2446079), 400, usage, about=Subject("act_10", "10", "ads_insights"))
    assert caught.value.retry_after_seconds == 240
    assert caught.value.scope is not None
    assert (caught.value.scope.name, caught.value.scope.subject) == ("ads_insights", "10")


async def test_a_throttle_of_the_moment_waits_a_moment_and_one_of_a_day_a_day() -> None:
    told = ((613, 5044001, 1), (9, 2207042, 86_400), (368, 1390008, 3_600), (368, None, 77), (613, None, 77))
    for code, subcode, seconds in told:
        with pytest.raises(RateLimited) as caught:
            await read(graph_error(code, subcode), 400)
        assert caught.value.retry_after_seconds == seconds


async def test_a_load_that_is_everybodys_closes_no_budget_of_ours() -> None:
    with pytest.raises(RateLimited) as caught:
        await read(graph_error(4, 1504022), 400, about=Subject("act_10", "10", "ads_insights"))
    assert caught.value.scope is None


async def test_a_list_can_go_on_from_a_page_that_another_answer_held() -> None:
    asked: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("after"))
        return httpx.Response(200, json={"data": [{"id": "2"}], "paging": {"cursors": {"after": "B"}}})

    begin = {"data": [{"id": "1"}], "paging": {"cursors": {"after": "A"}, "next": "https://graph.facebook.com/x"}}
    pages = client(handler).pages("list", "me/accounts", {}, credential=USER, begin=begin)
    assert [page.items async for page in pages] == [({"id": "1"},), ({"id": "2"},)]
    assert asked == ["A"]


async def test_a_list_by_offset_goes_on_by_its_own_parameters_alone() -> None:
    asked: list[dict[str, str]] = []
    following = "https://evil.example/steal?access_token=x&offset=25&limit=1&since=0&fields=access_token"

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        paging = {"next": following} if len(asked) == 1 else {}
        return httpx.Response(200, json={"data": [], "paging": paging})

    pages = client(handler).pages("list", "me/photos", {"limit": "25", "fields": "id"}, credential=USER)
    assert len([page async for page in pages]) == 2
    own = {"access_token": "token_example", "appsecret_proof": PROOF, "fields": "id", "limit": "25"}
    assert asked == [own, own | {"offset": "25", "since": "0"}]


async def test_a_list_without_an_end_is_broken_off() -> None:
    numbers = iter(range(1_000))

    def handler(_: httpx.Request) -> httpx.Response:
        paging = {"cursors": {"after": f"c{next(numbers)}"}, "next": "https://graph.facebook.com/x"}
        return httpx.Response(200, json={"data": [], "paging": paging})

    with pytest.raises(ContractBroken, match="does not end after 5 pages"):
        async for _ in client(handler).pages("list", "me/accounts", {}, credential=USER, max_pages=5):
            assert next(numbers) < 100


async def test_without_an_http_client_nothing_can_be_asked() -> None:
    with pytest.raises(RuntimeError, match="without an HTTP client"):
        await GraphClient(None, SETTINGS).read("look", "me", {})
