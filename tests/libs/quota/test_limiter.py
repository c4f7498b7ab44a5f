"""The limiter against a real Valkey: all or nothing, never too much, and careful while Valkey is away."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY
from valkey.asyncio import Valkey

from libs.quota.lanes import Lane
from libs.quota.limiter import Granted, Limiter, Refused
from libs.vocabulary import PlatformName, QuotaScope, QuotaUse, UsageReading
from tests.support.until import until

pytestmark = pytest.mark.db  # a real server, like Postgres


def scope(subject: str = "42", limit: int = 100, window: int = 3_600, name: str = "ads_management") -> QuotaScope:
    return QuotaScope(PlatformName.META, name, subject, limit, window)


def use(units: int, *scopes: QuotaScope) -> list[QuotaUse]:
    return [QuotaUse(each, units) for each in scopes or (scope(),)]


class Clock:
    """A replica's clock that the test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def limiter(valkey_url: str) -> AsyncIterator[Limiter]:
    made = Limiter(valkey_url, timeout_seconds=30)  # a slow machine is no Valkey that is away
    yield made
    await made.close()


async def test_units_are_granted_up_to_the_limit_and_not_one_more(limiter: Limiter) -> None:
    assert await limiter.take(use(99), lane=Lane.INTERACTIVE) == Granted()
    assert await limiter.take(use(1), lane=Lane.INTERACTIVE) == Granted()
    refused = await limiter.take(use(1), lane=Lane.INTERACTIVE)
    assert isinstance(refused, Refused)
    assert (refused.scope, refused.reason, refused.free_units) == (scope(), "used_up", 0)
    assert 3_540 < refused.retry_after_seconds <= 3_660 + 60


async def test_a_take_of_several_scopes_is_all_or_nothing(limiter: Limiter) -> None:
    small, large = scope("small", limit=10), scope("large", limit=1_000)
    assert await limiter.take(use(10, small), lane=Lane.INTERACTIVE) == Granted()
    refused = await limiter.take(use(1, large, small), lane=Lane.INTERACTIVE)
    assert isinstance(refused, Refused)
    assert refused.scope == small
    assert await limiter.take(use(1_000, large), lane=Lane.INTERACTIVE) == Granted()


async def test_uses_of_one_scope_are_added_up(limiter: Limiter) -> None:
    assert isinstance(await limiter.take(use(51) + use(50), lane=Lane.INTERACTIVE), Refused)
    assert await limiter.take(use(50) + use(50), lane=Lane.INTERACTIVE) == Granted()


async def test_what_costs_nothing_is_granted(limiter: Limiter) -> None:
    assert await limiter.take([], lane=Lane.BACKFILL) == Granted()
    assert await limiter.take(use(0), lane=Lane.BACKFILL) == Granted()


async def test_a_use_of_nothing_only_asks_that_its_scope_is_not_blocked(limiter: Limiter) -> None:
    app, account = scope(name="app", limit=10), scope()
    uses = [*use(1, account), *use(0, app)]
    assert await limiter.take(use(10, app), lane=Lane.INTERACTIVE, organization="a") == Granted()
    assert await limiter.take(uses, lane=Lane.BACKFILL, organization="b") == Granted(), "a full scope asks for nothing"
    await limiter.block(app, 30)
    refused = await limiter.take(uses, lane=Lane.INTERACTIVE, organization="b")
    assert isinstance(refused, Refused)
    assert (refused.scope, refused.reason) == (app, "blocked")


async def test_a_refusal_says_how_much_would_fit(limiter: Limiter) -> None:
    await limiter.take(use(70), lane=Lane.INTERACTIVE)
    refused = await limiter.take(use(50), lane=Lane.INTERACTIVE)
    assert isinstance(refused, Refused)
    assert refused.free_units == 30
    assert await limiter.take(use(refused.free_units), lane=Lane.INTERACTIVE) == Granted()


async def test_each_lane_leaves_a_reserve_for_those_before_it(limiter: Limiter) -> None:
    granted = {}
    for lane in reversed(Lane):
        granted[lane] = 0
        while isinstance(await limiter.take(use(1), lane=lane), Granted):
            granted[lane] += 1
    assert granted == {Lane.BACKFILL: 60, Lane.SYNC: 25, Lane.SCHEDULED: 10, Lane.INTERACTIVE: 5}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_many_replicas_at_once_never_grant_more_than_the_limit_in_total(valkey_url: str, seed: int) -> None:
    rng = random.Random(seed)
    shared, account = scope("app", limit=500, name="app"), scope("account", limit=300)
    replicas = [Limiter(valkey_url, timeout_seconds=30) for _ in range(4)]
    granted = {shared: 0, account: 0}

    async def worker(replica: Limiter, units: list[int]) -> None:
        for each in units:
            wanted = use(each, shared, account) if each % 2 else use(each, shared)
            if isinstance(await replica.take(wanted, lane=Lane.INTERACTIVE), Granted):
                for one in wanted:
                    granted[one.scope] += one.units

    await asyncio.gather(*(worker(r, [rng.randint(1, 9) for _ in range(20)]) for r in replicas for _ in range(10)))
    assert granted[shared] <= 500
    assert granted[account] <= 300
    # What is left is really left: ones fill the rest exactly.
    rest = 0
    while isinstance(await replicas[0].take(use(1, shared), lane=Lane.INTERACTIVE), Granted):
        rest += 1
    assert granted[shared] + rest == 500
    for replica in replicas:
        await replica.close()


async def test_no_rolling_window_holds_more_than_the_limit_and_units_come_back(limiter: Limiter) -> None:
    limit, window = 40, 1
    tight = scope("tight", limit=limit, window=window)
    grants: list[tuple[float, float]] = []
    deadline = time.monotonic() + 3.2
    while time.monotonic() < deadline:
        sent = time.monotonic()
        if isinstance(await limiter.take(use(1, tight), lane=Lane.INTERACTIVE), Granted):
            grants.append((sent, time.monotonic()))
    for start, _ in grants:
        surely_inside = [one for one in grants if start <= one[0] and one[1] <= start + window]
        assert len(surely_inside) <= limit
    assert len(grants) >= 2 * limit


async def test_use_by_others_that_the_platform_reports_is_kept_free(limiter: Limiter) -> None:
    await limiter.take(use(10), lane=Lane.INTERACTIVE)
    await limiter.observe([UsageReading(scope(), 0.8)])
    refused = await limiter.take(use(21), lane=Lane.INTERACTIVE)
    assert isinstance(refused, Refused)
    assert 20 <= refused.free_units <= 21
    assert await limiter.take(use(20), lane=Lane.INTERACTIVE) == Granted()


async def test_the_fullest_budget_of_an_answer_is_a_metric_without_whose_it_is(limiter: Limiter) -> None:
    await limiter.observe([UsageReading(scope(), 0.8), UsageReading(scope("another"), 0.3)])
    labels = {"platform": scope().platform.value, "scope": scope().name}
    assert REGISTRY.get_sample_value("quota_used_fraction", labels) == 0.8


async def test_a_lower_reading_replaces_a_higher_one_but_never_our_own_count(limiter: Limiter) -> None:
    await limiter.take(use(30), lane=Lane.INTERACTIVE)
    await limiter.observe([UsageReading(scope(), 1.2)])
    assert isinstance(await limiter.take(use(1), lane=Lane.INTERACTIVE), Refused)
    await limiter.observe([UsageReading(scope(), 0.05)])
    assert isinstance(await limiter.take(use(71), lane=Lane.INTERACTIVE), Refused)
    assert await limiter.take(use(70), lane=Lane.INTERACTIVE) == Granted()


async def test_a_replica_that_knows_a_smaller_limit_goes_by_the_one_that_an_answer_told(limiter: Limiter) -> None:
    known, unknown = scope(limit=1_000), scope(limit=100)
    await limiter.take(use(500, known), lane=Lane.INTERACTIVE)
    assert isinstance(await limiter.take(use(1, unknown), lane=Lane.INTERACTIVE), Refused)
    await limiter.observe([UsageReading(known, 0.1)])
    assert await limiter.take(use(500, unknown), lane=Lane.INTERACTIVE) == Granted()
    assert isinstance(await limiter.take(use(1, unknown), lane=Lane.INTERACTIVE), Refused)
    await limiter.observe([UsageReading(unknown, 1.0)])
    assert isinstance(await limiter.take(use(1, unknown), lane=Lane.INTERACTIVE), Refused)


async def test_a_reading_with_a_wait_closes_the_scope_for_every_replica(limiter: Limiter, valkey_url: str) -> None:
    await limiter.observe([UsageReading(scope(), 1.0, regain_after_seconds=600)])
    other = Limiter(valkey_url)
    refused = await other.take(use(1), lane=Lane.INTERACTIVE)
    await other.close()
    assert isinstance(refused, Refused)
    assert refused.reason == "blocked"
    assert 590 < refused.retry_after_seconds <= 600


async def test_a_block_holds_until_its_end_and_a_shorter_one_does_not_shorten_it(limiter: Limiter) -> None:
    await limiter.block(scope(), 300)
    await limiter.block(scope(), 5)
    refused = await limiter.take(use(1), lane=Lane.INTERACTIVE)
    assert isinstance(refused, Refused)
    assert 290 < refused.retry_after_seconds <= 300
    assert await limiter.take(use(1, scope("other")), lane=Lane.INTERACTIVE) == Granted()


async def test_a_block_ends(limiter: Limiter) -> None:
    await limiter.block(scope(), 2)
    assert isinstance(await limiter.take(use(1), lane=Lane.INTERACTIVE), Refused)

    async def has_ended() -> bool:
        return isinstance(await limiter.take(use(1), lane=Lane.INTERACTIVE), Granted)

    await until(has_ended, "the block to end")


async def test_an_organization_alone_gets_everything_and_two_share_what_runs_low(limiter: Limiter) -> None:
    alone = scope("alone")
    assert await limiter.take(use(100, alone), lane=Lane.INTERACTIVE, organization="a") == Granted()
    for organization in ("a", "b"):
        assert await limiter.take(use(1), lane=Lane.INTERACTIVE, organization=organization) == Granted()
    assert await limiter.take(use(48), lane=Lane.INTERACTIVE, organization="a") == Granted()
    refused = await limiter.take(use(2), lane=Lane.INTERACTIVE, organization="a")
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.free_units) == ("fair_share", 1)
    assert await limiter.take(use(49), lane=Lane.INTERACTIVE, organization="b") == Granted()


async def test_a_cancelled_take_never_gives_its_answer_to_another(limiter: Limiter) -> None:
    full, free = scope("full", limit=1), scope("free", limit=1_000_000)
    await limiter.take(use(1, full), lane=Lane.INTERACTIVE)
    rng = random.Random(7)
    for _ in range(200):
        tasks = [asyncio.create_task(limiter.take(use(1, each), lane=Lane.INTERACTIVE)) for each in (full, free, full)]
        for _ in range(rng.randint(0, 6)):
            await asyncio.sleep(0)
        tasks[rng.randint(0, 2)].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for wanted, answer in zip((full, free, full), answers, strict=True):
            assert isinstance(answer, asyncio.CancelledError | (Granted if wanted is free else Refused)), answer
    assert not limiter.in_fallback


async def test_every_key_expires_and_none_holds_more_than_a_window_of_buckets(
    limiter: Limiter, valkey_url: str
) -> None:
    await limiter.take(use(1), lane=Lane.INTERACTIVE, organization="a")
    await limiter.block(scope("blocked"), 7_200)
    await limiter.observe([UsageReading(scope("seen"), 0.5)])
    async with Valkey.from_url(valkey_url) as client:
        keys = [key async for key in client.scan_iter("quota:*")]
        lifetimes = {key.decode(): await client.pttl(key) for key in keys}
    assert len(lifetimes) == 5
    assert all(0 < each <= 7_201_000 for each in lifetimes.values())
    assert lifetimes["quota:{meta}:ads_management:blocked"] > 7_190_000


async def test_without_valkey_a_replica_grants_its_share_and_says_so(valkey_url: str) -> None:
    limiter = Limiter("valkey://127.0.0.1:1/0", local_share=0.1)
    assert await limiter.take(use(10), lane=Lane.INTERACTIVE) == Granted(local=True)
    assert limiter.in_fallback
    assert REGISTRY.get_sample_value("quota_fallback_active") == 1
    refused = await limiter.take(use(1), lane=Lane.INTERACTIVE)
    assert isinstance(refused, Refused)
    assert refused.reason == "used_up"
    await limiter.close()


async def test_without_valkey_blocks_and_what_was_last_known_still_hold(valkey_url: str) -> None:
    async with cuttable(valkey_url) as (url, line):
        limiter = Limiter(url, local_share=0.5, clock=Clock())
        await limiter.take(use(97), lane=Lane.INTERACTIVE)
        line.cut()
        await limiter.block(scope("other"), 60)
        refused = await limiter.take(use(4), lane=Lane.INTERACTIVE)
        assert isinstance(refused, Refused)
        assert refused.free_units == 3
        refused = await limiter.take(use(1, scope("other")), lane=Lane.INTERACTIVE)
        assert isinstance(refused, Refused)
        assert refused.reason == "blocked"
        await limiter.close()


async def test_when_valkey_is_back_it_learns_what_was_granted_and_blocked_without_it(valkey_url: str) -> None:
    clock = Clock()
    async with cuttable(valkey_url) as (url, line):
        limiter = Limiter(url, local_share=0.3, clock=clock)
        await limiter.take(use(10), lane=Lane.INTERACTIVE)
        line.cut()
        assert await limiter.take(use(20), lane=Lane.INTERACTIVE) == Granted(local=True)
        await limiter.block(scope("other"), 60)
        line.mend()
        assert await limiter.take(use(5), lane=Lane.INTERACTIVE) == Granted(local=True)  # not asked again so soon
        clock.now += 1.0
        assert await limiter.take(use(1), lane=Lane.INTERACTIVE) == Granted()
        assert not limiter.in_fallback
        assert REGISTRY.get_sample_value("quota_fallback_active") == 0
        await limiter.close()
    other = Limiter(valkey_url)
    refused = await other.take(use(65), lane=Lane.INTERACTIVE)
    assert isinstance(refused, Refused)
    assert refused.free_units == 64  # 100 - 10 - 20 - 5 - 1
    assert isinstance(await other.take(use(1, scope("other")), lane=Lane.INTERACTIVE), Refused)
    await other.close()


async def test_replicas_that_lose_valkey_midway_exceed_a_limit_by_no_more_than_the_others_shares(
    valkey_url: str,
) -> None:
    async with cuttable(valkey_url) as (url, line):
        clock = Clock()
        replicas = [Limiter(url, local_share=0.1, clock=clock) for _ in range(4)]
        granted = 0

        async def drain() -> None:
            nonlocal granted
            for replica in replicas:
                while isinstance(await replica.take(use(1), lane=Lane.SYNC), Granted):
                    granted += 1
                    if granted == 40 and not line.is_cut:
                        line.cut()

        await drain()
        line.mend()
        clock.now += 1.0
        await drain()
        # 85 is the lane's part, 8 a share: the first one back cannot know what three others granted.
        assert granted <= 85 + 3 * 8
        for replica in replicas:
            await replica.close()


class Line:
    """What lies between a limiter and Valkey."""

    def __init__(self) -> None:
        self.is_cut = False
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        self.is_cut = True
        for writer in self.writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False


@asynccontextmanager
async def cuttable(valkey_url: str) -> AsyncIterator[tuple[str, Line]]:
    """Give an address that leads to Valkey for as long as the line is not cut."""
    target, line = urlsplit(valkey_url), Line()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)
        line.writers |= {writer, back}
        await asyncio.gather(pump(reader, back), pump(there, writer))

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if line.is_cut:
            writer.transport.abort()
        else:
            line.tasks.add(asyncio.create_task(connect(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"valkey://127.0.0.1:{port}{target.path}", line
        line.cut()
        await asyncio.gather(*line.tasks)
