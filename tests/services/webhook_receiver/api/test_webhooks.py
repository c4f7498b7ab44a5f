"""Operators look at deliveries and have them processed again."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from libs.platforms.base import Change, Platform
from libs.vocabulary import AccountRef, PlatformName, Role
from tests.support.asgi import problem_of
from tests.support.databases import ServiceDatabase
from tests.support.webhook_receiver import PAGE, Bench, PlainWebhooks, bench, change, operators_client

pytestmark = pytest.mark.db

OURS, THEIRS = uuid4(), uuid4()


@pytest.fixture
async def receiver(webhook_receiver_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(webhook_receiver_database, tmp_path) as made:
        yield made


@pytest.fixture
async def http(receiver: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with operators_client(receiver) as client:
        yield client


async def replay(http: httpx.AsyncClient, **body: object) -> dict[str, object]:
    answer = await http.post("/v1/webhooks:replay", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


async def test_an_ignored_delivery_is_published_once_to_each_organization_that_has_connected_since(
    receiver: Bench, http: httpx.AsyncClient
) -> None:
    delivery_id = await receiver.receive(change("a"), change("b"))
    await receiver.work()
    assert await receiver.status(delivery_id) == "ignored"
    await receiver.connect(OURS)
    await receiver.connect(THEIRS)
    assert (await replay(http, ids=[str(delivery_id)]))["replayed"] == 1
    await receiver.work()
    assert await receiver.keys_published(OURS) == await receiver.keys_published(THEIRS) == ["a", "b"]
    row = await receiver.delivery(delivery_id)
    assert (row["status"], row["replays"], row["attempts"], row["reason"]) == ("processed", 1, 1, None)
    assert await receiver.changes(delivery_id) == [("a", "processed"), ("b", "processed")]


async def test_a_replay_of_what_was_ignored_takes_what_was_ignored_beside_something_published(
    receiver: Bench, http: httpx.AsyncClient
) -> None:
    instagram = AccountRef("instagram", "17")
    await receiver.connect(OURS)
    mixed = await receiver.receive(change("a"), change("b", instagram))
    alone = await receiver.receive(change("c", instagram))
    await receiver.receive(change("d"))
    await receiver.receive(change("e"), change("f", instagram), app="2")
    await receiver.work()
    assert await receiver.status(mixed) == "processed"
    await receiver.connect(THEIRS, instagram)
    told = await replay(http, status="ignored", app="1")
    assert (told["matched"], told["replayed"], told["refused"]) == (2, 2, [])
    await receiver.work()
    assert await receiver.keys_published(THEIRS) == ["b", "c"]
    assert await receiver.keys_published(OURS) == ["a", "d", "e"]
    assert [await receiver.status(each) for each in (mixed, alone)] == ["processed", "processed"]
    assert (await replay(http, status="ignored", app="1"))["matched"] == 0


async def test_a_replay_of_what_was_published_publishes_nothing_new_and_keeps_its_state(
    receiver: Bench, http: httpx.AsyncClient
) -> None:
    await receiver.connect(OURS)
    first = await receiver.receive(change("a"))
    again = await receiver.receive(change("a"))
    await receiver.work()
    for _ in range(2):
        told = await replay(http, ids=[str(first), str(again)])
        assert (told["matched"], told["replayed"], told["refused"]) == (2, 2, [])
        await receiver.work()
    assert await receiver.keys_published() == ["a"]
    assert [await receiver.status(each) for each in (first, again)] == ["processed", "duplicate"]
    await receiver.connect(THEIRS)
    await replay(http, ids=[str(first)])
    await receiver.work()
    assert await receiver.keys_published(THEIRS) == ["a"], "who connected later gets what it has not got"
    assert await receiver.keys_published(OURS) == ["a"]


async def test_a_window_is_replayed_by_app_and_state(receiver: Bench, http: httpx.AsyncClient) -> None:
    ignored = [await receiver.receive(change(f"a{number}"), app="1") for number in range(3)]
    other = await receiver.receive(change("b"), app="2")
    failed = await receiver.receive(body=b"{}", app="1")
    await receiver.work()
    await receiver.connect(OURS)
    told = await replay(http, app="1", status="ignored", dry_run=True)
    assert (told["replayed"], told["dry_run"]) == (3, True)
    assert await receiver.work() == 0
    told = await replay(http, app="1", status="ignored")
    assert (told["matched"], told["replayed"], told["next_cursor"]) == (3, 3, None)
    await receiver.work()
    assert await receiver.keys_published() == ["a0", "a1", "a2"]
    assert [await receiver.status(each) for each in (*ignored, other, failed)] == [
        "processed", "processed", "processed", "ignored", "failed",
    ]  # fmt: skip
    since, until = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    told = await replay(http, since=since.isoformat(), until=until.isoformat())
    assert told["matched"] == 5
    assert (await replay(http, until=since.isoformat()))["matched"] == 0
    await receiver.work()
    assert sorted(await receiver.keys_published()) == ["a0", "a1", "a2", "b"]


async def test_a_long_window_is_replayed_in_pages_in_the_order_of_arrival(
    receiver: Bench, http: httpx.AsyncClient
) -> None:
    for number in range(1_100):
        await receiver.receive(change(f"{number:04d}"))
    await receiver.work()
    await receiver.connect(OURS)
    told = await replay(http, platform="meta")
    assert (told["matched"], told["replayed"], told["next_cursor"]) == (1_100, 1_100, None)
    await receiver.work()
    assert await receiver.keys_published() == [f"{number:04d}" for number in range(1_100)]


async def test_what_cannot_be_replayed_is_refused_and_says_why(receiver: Bench, http: httpx.AsyncClient) -> None:
    wrong = await receiver.receive(change("a"))
    await receiver.run("UPDATE webhook_events SET signature_valid = false, status = 'ignored' WHERE id = $1", wrong)
    await receiver.connect(OURS)
    gone = await receiver.receive(change("b"))
    await receiver.work(replace(receiver.deps, store_raw=False))
    waiting = await receiver.receive(change("c"))
    unknown = uuid4()
    told = await replay(http, ids=[str(each) for each in (wrong, gone, waiting, unknown)])
    assert told["replayed"] == 0
    refused = {UUID(each["id"]): each["reason"] for each in told["refused"]}  # type: ignore[attr-defined]
    assert refused == {wrong: "signature_invalid", gone: "raw_gone", waiting: "in_progress", unknown: "unknown"}
    assert "evidence" in next(each["words"] for each in told["refused"] if each["id"] == str(wrong))  # type: ignore[attr-defined]
    told = await replay(http, platform="meta")
    assert [each["id"] for each in told["refused"]] == [str(gone)]  # type: ignore[attr-defined]
    assert (told["matched"], told["replayed"]) == (1, 0)
    told = await replay(http, status="ignored")
    assert (told["matched"], told["refused"]) == (0, []), "what nobody can replay is in no window"
    row = await receiver.delivery(wrong)
    assert (row["status"], row["replays"]) == ("ignored", 0)


async def test_a_replay_says_which_and_who_and_is_written_down(receiver: Bench, http: httpx.AsyncClient) -> None:
    delivery_id = await receiver.receive(change("a"))
    await receiver.work()
    await replay(http, ids=[str(delivery_id)], dry_run=True)
    await replay(http, ids=[str(delivery_id)])
    shown = (await http.get(f"/v1/webhooks/{delivery_id}")).json()
    (deed,) = shown["deeds"]
    assert (deed["action"], deed["actor_role"], deed["details"]) == (
        "webhook.replayed",
        "super_admin",
        {"was": "ignored"},
    )
    wrong: tuple[dict[str, object], ...] = (
        {},
        {"dry_run": True},
        {"ids": [str(delivery_id)], "app": "1"},
        {"ids": []},
        {"what": 1},
    )
    for body in wrong:
        assert (await http.post("/v1/webhooks:replay", json=body)).status_code == 422


async def test_a_delivery_shows_everything_that_is_kept_of_it(receiver: Bench, http: httpx.AsyncClient) -> None:
    connection_id = await receiver.connect(OURS)
    delivery_id = await receiver.receive(change("a"), change("b", AccountRef("page", "9")))
    await receiver.work()
    shown = (await http.get(f"/v1/webhooks/{delivery_id}")).json()
    assert shown["payload"] == [change("a"), change("b", AccountRef("page", "9"))]
    assert (shown["status"], shown["attempts"], shown["has_body"]) == ("processed", 1, True)
    assert [(each["position"], each["status"]) for each in shown["changes"]] == [(0, "processed"), (1, "ignored")]
    (publication,) = shown["publications"]
    assert (publication["org_id"], publication["connection_id"]) == (str(OURS), str(connection_id))
    assert publication["event_id"] == (await receiver.published())[0]["event_id"]
    text = await receiver.receive(body=b"no json")
    assert (await http.get(f"/v1/webhooks/{text}")).json()["payload"] == "no json"
    problem_of(await http.get(f"/v1/webhooks/{uuid4()}"), 404, "webhook_unknown")


async def test_deliveries_are_listed_newest_first_in_parts_and_by_what_they_are(
    receiver: Bench, http: httpx.AsyncClient
) -> None:
    await receiver.connect(OURS)
    processed = [await receiver.receive(change(f"a{number}")) for number in range(4)]
    strange = await receiver.receive(body=b"{}", app="2")
    bug = await receiver.receive({"raise": "a bug"}, app="2")
    await receiver.work()

    async def listed(**query: object) -> list[UUID]:
        answer = await http.get("/v1/webhooks", params={name: str(value) for name, value in query.items()})
        assert answer.status_code == 200, answer.text
        return [UUID(each["id"]) for each in answer.json()["webhooks"]]

    assert await listed() == [bug, strange, *reversed(processed)]
    assert await listed(status="processed", limit=2) == [processed[3], processed[2]]
    assert await listed(status="failed") == [bug, strange]
    assert await listed(retryable=True) == [bug]
    assert await listed(app="2", retryable=False) == [strange]
    assert await listed(signature_valid=False) == []
    assert await listed(until=datetime.now(UTC) - timedelta(hours=1)) == []
    assert len(await listed(since=datetime.now(UTC) - timedelta(hours=1))) == 6
    first = (await http.get("/v1/webhooks", params={"limit": "4"})).json()
    rest = (await http.get("/v1/webhooks", params={"limit": "4", "cursor": first["next_cursor"]})).json()
    assert [UUID(each["id"]) for each in rest["webhooks"]] == [processed[1], processed[0]]
    assert rest["next_cursor"] is None
    stats = (await http.get("/v1/webhooks/stats")).json()["stats"]
    counted = {(each["app"], each["status"]): each["rows"] for each in stats}
    assert counted == {("1", "processed"): 4, ("2", "failed"): 2}


@pytest.mark.parametrize(
    "query",
    [
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"since": "2026-01-01T00:00:00"},
        {"limit": "0"},
        {"app": "a\x00"},
        {"cursor": "1"},
    ],
)
async def test_what_no_list_can_mean_is_refused(http: httpx.AsyncClient, query: dict[str, str]) -> None:
    problem_of(await http.get("/v1/webhooks", params=query), 422, "invalid")


async def test_the_ends_of_time_and_of_all_ids_are_places_too(receiver: Bench, http: httpx.AsyncClient) -> None:
    delivery_id = await receiver.receive(change("a"))
    await receiver.work()
    ends = {"since": "1970-01-02T00:00:00Z", "until": "9000-01-01T00:00:00Z"}
    assert [each["id"] for each in (await http.get("/v1/webhooks", params=ends)).json()["webhooks"]] == [
        str(delivery_id)
    ]
    assert (await replay(http, platform="meta", cursor="ffffffff-ffff-ffff-ffff-ffffffffffff"))["matched"] == 0
    assert (await replay(http, **ends, cursor="00000000-0000-0000-0000-000000000000"))["matched"] == 1


async def test_a_shape_that_was_unknown_is_processed_after_an_upgrade_and_a_replay(
    receiver: Bench, http: httpx.AsyncClient
) -> None:
    await receiver.connect(OURS)
    strange = await receiver.receive(body=json.dumps({"told": [change("a")]}).encode())
    await receiver.work()
    assert await receiver.status(strange) == "failed"
    await replay(http, status="failed")

    class Upgraded(PlainWebhooks):
        def split(self, body: bytes) -> list[Change]:
            return super().split(json.dumps(json.loads(body)["told"]).encode())

    upgraded = {PlatformName.META: Platform(PlatformName.META, "v1", webhooks=Upgraded())}
    await receiver.work(replace(receiver.deps, platforms=upgraded))
    row = await receiver.delivery(strange)
    assert (row["status"], row["reason"], row["error"]) == ("processed", None, None)
    assert await receiver.keys_published() == ["a"]


async def test_only_the_operators_of_the_bus_see_deliveries(receiver: Bench) -> None:
    for role in (Role.SUPER_ADMIN, Role.ADMIN):
        async with operators_client(receiver, org_id=OURS, role=role) as theirs:
            for method, path in (
                ("GET", "/v1/webhooks"),
                ("GET", "/v1/webhooks/stats"),
                ("GET", f"/v1/webhooks/{uuid4()}"),
                ("POST", "/v1/webhooks:replay"),
                ("GET", "/v1/webhook-apps"),
                ("POST", "/v1/webhook-apps"),
                ("DELETE", "/v1/webhook-apps/meta/1"),
            ):
                problem_of(await theirs.request(method, path), 403, "operators_only")


async def test_a_page_account_is_what_the_connection_says(receiver: Bench, http: httpx.AsyncClient) -> None:
    """Type and id count together: an Instagram account may have the number of a page."""
    await receiver.connect(OURS, AccountRef("instagram", PAGE.id))
    delivery_id = await receiver.receive(change("a"))
    await receiver.work()
    assert (await http.get(f"/v1/webhooks/{delivery_id}")).json()["status"] == "ignored"
