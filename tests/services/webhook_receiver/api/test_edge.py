"""The edge behind the real server and over a real Postgres, as a platform, a stranger and an attacker meet it."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.runtime.limits import ProtocolLimits
from services.webhook_receiver.api.edge import EdgeLimits
from services.webhook_receiver.metrics import RECEIVED, REFUSED, STORE_SECONDS
from services.webhook_receiver.models import shard_of
from tests.support.asgi import problem_of
from tests.support.databases import ServiceDatabase
from tests.support.sockets import client, statuses_of
from tests.support.spans import recorded_spans
from tests.support.until import until
from tests.support.webhook_edge import BODY, MAX, NEW, OLD, RETIRED, TOKEN, Door, opened, signature

pytestmark = pytest.mark.db

SHORT = ProtocolLimits(head_seconds=0.3, body_seconds=0.3)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def door(webhook_receiver_database: ServiceDatabase) -> AsyncIterator[Door]:
    async with opened(webhook_receiver_database) as made:
        yield made


def refused(reason: str, platform: str = "meta") -> float:
    value: float = REFUSED.labels(platform, reason)._value.get()
    return value


async def test_a_true_signature_is_a_row_before_the_answer(door: Door) -> None:
    before, stored = RECEIVED.labels("meta")._value.get(), STORE_SECONDS.labels("meta")._sum.get()
    response = await door.post(
        BODY, headers={"User-Agent": "facebookexternalua", "Authorization": "secret", "traceparent": TRACEPARENT}
    )
    assert (response.status_code, response.text) == (200, "OK")
    (row,) = await door.rows()
    assert isinstance(row["id"], UUID)
    assert row["id"].version == 7
    assert abs(row["received_at"] - datetime.now(UTC)) < timedelta(seconds=20)
    assert row["raw"] == BODY
    assert row["body_bytes"] == len(BODY)
    assert row["body_hash"] == hashlib.sha256(BODY).digest()
    assert (row["platform"], row["app"], row["shard"]) == ("meta", "1", shard_of("meta", "1"))
    assert row["signature"] == signature(BODY)
    assert row["signature_valid"] is True
    assert (row["status"], row["attempts"], row["reason"]) == ("received", 0, None)
    assert (row["source_ip"], row["user_agent"]) == ("127.0.0.1", "facebookexternalua")
    assert row["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]
    headers = json.loads(row["headers"])
    assert headers["user-agent"] == "facebookexternalua"
    assert "authorization" not in headers
    assert door.woken == [1]
    assert RECEIVED.labels("meta")._value.get() == before + 1
    assert STORE_SECONDS.labels("meta")._sum.get() > stored


@pytest.mark.parametrize(
    "name",
    ["Proxy-Authorization", "Cookie", "X-Api-Key", "X-Forwarded-Access-Token", "X-Auth-Token", "X-Client-Secret"],
)
async def test_a_header_that_may_carry_a_credential_is_not_kept(door: Door, name: str) -> None:
    assert (await door.post(headers={name: "hunter2", "X-Kept": "kept"})).status_code == 200
    assert (await door.post(secret=RETIRED, headers={name: "hunter2"})).status_code == 401
    for row in await door.kept(2):
        assert "hunter2" not in str(row)
    assert json.loads((await door.rows())[0]["headers"])["x-kept"] == "kept"


async def test_a_traceparent_that_is_none_is_not_kept(door: Door) -> None:
    await door.post(headers={"traceparent": "00-zz"})
    assert "zz" not in str((await door.rows())[0]["traceparent"])


async def test_a_delivery_goes_on_with_its_senders_trace(door: Door) -> None:
    with recorded_spans() as spans:
        await door.post(headers={"traceparent": TRACEPARENT})
        await door.post(secret=RETIRED)
    store, good, bad = spans.get_finished_spans()
    assert (store.name, good.name) == ("store webhook", "POST /webhooks/{platform}/{app}")
    assert good.parent is not None
    assert good.parent.span_id == int(TRACEPARENT.split("-")[2], 16)
    assert store.parent == good.context
    assert (await door.rows())[0]["traceparent"].split("-")[2] == f"{good.context.span_id:016x}"
    assert [(span.attributes or {})["http.response.status_code"] for span in (good, bad)] == [200, 401]


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_both_active_secrets_are_taken(door: Door, secret: bytes) -> None:
    assert (await door.post(secret=secret)).status_code == 200


async def test_the_same_delivery_twice_is_two_rows_and_two_times_200(door: Door) -> None:
    assert [(await door.post()).status_code for _ in range(2)] == [200, 200]
    assert len(await door.rows()) == 2


async def test_deliveries_that_come_together_are_stored_together_in_order_of_arrival(door: Door) -> None:
    bodies = [json.dumps({"number": number}).encode() for number in range(100)]
    answers = await asyncio.gather(*(door.post(body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    rows = await door.rows()
    assert sorted(row["raw"] for row in rows) == sorted(bodies)
    assert sum(door.woken) == 100
    assert len(door.woken) < 100


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X-Hub-Signature-256": signature(BODY, b"a stranger's")}, "signature_wrong"),
        ({"X-Hub-Signature-256": signature(BODY, RETIRED)}, "signature_wrong"),
        ({"X-Hub-Signature-256": signature(BODY + b" ")}, "signature_wrong"),
        ({"X-Hub-Signature-256": "sha256=00"}, "signature_malformed"),
        ({"X-Hub-Signature-256": "sha1=" + "0" * 40}, "signature_wrong_kind"),
        ({"X-Hub-Signature": "sha1=" + "0" * 40}, "signature_wrong_kind"),
        ({}, "signature_missing"),
    ],
)
async def test_a_signature_that_is_not_true_is_refused_and_kept_to_be_looked_at(
    door: Door, headers: dict[str, str], reason: str
) -> None:
    before = refused(reason)
    response = await door.http.post("/webhooks/meta/1", content=BODY, headers=headers)
    problem_of(response, 401, reason)
    (row,) = await door.kept(1)
    assert row["signature_valid"] is False
    assert (row["status"], row["reason"]) == ("ignored", reason)
    assert row["raw"] == BODY
    assert row["body_hash"] == hashlib.sha256(BODY).digest()
    assert row["next_attempt_at"] is None
    assert refused(reason) == before + 1
    assert door.woken == []


async def test_of_a_large_refused_body_only_the_beginning_is_kept(door: Door) -> None:
    body = bytes(range(256)) * 50
    assert (await door.post(body, RETIRED)).status_code == 401
    (row,) = await door.kept(1)
    assert row["raw"] == body[:4096]
    assert row["body_bytes"] == len(body)
    assert row["body_hash"] == hashlib.sha256(body).digest()


async def test_only_so_many_refusals_of_an_app_are_kept_a_minute(webhook_receiver_database: ServiceDatabase) -> None:
    async with opened(webhook_receiver_database, per_minute=3) as door:
        for _ in range(6):
            assert (await door.post(secret=RETIRED)).status_code == 401
        # The gate of the headers alone: an unsigned body is not even read any more.
        async with client(door.port) as one:
            one.send(b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nContent-Length: 1000\r\n\r\n")
            assert statuses_of(await one.answer()) == [401]
        assert len(await door.kept(3)) == 3


async def test_a_handshake_gives_back_the_challenge_to_who_knows_the_token(door: Door) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": TOKEN.decode(), "hub.challenge": "1158201444"}
    response = await door.http.get("/webhooks/meta/1", params=query)
    assert (response.status_code, response.text) == (200, "1158201444")
    assert response.headers["content-type"].startswith("text/plain")
    response = await door.http.get("/webhooks/meta/1", params=query | {"hub.verify_token": "guessed"})
    problem_of(response, 403, "handshake")


async def test_who_or_what_is_unknown_is_told_so(door: Door) -> None:
    for path in ("/webhooks/meta/2", "/webhooks/nobody/1", "/webhooks/meta/1/more", "/webhooks/", "/webhooks/meta"):
        problem_of(await door.http.post(path, content=BODY), 404, "unknown_app")
    response = await door.http.put("/webhooks/meta/1", content=BODY)
    problem_of(response, 405, "method")
    assert response.headers["allow"] == "GET, POST"
    assert await door.rows() == []


async def test_everything_else_is_the_applications(door: Door) -> None:
    assert (await door.http.get("/v1/things")).json() == "things"
    assert (await door.http.get("/live")).status_code == 200
    assert (await door.http.get("/webhooks")).status_code == 404


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_a_compressed_body_is_refused(door: Door, encoding: str) -> None:
    problem_of(await door.post(headers={"Content-Encoding": encoding}), 415, "encoded")
    assert (await door.post(headers={"Content-Encoding": "identity"})).status_code == 200


async def test_a_body_without_a_length_is_refused(door: Door) -> None:
    async with client(door.port) as one:
        one.send(b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\n\r\n")
        assert statuses_of(await one.answer()) == [411]


async def test_a_body_over_the_limit_is_refused_before_it_is_read_whole(door: Door) -> None:
    head = b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nX-Hub-Signature-256: %s\r\n" % signature(BODY).encode()
    async with client(door.port) as one:
        one.send(head + b"Content-Length: %d\r\n\r\n" % (MAX + 1))
        assert statuses_of(await one.rest()) == [413]
    async with client(door.port) as one:
        one.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(MAX // 1_000 + 1):
            one.send(b"3e8\r\n" + b"x" * 1_000 + b"\r\n")
            await one.writer.drain()
        assert statuses_of(await one.rest()) == [413]
    assert await door.rows() == []


async def test_a_body_of_exactly_the_limit_is_taken(door: Door) -> None:
    body = b"x" * MAX
    assert (await door.post(body)).status_code == 200

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, MAX, 999):
            yield body[place : place + 999]

    answer = await door.http.post(
        "/webhooks/meta/1", content=pieces(), headers={"X-Hub-Signature-256": signature(body)}
    )
    assert answer.status_code == 200
    assert [row["body_bytes"] for row in await door.rows()] == [MAX, MAX]


async def test_who_is_slow_is_cut_off_and_leaves_nothing(webhook_receiver_database: ServiceDatabase) -> None:
    head = b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nX-Hub-Signature-256: %s\r\n" % signature(BODY).encode()
    async with opened(webhook_receiver_database, protocol=SHORT) as door:
        async with client(door.port) as one:
            assert await one.trickle(head) < 20
            assert statuses_of(one.left) == [408]
        async with client(door.port) as one:
            one.send(head + b"Content-Length: %d\r\n\r\n" % len(BODY))
            assert await one.trickle(BODY) < 20
            assert statuses_of(one.left) == [408]
        assert await door.rows() == []
        assert (await door.post()).status_code == 200


async def test_while_the_database_is_away_everybody_is_told_at_once_and_afterwards_all_is_well(door: Door) -> None:
    assert (await door.post()).status_code == 200
    await door.proxy.cut()
    async with asyncio.timeout(2):
        for _ in range(5):
            response = await door.post()
            problem_of(response, 503, "away")
            assert int(response.headers["retry-after"]) > 0
        assert (await door.post(secret=RETIRED)).status_code == 401
        assert (await door.http.get("/live")).status_code == 200
    door.proxy.heal()
    await door.open_again()
    assert (await door.post()).status_code == 200
    assert len([row for row in await door.rows() if row["signature_valid"]]) == 2


async def test_a_database_that_falls_silent_is_a_503_within_the_time_limit(
    webhook_receiver_database: ServiceDatabase,
) -> None:
    async with opened(webhook_receiver_database, time_limit_seconds=2.0) as door:
        assert (await door.post()).status_code == 200
        door.proxy.black_hole()
        async with asyncio.timeout(20):
            problem_of(await door.post(), 503, "away")
            problem_of(await door.post(), 503, "away")
        door.proxy.heal()
        await door.open_again()
        assert (await door.post()).status_code == 200


async def test_what_cannot_be_held_is_refused(webhook_receiver_database: ServiceDatabase) -> None:
    async with opened(webhook_receiver_database, max_held=2, time_limit_seconds=20.0) as door:
        door.proxy.black_hole()
        first = [asyncio.create_task(door.post()) for _ in range(2)]

        async def held() -> bool:
            return door.commit.held == 2

        await until(held, "two deliveries to wait")
        response = await door.post()
        problem_of(response, 503, "full")
        assert int(response.headers["retry-after"]) > 0
        door.proxy.heal()
        assert [(await each).status_code for each in first] == [200, 200]


async def test_bodies_that_are_being_read_have_a_limit_together(webhook_receiver_database: ServiceDatabase) -> None:
    limits = EdgeLimits(body_bytes=MAX, reading_bytes=15_000)
    head = b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nX-Hub-Signature-256: %s\r\n" % signature(BODY).encode()
    async with opened(webhook_receiver_database, limits=limits) as door:
        async with client(door.port) as one, client(door.port) as two:
            for each in (one, two):
                each.send(head + b"Content-Length: 10000\r\n\r\n" + b"x" * 9_000)
            first, _ = await asyncio.wait(
                [asyncio.ensure_future(each.rest()) for each in (one, two)], return_when=asyncio.FIRST_COMPLETED
            )
            assert [statuses_of(each.result()) for each in first] == [[503]]
        assert (await door.post(b"x" * 14_000)).status_code == 200  # what was given up is not counted any more


async def test_bodies_that_stall_make_room_for_others(webhook_receiver_database: ServiceDatabase) -> None:
    limits = EdgeLimits(body_bytes=MAX, reading_bytes=15_000, slow_seconds=0.0)
    head = b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nX-Hub-Signature-256: %s\r\n"
    body, before = b"x" * 10_000, refused("made_room")
    async with opened(webhook_receiver_database, limits=limits) as door:
        async with client(door.port) as slow, client(door.port) as good:
            slow.send(head % signature(BODY).encode() + b"Content-Length: 15000\r\n\r\n" + b"x" * 14_000)
            await slow.writer.drain()
            assert (await door.post()).status_code == 200  # by then the other is being read
            good.send(head % signature(body).encode() + b"Content-Length: 10000\r\n\r\n" + body[:9_000])
            got = await slow.rest()
            assert statuses_of(got) == [503]
            assert b"retry-after" in got
            good.send(body[9_000:])
            assert statuses_of(await good.answer()) == [200]
        assert [row["raw"] for row in await door.rows()] == [BODY, body]
    assert refused("made_room") == before + 1


async def test_refusals_beyond_some_a_second_are_answered_late_and_good_ones_are_not(
    webhook_receiver_database: ServiceDatabase,
) -> None:
    limits = EdgeLimits(body_bytes=MAX, free_refusals=5, delay_seconds=60.0, max_delayed=3)
    loop = asyncio.get_running_loop()
    async with opened(webhook_receiver_database, limits=limits) as door, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(door.port)) for _ in range(10)]
        for one in clients:
            one.send(b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nContent-Length: 0\r\n\r\n")
        answers = [asyncio.ensure_future(one.reader.readuntil(b"\r\n\r\n")) for one in clients]

        async def seven() -> bool:
            return sum(answer.done() for answer in answers) == 7

        await until(seven, "five answers at once, and two for which there is no room to wait")
        started = loop.time()
        assert (await door.post()).status_code == 200
        assert loop.time() - started < 5
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)
