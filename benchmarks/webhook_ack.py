"""Webhooks acknowledged once they are durable. `python -m benchmarks.webhook_ack [rounds]`.

The service's own edge (`--only http`: signature, every column of the row, metrics) behind the real server, in a process
of its own, with 2 kB bodies that are all different. Against the same edge and server with one insert per request in
place of the group commit (pool of 16), and against pgbench, which inserts the same row one by one from C. What was
acknowledged is counted in the table after each cell. The client takes part of the machine too: its cost is printed.
"""

import asyncio
import json
import statistics
import sys
from contextlib import AsyncExitStack

import uvloop

from benchmarks.support.deliveries import Deliveries
from benchmarks.support.frame import Meter, Results, Verdict, print_versions
from benchmarks.support.http_load import Load, Outcome, outcome, send, start
from benchmarks.support.pgbench import Transactions, pgbench
from benchmarks.support.receivers import (
    APP,
    EDGE,
    INSERT_PER_REQUEST,
    Receiver,
    durability,
    empty,
    preallocate_wal,
    receiver,
    row_bytes,
    stored,
)
from benchmarks.support.servers import Servers, servers

SECONDS = 5
MANY, FEW = 256, 64
POOL = 16
PGBENCH_CLIENTS = 32
RATE = 1_000

LIMIT = f"pgbench, 1 row, {PGBENCH_CLIENTS} clients"
OURS = f"edge, {MANY} connections"
BASELINE = f"insert per request, {MANY} connections"
ALONE = f"edge, {FEW} good connections alone"
BESIDE = f"edge, {FEW} good beside {FEW} wrongly signed"
MANY_WRONG = 192
BESIDE_MANY = f"edge, {FEW} good beside {MANY_WRONG} wrongly signed"

INSERT_ONE = """
INSERT INTO webhook_events (
    id, received_at, platform, app, signature, signature_valid, headers, raw, body_bytes, body_hash, source_ip,
    user_agent, traceparent, shard
) VALUES (
    uuidv7(), now(), 'meta', :app, :signature, true, CAST(:headers AS jsonb), convert_to(:body, 'UTF8'),
    octet_length(:body), sha256(convert_to(:body, 'UTF8')), '127.0.0.1', 'facebookexternalua', NULL, 3
)
"""


async def main(rounds: int) -> int:
    async with servers("webhook_receiver") as where, AsyncExitStack() as opened:
        print_versions(*where.names)
        print(await durability(where), flush=True)
        await preallocate_wal(where)
        ours = await opened.enter_async_context(receiver(where, EDGE))
        baseline = await opened.enter_async_context(
            receiver(where, INSERT_PER_REQUEST, WEBHOOK_RECEIVER_POOL_MAX_SIZE=str(POOL))
        )
        bench = _Bench(where, ours, baseline)
        await bench.warm_up()
        for number in range(rounds):
            print(f" round {number + 1}")
            await bench.round()
        return bench.judge()


class _Bench:
    def __init__(self, where: Servers, ours: Receiver, baseline: Receiver) -> None:
        self._where, self._ours, self._baseline = where, ours, baseline
        self._results, self._verdict = Results("acks/s"), Verdict()
        self._floor: list[float] = []
        self._one: list[float] = []
        self._late: list[float] = []
        self._late_floor: list[float] = []
        self._wrong = 0
        self._refused = 0

    async def warm_up(self) -> None:
        """Fill plans, pools and caches, and show that both sides write rows of the same size."""
        sizes = {}
        for name, one in (("edge", self._ours), ("insert per request", self._baseline)):
            found, _ = await self._measure(one.load(MANY, 2))
            if not found.acknowledged:
                raise RuntimeError(f"{name} acknowledged nothing: {found.statuses}\n{one.process.tail()}")
            sizes[name] = await row_bytes(self._where)
        await empty(self._where)
        await self._pgbench(PGBENCH_CLIENTS, 2)
        sizes["pgbench"] = await row_bytes(self._where)
        print("bytes per row: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()), flush=True)
        if max(sizes.values()) > 1.1 * min(sizes.values()):
            raise RuntimeError("the rows differ too much to be compared")

    async def round(self) -> None:
        await self._limit()
        await self._acks(OURS, self._ours, MANY)
        await self._acks(BASELINE, self._baseline, MANY)
        await self._one_at_a_time()
        await self._by_the_clock()
        await self._acks(ALONE, self._ours, FEW)
        await self._beside(BESIDE, FEW)
        await self._beside(BESIDE_MANY, MANY_WRONG)

    async def _beside(self, cell: str, wrong: int) -> None:
        load = self._ours.load(wrong, SECONDS + 2, warm_seconds=0, wrong=True, reconnect=True)
        flood = await start(load)
        await asyncio.sleep(0.5)
        await self._acks(cell, self._ours, FEW)
        refused = await outcome(flood)
        self._wrong += sum(count for status, count in refused.statuses.items() if status != "401")
        print(f"  {'':44s} {refused.statuses.get('401', 0) / load.seconds:12,.0f} refusals/s meanwhile", flush=True)

    async def _limit(self) -> None:
        await empty(self._where)
        with Meter() as meter:
            found = await self._pgbench(PGBENCH_CLIENTS, SECONDS)
        self._results.add(LIMIT, found.rate, meter)

    async def _acks(self, cell: str, one: Receiver, connections: int) -> None:
        used = one.cpu_seconds()
        found, meter = await self._measure(one.load(connections, SECONDS))
        server_us = 1e6 * (one.cpu_seconds() - used) / max(1, found.acknowledged)
        note = f"p50 {found.p50:.1f}, p99 {found.p99:.1f} ms; CPU us {server_us:.0f} + {found.client_us:.0f} client"
        self._results.add(cell, found.rate, meter, note)

    async def _one_at_a_time(self) -> None:
        await empty(self._where)
        floor = await self._pgbench(1, SECONDS)
        one, meter = await self._measure(self._ours.load(1, SECONDS))
        self._floor.append(floor.p50)
        self._one.append(one.p50)
        print(
            f"  {'1 connection':44s} p50 {one.p50:.3f} ms, pgbench -c 1 {floor.p50:.3f} ms"
            f"  busy {meter.busy_percent:.0f} %, steal {meter.steal_percent:.1f} %",
            flush=True,
        )

    async def _by_the_clock(self) -> None:
        await empty(self._where)
        floor = await self._pgbench(PGBENCH_CLIENTS, SECONDS, rate=RATE)
        found, meter = await self._measure(self._ours.load(FEW, SECONDS, rate=RATE))
        self._late.append(found.p99)
        self._late_floor.append(floor.p99)
        print(
            f"  {f'{RATE:,}/s by the clock':44s} p50 {found.p50:.2f}, p99 {found.p99:.2f}, worst {found.worst:.1f} ms"
            f"; pgbench p50 {floor.p50:.2f}, p99 {floor.p99:.2f}"
            f"  busy {meter.busy_percent:.0f} %, steal {meter.steal_percent:.1f} %",
            flush=True,
        )

    async def _measure(self, load: Load) -> tuple[Outcome, Meter]:
        """Send, and demand that each answer 200 is a row and each row was answered 200."""
        await empty(self._where)
        with Meter() as meter:
            found = await send(load)
        rows = await stored(self._where)
        if rows != found.acknowledged:
            raise RuntimeError(f"acknowledged {found.acknowledged:,}, stored {rows:,}")
        self._refused += found.broken + sum(count for status, count in found.statuses.items() if status != "200")
        return found, meter

    async def _pgbench(self, clients: int, seconds: int, rate: int | None = None) -> Transactions:
        deliveries = Deliveries(self._ours.load(1, 1).url, b"any")
        variables = {
            "app": APP,
            "signature": deliveries.headers(1)["x-hub-signature-256"],
            "headers": json.dumps(deliveries.headers(1)),
            "body": deliveries.body(1).decode(),
        }
        return await pgbench(
            self._where.database.api_dsn, INSERT_ONE, variables, clients=clients, seconds=seconds, rate=rate
        )

    def judge(self) -> int:
        results, say = self._results, self._verdict
        if results.moved(LIMIT):
            print("  the limit itself moved by more than a quarter: the machine was disturbed, run again")
        say.at_least("edge / insert per request", results.ratio(OURS, BASELINE), 2.5, results.ratios(OURS, BASELINE))
        say.at_least("edge / pgbench 1 row", results.ratio(OURS, LIMIT), 0.9, results.ratios(OURS, LIMIT))
        ratios = [mine / floor for mine, floor in zip(self._one, self._floor, strict=True)]
        say.at_most("p50 at 1 connection / pgbench -c 1", statistics.median(ratios), 2.5, ratios)
        say.at_most(f"p99 in ms at {RATE:,}/s", statistics.median(self._late), 10, self._late)
        # The disk's slowest flushes are in both: where pgbench itself needs ten milliseconds, nobody can stay below.
        ratios = [mine / floor for mine, floor in zip(self._late, self._late_floor, strict=True)]
        say.at_most(f"p99 at {RATE:,}/s / pgbench at the same rate", statistics.median(ratios), 2, ratios)
        say.at_least(
            "rate kept beside wrong signatures", results.ratio(BESIDE, ALONE), 0.4, results.ratios(BESIDE, ALONE)
        )
        kept = results.ratio(BESIDE_MANY, ALONE)
        print(
            f"  for information: beside {MANY_WRONG} connections with wrong signatures {kept:.2f} of the rate is kept"
        )
        say.at_most("good requests not acknowledged", self._refused, 0)
        say.at_most("wrong signatures not answered 401", self._wrong, 0)
        return say.failed


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)))
