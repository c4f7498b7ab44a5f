"""Meta keeps what all platforms must keep: reads in bulk, lists, tokens, assets."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from libs.platforms.base import ItemDone, PlannedCall, Platform
from libs.platforms.errors import AuthExpired, AuthRevoked, PlatformError, RateLimited
from libs.platforms.meta import build_platform
from libs.platforms.meta.client import GraphClient
from tests.libs.platforms.conformance import (
    APP_SECRET,
    TOKEN,
    BatchingConformance,
    Handler,
    LimitsConformance,
    PagingConformance,
    SharingConformance,
)
from tests.libs.platforms.conformance.paging import Ids
from tests.libs.platforms.conformance.sharing import Fate
from tests.support.meta_batches import (
    SETTINGS,
    answers,
    batch_items,
    form_of,
    graph_error,
    item,
    query_of,
)

NO_PROOF = "API calls from the server require an appsecret_proof"
REGAIN = "estimated_time_to_regain_access"


def refusal(error: type[PlatformError]) -> httpx.Response:
    codes = {RateLimited: (403, 4, None), AuthExpired: (400, 190, 463), AuthRevoked: (400, 190, 458)}
    status, code, subcode = codes.get(error, (500, 2, None))
    message = f"Malformed access token {TOKEN} {APP_SECRET}"
    return httpx.Response(status, json=graph_error(code, subcode, message))


class TestMetaBatching(LimitsConformance, SharingConformance, BatchingConformance):
    def build(self, handler: Handler) -> Platform:
        return build_platform(httpx.AsyncClient(transport=httpx.MockTransport(handler)), SETTINGS)

    def read(self, index: int) -> tuple[str, dict[str, Any]]:
        return "get_object", {"object_id": str(1000 + index), "fields": ["id", "name"]}

    def same_read_written_otherwise(self) -> tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]:
        one = ("get_object", {"object_id": "1", "fields": ["name", "id"]})
        return one, ("get_object", {"fields": ["id", "name", "id"], "object_id": "1"})

    def wrong_reads(self) -> Sequence[tuple[str, dict[str, Any]]]:
        fields = ["id"]
        return [
            ("get_object", {}),
            ("get_object", {"object_id": 1, "fields": fields}),
            ("get_object", {"object_id": "../me", "fields": fields}),
            ("get_object", {"object_id": "1?access_token=x", "fields": fields}),
            ("get_object", {"object_id": "1", "fields": []}),
            ("get_object", {"object_id": "1", "fields": "id"}),
            ("get_object", {"object_id": "1", "fields": [1]}),
            ("get_object", {"object_id": "1", "fields": ["id,name"]}),
            ("get_object", {"object_id": "1", "fields": ["posts{id"]}),
            ("get_object", {"object_id": "1", "fields": ["{result=x:$.id}"]}),
            ("get_object", {"object_id": "1", "fields": ["access_token"]}),
            ("get_object", {"object_id": "1", "fields": ["accounts{id,access_token}"]}),
            ("get_object", {"object_id": "1", "fields": fields, "metadata": 1}),
            ("get_object", {"object_id": "1", "fields": fields, "account_id": "x"}),
            ("get_object", {"object_id": "1", "fields": fields, "account_id": 5}),
            ("get_object", {"object_id": "act_1", "fields": fields, "account_id": "1"}),
            ("get_object", {"object_id": "me", "fields": fields, "account_id": "1"}),
            ("get_ad_accounts", {"fields": fields, "after": "a&access_token=x"}),
            ("get_ad_accounts", {"fields": fields, "after": 1}),
            ("get_ad_accounts", {"fields": fields, "limit": 0}),
            ("get_ad_accounts", {"fields": fields, "limit": True}),
            ("get_ad_accounts", {"fields": fields, "a/b~c": 1}),
        ]

    def answer_of(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers(request))

    def answer_short_by_one(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers(request)[:-1])

    def answer_with_first_not_done(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[None, *answers(request)[1:]])

    def answer_with_first_odd(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"code": 200, "body": {"id": "1000"}}, *answers(request)[1:]])

    def answer_with_first_refused_as_unreadable(self, request: httpx.Request) -> httpx.Response:
        message = 'Syntax error "Expected end of string instead of "."." at character 2: id.foo'
        return httpx.Response(200, json=[item(graph_error(2500, None, message), 400), *answers(request)[1:]])

    def throttles_of_unknown_budgets(self) -> Sequence[httpx.Response]:
        return [httpx.Response(400, json=graph_error(code)) for code in (613, 80004, 80001, 80002, 80014, 368)]

    def refusals_of_our_settings(self) -> Sequence[httpx.Response]:
        words = ("Invalid appsecret_proof provided in the API argument", f"{NO_PROOF} argument")
        errors = [graph_error(100, None, message, type="GraphMethodException") for message in words]
        return [httpx.Response(400, json=error) for error in (*errors, graph_error(2635))]

    def is_answer_to(self, call: PlannedCall, done: ItemDone) -> bool:
        return bool(done.body["id"] == call.params["object_id"] and done.http_status == 200)

    def refusal(self, error: type[PlatformError]) -> httpx.Response:
        return refusal(error)

    def answer_with_usage(self, request: httpx.Request, used: float, regain_seconds: int) -> httpx.Response:
        usage = {"5": [{"type": "pages", "call_count": used * 100, REGAIN: regain_seconds / 60}]}
        return self.answer_with_headers(request, [("X-Business-Use-Case-Usage", json.dumps(usage))])

    def answer_with_usage_written(self, request: httpx.Request, text: str) -> httpx.Response:
        names = ("X-App-Usage", "X-Business-Use-Case-Usage", "X-Ad-Account-Usage", "X-Page-Usage")
        return self.answer_with_headers(request, [(name, text) for name in (*names, "X-FB-Ads-Insights-Throttle")])

    def answer_with_headers(self, request: httpx.Request, headers: Sequence[tuple[str, str]]) -> httpx.Response:
        first, *others = answers(request)
        first["headers"] = [{"name": name, "value": value} for name, value in headers]
        return httpx.Response(200, json=[first, *others])

    def answer_with_first_throttled(self, request: httpx.Request, regain_seconds: int) -> httpx.Response:
        usage = {"5": [{"type": "ads_management", "call_count": 100, REGAIN: regain_seconds / 60}]}
        headers = [("X-Business-Use-Case-Usage", json.dumps(usage))]
        return httpx.Response(200, json=[item(graph_error(80004, 2446079), 400, headers), *answers(request)[1:]])

    def tokens_of(self, request: httpx.Request) -> Sequence[str]:
        form = form_of(request)
        return [query_of(each).get("access_token", form["access_token"]) for each in batch_items(request)]

    def answer_mixed(self, request: httpx.Request, fates: Sequence[Fate]) -> httpx.Response:
        written: dict[Fate, Any] = {
            "refused": item(graph_error(100, 33), 400),
            "not_done": None,
            "aborted": item(graph_error(960), 500),
            "odd": {"code": 200, "body": {"id": "5"}},
            "throttled": item(graph_error(17), 400),
            "expired": item(graph_error(190, 463), 400),
            "unreadable": item('{"id": "10'),
        }
        done = answers(request)
        return httpx.Response(200, json=[written.get(fate, one) for fate, one in zip(fates, done, strict=True)])


class TestMetaPaging(PagingConformance):
    def pages(self, handler: Handler) -> AsyncIterator[Ids]:
        client = GraphClient(httpx.AsyncClient(transport=httpx.MockTransport(handler)), SETTINGS)

        async def ids() -> AsyncIterator[Ids]:
            async for page in client.pages("list", "me/accounts", {"fields": "id"}, credential=self.credential()):
                yield [str(item["id"]) for item in page.items]

        return ids()

    def page(self, ids: Ids, following: str | None) -> httpx.Response:
        paging = {"cursors": {"before": "QVFI", "after": following or "last"}}
        following_page = {
            "next": f"https://graph.facebook.com/v26.0/me/accounts?access_token={TOKEN}&after={following}"
        }
        whole = paging if following is None else {**paging, **following_page}
        return httpx.Response(200, json={"data": [{"id": each} for each in ids], "paging": whole})

    def asked_for(self, request: httpx.Request) -> str | None:
        return dict(request.url.params).get("after")

    def page_that_leads_to(self, address: str) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "1"}], "paging": {"next": address}})

    def odd_pages(self) -> Sequence[httpx.Response]:
        address = "https://graph.facebook.com/v26.0/me/accounts"
        bodies: list[Any] = [
            {},
            {"data": {}},
            {"data": [1]},
            {"data": None},
            {"data": [], "paging": {"next": address}},
            {"data": [], "paging": {"next": 5}},
            {"data": [], "paging": []},
            {"data": [], "paging": {"next": address, "cursors": {"after": ["x"]}}},
            {"data": [], "paging": {"next": address, "cursors": {"after": "a b&access_token=x"}}},
            {"data": [], "paging": {"next": "https://[", "cursors": {}}},
        ]
        return [httpx.Response(200, json=body) for body in bodies]

    def refusal(self, error: type[PlatformError]) -> httpx.Response:
        return refusal(error)
