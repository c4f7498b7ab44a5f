"""Which budget a read costs, what the answers teach, and which budget a throttle closes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.platforms.base import BatchOutcome, Credential, ItemFailed
from libs.platforms.errors import RateLimited
from libs.platforms.meta.batching import MetaBatching
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.settings import MetaSettings

USER = Credential("user-token", "4711")
Header = tuple[str, str]


class Meta:
    """Meta's batching whose next answer the test sets: a (status, body, headers) per item."""

    def __init__(self) -> None:
        self.items: Sequence[tuple[int, Any, Sequence[Header]]] = ()
        client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: self._answer()))
        self.batching = MetaBatching(GraphClient(client, MetaSettings(throttle_wait_seconds=77)))

    def _answer(self) -> httpx.Response:
        return httpx.Response(
            200,
            json=[
                {
                    "code": status,
                    "headers": [{"name": name, "value": value} for name, value in headers],
                    "body": json.dumps(body),
                }
                for status, body, headers in self.items
            ],
        )

    async def read(
        self, *ids: str, body: Any = None, status: int = 200, headers: Sequence[Header] = (), **params: Any
    ) -> BatchOutcome:
        self.items = [(status, body or {"id": each}, headers) for each in ids]
        calls = [self.batching.plan("get_object", {"object_id": each, "fields": ["id"], **params}) for each in ids]
        return await self.batching.execute(USER, calls)

    def costs(self, *ids: str, credential: Credential = USER, **params: Any) -> set[tuple[str, str, int, int]]:
        calls = [self.batching.plan("get_object", {"object_id": each, "fields": ["id"], **params}) for each in ids]
        return {
            (use.scope.name, use.scope.subject.split(":")[0], use.units, use.scope.limit_units)
            for use in self.batching.quota_uses(credential, calls)
            if use.units
        }

    async def closed_by(self, code: int, subcode: int | None = None, **answer: Any) -> tuple[str, str] | None:
        error = {"error": {"message": "slow down", "code": code, "error_subcode": subcode}}
        scope = (await self.throttle(error, **answer)).scope
        return (scope.name, scope.subject.split(":")[0]) if scope is not None else None

    async def throttle(self, error: Any, object_id: str = "5", **answer: Any) -> RateLimited:
        (failed,) = (await self.read(object_id, body=error, status=400, **answer)).items
        assert isinstance(failed, ItemFailed)
        assert isinstance(failed.error, RateLimited)
        return failed.error


def business(subject: str, kind: str = "ads_management", *, tier: str | None = None, minutes: int = 0) -> Header:
    entry = {"type": kind, "call_count": 1, "estimated_time_to_regain_access": minutes}
    entries = [entry if tier is None else {**entry, "ads_api_access_tier": tier}]
    return "X-Business-Use-Case-Usage", json.dumps({subject: entries})


def test_an_ad_object_costs_the_account_that_the_caller_names() -> None:
    meta = Meta()
    assert meta.costs("5", "6", account_id="act_10") == {("ads_management", "10", 2, 300)}
    assert meta.costs("5", "6", account_id="10") == {("ads_management", "10", 2, 300)}


def test_naming_the_account_asks_for_the_same_read() -> None:
    plain, named = (
        Meta().batching.plan("get_object", {"object_id": "5", "fields": ["id"], **more})
        for more in ({}, {"account_id": "act_10"})
    )
    assert plain.request_key == named.request_key
    assert "account_id" not in plain.params
    assert named.params["account_id"] == "10"


async def test_an_object_costs_the_account_that_an_answer_named() -> None:
    meta = Meta()
    assert meta.costs("5") == {("user", "4711", 1, 20_000)}
    await meta.read("5", headers=[business("10")])
    assert meta.costs("5") == {("ads_management", "10", 1, 300)}
    assert meta.costs("5", account_id="99") == {("ads_management", "10", 1, 300)}, "Meta's word, not the caller's"
    assert meta.costs("6") == {("user", "4711", 1, 20_000)}


async def test_what_belongs_to_no_single_account_is_not_learned() -> None:
    meta = Meta()
    await meta.read("me", "1_2", headers=[business("10")])
    await meta.read("7", headers=[business("70", "pages")])
    two = json.loads(business("10")[1]) | json.loads(business("11")[1])
    await meta.read("8", headers=[("X-Business-Use-Case-Usage", json.dumps(two))])
    assert meta.costs("me", "1_2", "7", "8") == {("user", "4711", 4, 20_000)}


async def test_the_tier_in_the_headers_sets_the_size_of_the_apps_ad_account_budgets() -> None:
    meta = Meta()
    await meta.read("act_10", headers=[business("10", tier="standard_access")])
    assert meta.costs("act_10") == {("ads_management", "10", 1, 100_000)}
    assert meta.costs("act_11") == {("ads_management", "11", 1, 100_000)}
    assert meta.costs("act_10", credential=Credential("token", "815")) == {("ads_management", "10", 1, 300)}
    usage = '{"acc_id_util_pct":9.67,"reset_time_duration":100,"ads_api_access_tier":"development_access"}'
    await meta.read("act_10", headers=[("X-Ad-Account-Usage", usage)])
    assert meta.costs("act_10") == {("ads_management", "10", 1, 300)}


@pytest.mark.parametrize(
    "usage",
    [
        {"10": [{"type": "Ads Management!"}]},
        {"10": [{"type": "x" * 65}]},
        {"10": [{"type": ""}]},
        {"ten": [{"type": "pages"}]},
        {"1" * 33: [{"type": "pages"}]},
        {str(number): [{"type": "pages"}] for number in range(33)},
        {"10": [{"type": "pages"}] * 33},
    ],
)
async def test_names_that_are_none_and_budgets_without_end_are_not_read(usage: Any) -> None:
    headers = [("X-Business-Use-Case-Usage", json.dumps(usage)), ("X-App-Usage", '{"call_count":1}')]
    outcome = await Meta().read("act_10", headers=headers)
    assert [reading.scope.name for reading in outcome.usage] == ["user"]


async def test_a_budget_of_an_ad_account_tells_when_it_starts_anew() -> None:
    usage = '{"acc_id_util_pct":9.67,"reset_time_duration":100}'
    before = datetime.now(UTC)
    (reading,) = (await Meta().read("act_10", headers=[("X-Ad-Account-Usage", usage)])).usage
    assert (reading.scope.name, reading.scope.subject) == ("ads_management", "10")
    assert round(reading.used_fraction, 4) == 0.0967
    assert reading.regain_after_seconds == 0, "there is more to be had before that"
    assert reading.resets_at is not None
    assert timedelta(seconds=100) <= reading.resets_at - before < timedelta(seconds=160)


async def test_a_reading_and_the_next_use_speak_of_the_same_budget() -> None:
    meta = Meta()
    outcome = await meta.read("act_10", headers=[business("10", tier="standard_access")])
    (reading,) = outcome.usage
    assert reading.scope.limit_units == 100_000
    calls = [meta.batching.plan("get_object", {"object_id": "act_10", "fields": ["id"]})]
    assert reading.scope in {use.scope for use in meta.batching.quota_uses(USER, calls)}


@pytest.mark.parametrize(
    ("code", "subcode", "headers", "closed"),
    [
        (4, None, [], ("app", "4711")),
        (4, None, [business("10")], ("app", "4711")),
        (341, None, [], ("app", "4711")),
        (17, None, [], ("user", "4711")),
        (32, None, [], ("user", "4711")),
        (80004, None, [business("10")], ("ads_management", "10")),
        (80000, 2446079, [business("10", "ads_insights")], ("ads_insights", "10")),
        (80001, None, [business("70", "pages")], ("pages", "70")),
        (80002, None, [business("80", "instagram")], ("instagram", "80")),
        (613, 1487742, [business("10")], ("ads_management", "10")),
        (80004, None, [], None),
        (80001, None, [business("10")], None),
        (80002, None, [], None),
        (613, None, [], None),
        (368, None, [], None),
        (80014, None, [business("10")], None),
    ],
)
async def test_a_throttle_closes_the_budget_that_its_code_and_headers_name(
    code: int, subcode: int | None, headers: Sequence[Header], closed: tuple[str, str] | None
) -> None:
    assert await Meta().closed_by(code, subcode, headers=headers) == closed


async def test_an_accounts_throttle_without_headers_closes_the_account_that_is_known_otherwise() -> None:
    assert await Meta().closed_by(80004, object_id="act_10") == ("ads_management", "10")
    assert await Meta().closed_by(80004, account_id="10") == ("ads_management", "10")
    assert await Meta().closed_by(80001, account_id="10") is None


async def test_a_throttle_waits_as_long_as_its_own_budget_needs() -> None:
    headers = [business("10", minutes=60), ("X-App-Usage", '{"call_count":100}')]
    throttled = {"error": {"message": "slow down", "code": 17}}
    assert (await Meta().throttle(throttled, headers=headers)).retry_after_seconds == 77
    throttled["error"]["code"] = 80004
    assert (await Meta().throttle(throttled, headers=headers)).retry_after_seconds == 3_600
    throttled["error"]["code"] = 613
    unknown = await Meta().throttle(throttled, headers=headers)
    assert (unknown.scope, unknown.retry_after_seconds) == (None, 3_600)


async def test_an_ad_account_that_is_called_too_often_is_closed_by_the_older_codes_too() -> None:
    throttled = {"error": {"message": "User request limit reached", "code": 17, "error_subcode": 2446079}}
    told = [("X-Ad-Account-Usage", '{"acc_id_util_pct":100,"reset_time_duration":290}')]
    closed = await Meta().throttle(throttled, "act_10", headers=told)
    assert closed.scope is not None
    assert (closed.scope.name, closed.scope.subject, closed.retry_after_seconds) == ("ads_management", "10", 290)
    assert await Meta().closed_by(17, 2446079) == ("user", "4711"), "no account is known"


def test_every_read_asks_that_its_app_is_not_blocked() -> None:
    batching = Meta().batching
    calls = [batching.plan("get_object", {"object_id": each, "fields": ["id"]}) for each in ("act_1", "5")]
    uses = {use.scope.name: use.units for use in batching.quota_uses(USER, calls)}
    assert uses == {"ads_management": 1, "user": 1, "app": 0}
    nameless = batching.quota_uses(Credential("token"), calls)
    assert "app" not in {use.scope.name for use in nameless}
