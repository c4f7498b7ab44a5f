"""What a batch item's answer means: errors in disguise, odd shapes, and texts that Meta cannot read."""

import json
from typing import Any

import httpx
import pytest

from libs.platforms.base import BatchOutcome, Credential, InvalidParams, ItemDone, ItemFailed
from libs.platforms.errors import AuthExpired, ContractBroken, OutcomeUnknown, PlatformError, Rejected
from libs.platforms.meta.batching import MetaBatching
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.reads import item_of, plan_read
from libs.platforms.meta.settings import MetaSettings


async def read(*items: Any) -> BatchOutcome:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=items)))
    batching = MetaBatching(GraphClient(client, MetaSettings()))
    calls = [plan_read("get_object", {"object_id": str(index), "fields": ["id"]}) for index in range(2)]
    return await batching.execute(Credential("user-token", "4711"), calls)


async def error_of(item: Any) -> PlatformError:
    failed, neighbour = (await read(item, {"code": 200, "body": '{"id":"1"}'})).items
    assert isinstance(neighbour, ItemDone), "an item is nobody else's matter"
    assert isinstance(failed, ItemFailed)
    return failed.error


@pytest.mark.parametrize(
    "body",
    [
        '{"error":{"message":"refused","code":100}}',
        '{ "error":{"message":"refused","code":100}}',
        '{\n   "error": {\n      "code": 100\n   }\n}',
        '{"error":{"message":"refused","code":100},"__debug__":{}}',
        '{"__debug__":{},"error":{"code":100}}',
    ],
)
async def test_an_error_with_code_200_is_never_a_result(body: str) -> None:
    assert isinstance(await error_of({"code": 200, "body": body}), Rejected)


@pytest.mark.parametrize("error", ["text", "", 7, [], {}, {"count": 1}, {"type": "OAuthException"}])
async def test_an_error_of_a_form_that_nobody_knows_is_no_result_either(error: Any) -> None:
    assert isinstance(await error_of({"code": 200, "body": json.dumps({"error": error})}), ContractBroken)


@pytest.mark.parametrize(
    "body", [{"id": "0", "error": "text"}, {"id": "0", "error": {"count": 1}}, {"data": [{"error": {"code": 1}}]}]
)
async def test_a_field_called_error_is_no_error(body: Any) -> None:
    done, _ = (await read({"code": 200, "body": json.dumps(body)}, None)).items
    assert done == ItemDone(200, body)


@pytest.mark.parametrize(
    "item", [{"code": 200, "body": {"id": "0"}}, {"code": "ok", "body": "{}"}, {"body": "{}"}, "text", 7, []]
)
async def test_an_odd_item_fails_alone(item: Any) -> None:
    assert isinstance(await error_of(item), ContractBroken)


async def test_no_text_of_an_answer_holds_what_no_table_can() -> None:
    told = {"id": "0", "a\x00": ["\x00\x00b", "\\u0000", "\\\x00"]}
    done, _ = (await read({"code": 200, "body": json.dumps(told)}, None)).items
    assert done == ItemDone(200, {"id": "0", "a\ufffd": ["\ufffd\ufffdb", "\\u0000", "\\\ufffd"]})
    error = json.dumps({"error": {"message": "no \x00", "code": 100, "fbtrace_id": "\x00"}})
    assert "\x00" not in str(await error_of({"code": 400, "body": error}))


@pytest.mark.parametrize("headers", [[{"name": "Date", "value": None}], [{"name": "x"}], "text", {}, [None, 5]])
async def test_odd_headers_spoil_no_answer(headers: Any) -> None:
    item = {"code": 200, "headers": headers, "body": '{"id":"0"}'}
    assert all(isinstance(each, ItemDone) for each in (await read(item, {"code": 200, "body": '{"id":"1"}'})).items)


@pytest.mark.parametrize("items", [[], [None], [None] * 3])
async def test_an_answer_of_another_length_is_read_again(items: list[Any]) -> None:
    with pytest.raises(OutcomeUnknown):
        await read(*items)


async def test_code_2500_blames_the_token_only_when_it_says_so() -> None:
    def said(message: str) -> Any:
        error = {"message": message, "type": "OAuthException", "code": 2500}
        return {"code": 400, "body": json.dumps({"error": error})}

    assert type(await error_of(said("Unknown path components: /x"))) is Rejected
    nobody = "An active access token must be used to query information about the current user."
    assert type(await error_of(said(nobody))) is AuthExpired


async def test_words_about_a_token_are_kept() -> None:
    message = "Error validating access token: Session has expired on Friday"
    item = {"code": 400, "body": json.dumps({"error": {"message": message, "code": 190, "error_subcode": 463}})}
    assert message in (await error_of(item)).message


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "posts.limit(5){message,id}",
        "posts{id,comments.limit(2){from{id},message}}",
        "albums.limit(5){name, photos.limit(2)}",
        "insights.metric(views,reach).period(day)",
        "insights.date_preset(last_7d){spend}",
        "ads.filtering([{'field':'campaign.name','operator':'CONTAIN','value':'a | b'}]){id}",
        "comments.summary(true).limit(0)",
        "posts{id}.limit(5)",
    ],
)
def test_fields_and_expansions_are_let_through(field: str) -> None:
    assert plan_read("get_object", {"object_id": "1", "fields": [field]}).params["fields"] == [field]


@pytest.mark.parametrize(
    "field",
    [
        "id.foo",
        "name|x",
        "id name",
        "posts.limit(5)x",
        "posts{id name}",
        "posts{id.foo}",
        "posts{}",
        "posts{id,}",
        "posts.limit()",
        "posts(5)",
        "posts[0]",
        "posts..limit(5)",
        "a{" * 300 + "b" + "}" * 299 + ".",
    ],
)
def test_what_meta_calls_a_syntax_error_is_refused_before_any_call(field: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        plan_read("get_object", {"object_id": "1", "fields": [field]})
    assert [where for where, _, _ in caught.value.errors] == ["/params/fields/0"]


def test_the_next_page_of_ad_accounts_can_be_read() -> None:
    first = plan_read("get_ad_accounts", {"fields": ["id"]})
    following = plan_read("get_ad_accounts", {"fields": ["id"], "after": "QVFIUk1=="})
    assert "after" not in first.params
    assert first.request_key != following.request_key
    item = item_of(following, Credential("user-token", "4711"))
    assert (item.path, item.params) == ("me/adaccounts", {"fields": "id", "limit": "25", "after": "QVFIUk1=="})
