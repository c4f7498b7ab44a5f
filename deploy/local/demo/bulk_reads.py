"""Reads of the platform that belong together: assets, lists page by page, insights; two systems ask for each.

What was asked, the HTTP calls made of it and the quota units spent on it are counted apart: equal asks share a read,
reads share a call, and every read costs its unit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.demo.internal_system import Api, DemoFailed, Results, Writer
from deploy.local.demo.report import Numbers, Stretch
from deploy.local.demo.scene import Scene
from deploy.local.demo.stored import CallLog
from deploy.local.demo.traffic import Sent, read_of, send_twice, until_ended, until_queued

RESULT_SECONDS = 60.0
PLATFORM = {"platform": "meta"}
LISTS_OF_PEOPLE = {"accounts": "page", "adaccounts": "ad_account", "businesses": "business"}
LISTS_OF_BUSINESSES = {
    "owned_pages": "page",
    "client_pages": "page",
    "owned_ad_accounts": "ad_account",
    "client_ad_accounts": "ad_account",
    "owned_pixels": "pixel",
    "client_pixels": "pixel",
    "owned_product_catalogs": "catalog",
    "client_product_catalogs": "catalog",
    "owned_whatsapp_business_accounts": "whatsapp",
    "client_whatsapp_business_accounts": "whatsapp",
    "instagram_accounts": "instagram",
}
"""List and type of what is on it. Threads profiles are read with a token of their own."""
PAGED_LISTS = ("campaigns", "adsets", "ads")
PAGE_SIZE = 50
INSIGHT_DAYS = 7
SINGLE_CAMPAIGNS = 20


@dataclass(frozen=True, slots=True)
class Bus:
    """The ways into the bus, and what comes out of it."""

    scene: Scene
    ingest: Api
    batcher: Api
    writer: Writer
    results: Results
    calls: CallLog
    sandbox_url: str
    sent: Sent = field(default_factory=Sent)
    """Everything that was sent this way."""


async def read_in_bulk(bus: Bus, numbers: Numbers) -> Sent:
    """List assets, read lists page by page, read insights; note what each cost and whether the answers are true.

    Gives what was sent.
    """
    await _list_assets(bus, numbers)
    await _read_lists(bus, numbers)
    await _read_insights(bus, numbers)
    return bus.sent


async def _list_assets(bus: Bus, numbers: Numbers) -> None:
    lists = [("me", edge, kind) for edge, kind in LISTS_OF_PEOPLE.items()]
    businesses = [account_id for kind, account_id in bus.scene.sees if kind == "business"]
    lists += [(business, edge, kind) for business in businesses for edge, kind in LISTS_OF_BUSINESSES.items()]
    reads = [
        read_of(
            bus.scene, request_type="list_edge", params={"object_id": whose, "edge": edge, "fields": ["id", "name"]}
        )
        for whose, edge, _ in lists
    ]
    stretch, answers = await _together(bus, reads)
    found = {(kind, row["id"]) for (_, _, kind), answer in zip(lists, answers, strict=True) for row in answer["data"]}
    wanted = {(kind, account_id) for kind, account_id in bus.scene.sees if kind != "threads"}
    numbers.stretches["asset listing"] = stretch
    numbers.must_equal("assets found that the token does not see, or missed", 0, len(found ^ wanted))
    _must_cost(numbers, "asset listing", stretch, asked=2 * len(lists), http_calls=1, units=len(lists))


async def _read_lists(bus: Bus, numbers: Numbers) -> None:
    """Read three lists of the largest ad account side by side: each round asks for the next page of each."""
    account = bus.scene.ad_account
    following: dict[str, str | None] = dict.fromkeys(PAGED_LISTS)
    rows: dict[str, list[str]] = {edge: [] for edge in PAGED_LISTS}
    total, rounds, pages = Stretch(), 0, 0
    while following:
        asked = dict(following)
        stretch, answers = await _together(bus, [_page_of(bus, account, edge, after) for edge, after in asked.items()])
        for edge, answer in zip(asked, answers, strict=True):
            rows[edge] += [row["id"] for row in answer["data"]]
            if "next" in answer.get("paging", {}):
                following[edge] = answer["paging"]["cursors"]["after"]
            else:
                del following[edge]
        total, rounds, pages = total + stretch, rounds + 1, pages + len(asked)
    numbers.stretches["paging"] = total
    for edge in PAGED_LISTS:
        truth = await _truth(bus, f"{account}/{edge}")
        numbers.must_equal(f"{edge} read page by page", [item["id"] for item in truth["items"]] == rows[edge], True)
    _must_cost(numbers, "paging", total, asked=2 * pages, http_calls=rounds, units=pages)


async def _read_insights(bus: Bus, numbers: Numbers) -> None:
    """Read a week of the largest ad account: as a whole, by campaign, and day by day of some campaigns."""
    account, span = bus.scene.ad_account, await _last_days(bus)
    campaigns = [item["id"] for item in (await _truth(bus, f"{account}/campaigns"))["items"]][:SINGLE_CAMPAIGNS]
    reads = [
        _insights_of(bus, account, span),
        _insights_of(bus, account, span, level="campaign", limit=500),
        *(_insights_of(bus, each, span, time_increment=1, account_id=account) for each in campaigns),
    ]
    stretch, (whole, by_campaign, *single) = await _together(bus, reads)
    truth = (await _truth(bus, f"{account}/metrics", **span))["rows"]
    spent = Decimal(sum(row["spend_micros"] for row in truth)) / 1_000_000
    shown = sum(row["impressions"] for row in truth)
    numbers.stretches["insights"] = stretch
    for what, answer in (("the account's insights", whole), ("the insights of all its campaigns", by_campaign)):
        numbers.must_equal(f"impressions in {what}", shown, sum(int(row["impressions"]) for row in answer["data"]))
        numbers.must_equal(f"spend in {what}", spent, _spend(answer))
    by_id = {row["campaign_id"]: Decimal(row["spend"]) for row in by_campaign["data"]}
    odd = [each for each, days in zip(campaigns, single, strict=True) if _spend(days) != by_id.get(each, Decimal(0))]
    numbers.must_equal("campaigns whose days do not add up", 0, len(odd))
    _must_cost(numbers, "insights", stretch, asked=2 * len(reads), http_calls=1, units=len(reads))


async def _together(bus: Bus, reads: Sequence[Mapping[str, Any]]) -> tuple[Stretch, list[Any]]:
    """Have two systems ask for each read while the batcher is paused, and let it go; give the cost and the answers."""
    await bus.batcher.ask("POST", "/v1/batches:pause", json=PLATFORM)
    try:
        before = await until_queued(bus.batcher, 0)
        sent, asked = await send_twice(bus.ingest, bus.writer, bus.scene, reads, f"bulk-{uuid4().hex[:8]}")
        await until_queued(bus.batcher, before + 2 * len(reads))
        mark = await bus.calls.mark()
        await bus.batcher.ask("POST", "/v1/batches:flush", json=PLATFORM)
    finally:
        await bus.batcher.ask("POST", "/v1/batches:resume", json=PLATFORM)
    await until_ended(bus.results, sent, lambda _: None, RESULT_SECONDS)
    bus.sent.http.update(sent.http)
    bus.sent.kafka.update(sent.kafka)
    cost = await bus.calls.since(mark)
    endings = bus.results.endings()
    stretch = Stretch(2 * len(reads), cost.items, cost.http_calls, cost.units)
    return stretch, [_answer_of(endings[each][0].data) for each in asked]


def _answer_of(ending: Mapping[str, Any]) -> Any:
    if "error" in ending or ending.get("parts", 1) != 1:
        raise DemoFailed(f"a good read ended as {json.dumps(ending)[:500]}")
    return ending["result"]


def _page_of(bus: Bus, account: str, edge: str, after: str | None) -> dict[str, Any]:
    params = {"object_id": account, "edge": edge, "fields": ["id"], "limit": PAGE_SIZE}
    return read_of(bus.scene, request_type="list_edge", params=params if after is None else {**params, "after": after})


def _insights_of(bus: Bus, object_id: str, span: Mapping[str, str], **more: Any) -> dict[str, Any]:
    fields = ["impressions", "spend", *(["campaign_id"] if more.get("level") == "campaign" else [])]
    params = {"object_id": object_id, "fields": fields, "time_range": dict(span), **more}
    return read_of(bus.scene, request_type="get_insights", params=params)


def _spend(answer: Mapping[str, Any]) -> Decimal:
    return sum((Decimal(row["spend"]) for row in answer["data"]), Decimal(0))


async def _last_days(bus: Bus) -> dict[str, str]:
    """Give the last whole days by the sandbox's clock; the largest ad account is in UTC."""
    today = datetime.fromisoformat((await _control(bus, "/_sandbox/clock"))["now"]).date()
    return {"since": _day(today, INSIGHT_DAYS), "until": _day(today, 1)}


def _day(today: date, days_ago: int) -> str:
    return (today - timedelta(days=days_ago)).isoformat()


async def _truth(bus: Bus, path: str, **query: str) -> Any:
    return await _control(bus, f"/_sandbox/world/meta/ad_account/{path}", **query)


async def _control(bus: Bus, path: str, **query: str) -> Any:
    async with httpx.AsyncClient(base_url=bus.sandbox_url, timeout=30, trust_env=False) as client:
        answer = await client.get(path, params=query)
        if not answer.is_success:
            raise DemoFailed(f"the sandbox answered {path} with {answer.status_code}: {answer.text[:300]}")
        return answer.json()


def _must_cost(numbers: Numbers, what: str, stretch: Stretch, *, asked: int, http_calls: int, units: int) -> None:
    numbers.must_equal(f"{what}: asked", asked, stretch.asked)
    numbers.must_equal(f"{what}: HTTP calls", http_calls, stretch.http_calls)
    numbers.must_equal(f"{what}: quota units", units, stretch.units)
