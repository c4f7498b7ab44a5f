"""Nothing that was acknowledged is lost. `python -m benchmarks.webhook_durability [seed]`.

64 connections push webhooks as fast as they are answered while, at random moments, the receiver is ended by SIGKILL,
then Postgres by an immediate stop (it recovers from its log). Each number that was answered 200 must be in the table,
once; what was cut off in flight may be. Both must take deliveries again without anybody's help.
"""

import asyncio
import random
import signal
import sys
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks.support.frame import Verdict, print_versions
from benchmarks.support.http_load import outcome, send, start
from benchmarks.support.receivers import EDGE, Receiver, durability, empty, receiver, stored, stored_numbers
from benchmarks.support.servers import Servers, servers

CONNECTIONS = 64
FAULTS = 3
MAX_PAUSE_SECONDS = 2.0
AWAY_SECONDS = 1.0
LIMIT_SECONDS = 300

_Fault = Callable[[], Awaitable[None]]


async def main(seed: int) -> int:
    async with servers("webhook_receiver") as where, receiver(where, EDGE) as one:
        print_versions(*where.names)
        print(f"{await durability(where)}; seed {seed}", flush=True)
        dice, verdict = random.Random(seed), Verdict()
        await _under(one, "SIGKILL of the receiver", one.process.kill, dice, verdict)
        if where.stack.replaced("postgres"):
            print("Postgres is somebody else's: it is not stopped")
        else:
            await _under(one, "immediate stop of Postgres", lambda: _stop_postgres(where), dice, verdict)
    return verdict.failed


async def _under(one: Receiver, name: str, fault: _Fault, dice: random.Random, verdict: Verdict) -> None:
    await one.process.ready()
    await empty(one.where)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "acknowledged"
        process = await start(one.load(CONNECTIONS, LIMIT_SECONDS, reconnect=True, acknowledged_path=str(path)))
        for _ in range(FAULTS):
            await _until_it_flows(one.where)
            await asyncio.sleep(dice.random() * MAX_PAUSE_SECONDS)
            await fault()
        await _until_it_flows(one.where)
        process.send_signal(signal.SIGTERM)
        found = await outcome(process)
        acknowledged = array("Q", path.read_bytes())
    rows = await stored_numbers(one.where)
    kept = set(rows)
    print(
        f"  {FAULTS} x {name}: {len(acknowledged):,} acknowledged, {len(rows):,} stored, "
        f"{found.broken} connections cut with a request in flight, answers {found.statuses}",
        flush=True,
    )
    verdict.at_most(f"{name}: acknowledged and not stored", len(set(acknowledged) - kept), 0)
    verdict.at_most(f"{name}: stored twice", len(rows) - len(kept), 0)
    strange = sum(count for status, count in found.statuses.items() if status not in ("200", "503"))
    verdict.at_most(f"{name}: answers other than 200 and 503", strange, 0)
    in_flight = FAULTS * CONNECTIONS
    verdict.at_most(f"{name}: stored and not acknowledged", len(kept) - len(acknowledged), in_flight)
    after = await send(one.load(CONNECTIONS, 1, first=10**9))
    verdict.at_least(f"{name}: acknowledged afterwards", after.acknowledged, 100)


async def _until_it_flows(where: Servers) -> None:
    """Return when deliveries are stored again."""
    before = await stored(where)
    while await stored(where) == before:
        await asyncio.sleep(0.05)


async def _stop_postgres(where: Servers) -> None:
    """End it as a lost machine would, and start it again a moment later."""
    await asyncio.to_thread(where.stack.processes.stop, "postgres", by=signal.SIGQUIT)
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(where.stack.postgres.start)
    await where.stack.postgres.ready()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else time.time_ns() % 1_000_000)))
