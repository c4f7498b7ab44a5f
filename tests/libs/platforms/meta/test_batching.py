import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.base import BatchOutcome, Credential, InvalidParams, ItemDone, ItemFailed
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    PermissionMissing,
    PlatformError,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.platforms.meta import build_platform
from tests.libs.platforms.conformance import TOKEN
from tests.support.meta_batches import SETTINGS, answers, batch_items, graph_error, item, recorded


def build(answer: Callable[[httpx.Request], httpx.Response]) -> Any:
    return build_platform(httpx.AsyncClient(transport=httpx.MockTransport(answer)), SETTINGS).batching


async def run(answer: Any, *, status: int = 200, ids: Sequence[str] = ("1", "2"), **kwargs: Any) -> BatchOutcome:
    batching = build(lambda _: httpx.Response(status, json=answer, **kwargs))
    calls = [batching.plan("get_object", {"object_id": object_id, "fields": ["id"]}) for object_id in ids]
    outcome: BatchOutcome = await batching.execute(Credential(TOKEN, "4711"), calls)
    return outcome


async def first_error(answer: Any) -> PlatformError:
    outcome = await run([answer], ids=["1"])
    failed = outcome.items[0]
    assert isinstance(failed, ItemFailed)
    return failed.error


async def test_the_call_is_what_the_documents_describe() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=answers(request))

    batching = build(answer)
    fields = ["posts.limit(5){message,id}", "id"]
    calls = [
        batching.plan("get_object", {"object_id": "act_9", "fields": fields}),
        batching.plan("get_ad_accounts", {"fields": ["name"]}),
    ]
    await batching.execute(Credential("token_example", "4711", "app_secret_example"), calls)
    (request,) = requests
    assert (request.method, str(request.url)) == ("POST", "https://graph.facebook.com/v26.0/")
    form = parse_qs(request.content.decode())
    assert form["access_token"] == ["token_example"]
    # The vector was computed apart from this code, with another program.
    assert form["appsecret_proof"] == ["b1c41d86fd7c129f844337c7d1308197e023b7d3f1ae4d1816ee7dcea0037cba"]
    assert [each["method"] for each in batch_items(request)] == ["GET", "GET"]
    first, second = (urlsplit(each["relative_url"]) for each in batch_items(request))
    assert first.path == "v26.0/act_9"
    assert parse_qs(first.query) == {"fields": ["id,posts.limit(5){message,id}"]}
    assert second.path == "v26.0/me/adaccounts"
    assert parse_qs(second.query) == {"fields": ["name"], "limit": ["25"]}


async def test_a_recorded_batch_gives_each_item_its_own_outcome() -> None:
    outcome = await run(recorded("mixed"), ids=["1", "2", "3", "4", "5"])
    done, missing, not_finished, aborted, no_permission = outcome.items
    assert isinstance(done, ItemDone)
    assert done.body == {"id": "1", "name": "Grüße \U0001f44b", "big": 123456789012345678901234567890}
    assert isinstance(missing, ItemFailed)
    assert isinstance(missing.error, Rejected)
    assert missing.error.platform_code == "100/33"
    assert "fbtrace_id" in missing.error.message
    assert isinstance(not_finished, ItemFailed)
    assert isinstance(not_finished.error, Unavailable)
    assert isinstance(aborted, ItemFailed)
    assert isinstance(aborted.error, Unavailable)
    assert aborted.error.platform_code == "960"
    assert isinstance(no_permission, ItemFailed)
    assert isinstance(no_permission.error, PermissionMissing)


async def test_usage_is_read_from_every_item_and_the_highest_counts() -> None:
    outcome = await run(recorded("usage"), ids=["act_10", "act_10", "7"])
    found = {
        (usage.scope.name, usage.scope.subject): (usage.used_fraction, usage.regain_after_seconds)
        for usage in outcome.usage
    }
    (user,) = (value for (name, _), value in found.items() if name == "user")
    assert user == (0.28, 0.0)
    assert found["ads_management", "10"] == (0.95, 180.0)
    assert found["pages", "7"] == (0.85, 0.0)
    assert all(TOKEN not in repr(usage) for usage in outcome.usage)


async def test_usage_headers_of_the_outer_answer_count_too() -> None:
    usage = {"X-App-Usage": '{"call_count":91,"total_time":1,"total_cputime":1}', "x-ad-account-usage": "no json"}
    outcome = await run([item({"id": "1"}), item({"id": "2"})], headers=usage)
    assert [reading.used_fraction for reading in outcome.usage] == [0.91]


def test_an_ad_account_costs_its_own_budget_and_everything_else_the_tokens_and_all_ask_for_the_apps() -> None:
    batching = build(lambda _: httpx.Response(500))
    calls = [
        batching.plan("get_object", {"object_id": each, "fields": ["id"]})
        for each in ("act_1", "act_1", "act_2", "5", "6_7", "me")
    ]
    uses = batching.quota_uses(Credential("token", "4711"), calls)
    assert {(use.scope.name, use.scope.subject.split(":")[0], use.units) for use in uses} == {
        ("ads_management", "1", 2),
        ("ads_management", "2", 1),
        ("user", "4711", 3),
        ("app", "4711", 0),
    }
    (own,) = batching.quota_uses(Credential("4711|secret", "4711"), calls[3:4])
    assert (own.scope.name, own.scope.subject) == ("app", "4711")


@pytest.mark.parametrize(
    ("code", "subcode", "status", "expected"),
    [
        (1, None, 500, Unavailable),
        (2, None, 500, Unavailable),
        (1, 99, 400, Unavailable),
        (100, 99, 400, Unavailable),
        (3, None, 400, PermissionMissing),
        (4, None, 403, RateLimited),
        (17, 2446079, 400, RateLimited),
        (32, None, 400, RateLimited),
        (341, None, 400, RateLimited),
        (613, 1996, 400, RateLimited),
        (80000, None, 400, RateLimited),
        (80004, 2446079, 400, RateLimited),
        (80014, None, 400, RateLimited),
        (9, 2207042, 400, RateLimited),
        (368, None, 400, RateLimited),
        (368, 1390008, 400, RateLimited),
        (368, 4854002, 400, PermissionMissing),
        (368, 1404082, 400, Rejected),
        (10, None, 400, PermissionMissing),
        (200, None, 403, PermissionMissing),
        (294, None, 403, PermissionMissing),
        (200, 1870034, 403, PermissionMissing),
        (100, None, 400, Rejected),
        (100, 33, 400, Rejected),
        (100, 1487534, 400, Rejected),
        (102, None, 401, AuthExpired),
        (104, None, 400, Unavailable),
        (190, None, 401, AuthExpired),
        (190, 458, 400, AuthRevoked),
        (190, 459, 400, AuthRevoked),
        (190, 460, 400, AuthRevoked),
        (190, 463, 400, AuthExpired),
        (190, 464, 400, AuthRevoked),
        (190, 467, 400, AuthExpired),
        (190, 492, 400, PermissionMissing),
        (506, None, 400, Rejected),
        (960, None, 500, Unavailable),
        (2500, None, 400, Rejected),
        (2635, None, 400, Misconfigured),
        (1609005, None, 400, Rejected),
        (102, 463, 400, AuthExpired),
        (102, 458, 400, AuthRevoked),
        (613, 5044001, 400, RateLimited),
        (4, 1504022, 400, RateLimited),
        (4, 2207051, 403, OutcomeUnknown),
        (-2, 2207003, 400, Unavailable),
        (-2, 2207020, 400, Rejected),
        (-1, 2207001, 400, Unavailable),
        (-1, 2207032, 400, Unavailable),
        (-1, 2207053, 400, Rejected),
        (1, 2207057, 400, Rejected),
        (24, 2207006, 400, Rejected),
        (24, 2207008, 400, Unavailable),
        (25, 2207050, 400, PermissionMissing),
        (100, 2207023, 400, Rejected),
        (352, 2207026, 400, Rejected),
        (9004, 2207052, 400, Unavailable),
        (9007, 2207027, 400, Unavailable),
        (36000, 2207004, 400, Rejected),
        (36001, 2207005, 400, Rejected),
        (36003, 2207009, 400, Rejected),
        (36004, 2207010, 400, Rejected),
        (803, None, 404, Rejected),
        (424242, None, 200, Rejected),
        (424242, None, 400, Rejected),
        (424242, None, 403, PermissionMissing),
        (424242, None, 429, RateLimited),
        (424242, None, 503, Unavailable),
    ],
)
async def test_the_code_decides_what_is_next(
    code: int, subcode: int | None, status: int, expected: type[PlatformError]
) -> None:
    error = await first_error(item(graph_error(code, subcode), status))
    assert type(error) is expected
    assert error.platform_code == (str(code) if subcode is None else f"{code}/{subcode}")


async def test_a_transient_flag_overrides_towards_another_try() -> None:
    assert type(await first_error(item(graph_error(100, is_transient=True), 400))) is Unavailable
    assert type(await first_error(item(graph_error(4, is_transient=True), 403))) is RateLimited


async def test_asking_for_too_much_data_is_not_repeated() -> None:
    message = "Please reduce the amount of data you're asking for, then retry your request"
    assert type(await first_error(item(graph_error(1, None, message), 500))) is Rejected


async def test_a_throttled_item_waits_as_long_as_its_headers_say() -> None:
    header = ("X-Business-Use-Case-Usage", '{"10":[{"type":"ads_management","estimated_time_to_regain_access":3}]}')
    outcome = await run([item(graph_error(80004), 400, [header])], ids=["act_10"])
    failed = outcome.items[0]
    assert isinstance(failed, ItemFailed)
    assert isinstance(failed.error, RateLimited)
    assert failed.error.retry_after_seconds == 180
    assert failed.error.scope is not None
    assert (failed.error.scope.name, failed.error.scope.subject) == ("ads_management", "10")


async def test_a_throttle_without_a_time_waits_as_configured() -> None:
    error = await first_error(item(graph_error(17), 400))
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == 77


async def test_too_many_items_are_refused_with_an_object_and_status_200() -> None:
    message = "Too many requests in batch message. Maximum batch size is 50"
    answer = {"error": {"message": message, "type": "GraphBatchException"}}
    with pytest.raises(Rejected, match="Maximum batch size"):
        await run(answer)


@pytest.mark.parametrize("answer", [{"success": False}, {}, {"error": "text"}])
async def test_json_of_another_shape_breaks_the_contract(answer: Any) -> None:
    with pytest.raises(ContractBroken):
        await run(answer)


@pytest.mark.parametrize("body", [{"success": False}, {"success": False, "data": []}, [], True, None])
async def test_an_item_that_says_no_or_is_no_object_is_no_success(body: Any) -> None:
    batching = build(lambda _: httpx.Response(200, json=[item(body), item(body)]))
    calls = [
        batching.plan("get_object", {"object_id": "1", "fields": ["id"]}),
        batching.plan("list_edge", {"object_id": "me", "edge": "accounts", "fields": ["id"]}),
    ]
    outcome = await batching.execute(Credential(TOKEN), calls)
    assert [each.outcome for each in outcome.items] == ["rejected", "rejected"]


async def test_plain_words_with_status_200_can_be_tried_again() -> None:
    batching = build(lambda _: httpx.Response(200, text="Service Unavailable"))
    with pytest.raises(Unavailable):
        await batching.execute(Credential(TOKEN), [batching.plan("get_ad_accounts", {"fields": ["id"]})])


async def test_an_object_may_have_a_field_called_error() -> None:
    body = {"error": {"message": "of the ad", "code": 100}, "id": "1"}
    outcome = await run([item(body)], ids=["1"])
    assert outcome.items == (ItemDone(200, body),)


async def test_items_without_a_usable_body_fail_alone() -> None:
    outcome = await run([{"code": 200}, item("Service Unavailable"), item('{"a":NaN}')], ids=["1", "2", "3"])
    errors = [each.error for each in outcome.items if isinstance(each, ItemFailed)]
    assert [type(error) for error in errors] == [ContractBroken, Unavailable, Unavailable]


async def test_results_never_repeat_the_credential() -> None:
    following = f"https://graph.facebook.com/v26.0/me/adaccounts?access_token={TOKEN}&limit=25&after=QVFI"
    odd = "https://graph.facebook.com/x?after=1&access_token=another&appsecret_proof=abc"
    body = {"data": [{"id": "act_1"}], "paging": {"next": following, "previous": odd, TOKEN: [TOKEN]}}
    outcome = await run([item(body)], ids=["1"])
    done = outcome.items[0]
    assert isinstance(done, ItemDone)
    text = json.dumps(done.body)
    assert TOKEN not in text
    assert "another" not in text
    assert "abc" not in text
    assert "limit=25&after=QVFI" in done.body["paging"]["next"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
item_like = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from([200, 400, 500, 0, -1, None, "200", 10**30]),
        "headers": st.none()
        | st.lists(st.fixed_dictionaries({"name": st.text(max_size=5), "value": json_values}), max_size=2),
        "body": st.text(max_size=20) | json_values | json_values.map(lambda value: json.dumps({"error": value})),
    },
)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    answer=json_values | st.lists(item_like | st.none() | json_values, max_size=3),
    status=st.sampled_from([200, 400, 500]),
)
async def test_whatever_meta_answers_becomes_outcomes_or_an_error_of_the_tree(answer: Any, status: int) -> None:
    body = json.dumps(answer).encode("utf-8", "surrogatepass")
    batching = build(lambda _: httpx.Response(status, content=body))
    calls = [batching.plan("get_object", {"object_id": each, "fields": ["id"]}) for each in ("1", "2")]
    try:
        outcome = await batching.execute(Credential(TOKEN, "4711"), calls)
    except PlatformError:
        return
    assert len(outcome.items) == 2
    for each in outcome.items:
        assert isinstance(each, ItemDone | ItemFailed)
        if isinstance(each, ItemDone):
            json.dumps(each.body, allow_nan=False).encode()


def test_wrong_params_are_all_named_at_once() -> None:
    batching = build(lambda _: httpx.Response(500))
    with pytest.raises(InvalidParams) as caught:
        batching.plan("get_object", {"object_id": "x", "fields": ["id", "Id!"], "z": 1})
    assert [where for where, _, _ in caught.value.errors] == ["/params/z", "/params/object_id", "/params/fields/1"]
