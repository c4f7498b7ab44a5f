"""How long a request takes to its result, against a bare read of the platform.

20 requests a second, half by HTTP and half by Kafka, each sent at once (`max_wait_seconds` 0), through the whole stack
on this machine: ingest, Kafka, batcher, the sandbox as platform, Kafka again. The bare read asks the sandbox for the
same objects with a kept connection, at the same pace. The clock of a request starts before it is sent and stops when
its result has been read from Kafka. Ends with 1 when the 99th percentile is not under 500 ms.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from deploy.local import environment, services
from deploy.local.database import apply_roles
from deploy.local.demo.internal_system import Api, Writer, reading
from deploy.local.demo.report import percentile
from deploy.local.demo.scene import SOURCE, Scene, operator_key, set_scene
from deploy.local.demo.traffic import STEADY_PER_SECOND, Sent, send_steadily, until_ended, until_usable
from deploy.local.stack import SERVERS, Stack

LIMIT_MS = 500.0
FOLDER = Path(".local")


def main() -> int:
    """Start what does not run, measure, and stop what was started here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="length of the measured stream (default 30)")
    parser.add_argument("--dir", type=Path, default=FOLDER, help="folder of the local stack (default .local)")
    arguments = parser.parse_args()
    stack = Stack(arguments.dir)
    was_running = {str(entry["name"]) for entry in services.status(stack) if entry["alive"]}
    try:
        return asyncio.run(_run(stack, arguments.seconds))
    finally:
        if not was_running:
            services.stop_all(stack)
            stack.stop()


async def _run(stack: Stack, seconds: int) -> int:
    await stack.start(SERVERS, _quiet)
    await apply_roles(stack.addresses().postgres_admin_dsn, environment.role_passwords(stack))
    values = await services.start_all(stack, _quiet)

    def keep_key(key: str) -> None:
        environment.write(stack, values | {"PLATFORMBUS_KEY": key})

    scene = await set_scene(values, await operator_key(values, _quiet, keep_key), _quiet)
    bare = await _bare_reads(values, scene, seconds)
    by_http, by_kafka = await _through_the_bus(values, scene, seconds)
    return _report(by_http, by_kafka, bare)


async def _through_the_bus(values: Mapping[str, str], scene: Scene, seconds: int) -> tuple[list[float], list[float]]:
    bootstrap = values["KAFKA_BOOTSTRAP_SERVERS"]
    async with (
        Api(values["INGEST_URL"], scene.key) as ingest,
        Writer(bootstrap, SOURCE) as writer,
        reading(bootstrap, ("ingest.accepted", "batcher.results")) as results,
    ):
        await until_usable(ingest, scene)
        warm = await send_steadily(ingest, writer, scene, _ignore, seconds=3)
        await until_ended(results, warm, _ignore, 60)
        sent: Sent = await send_steadily(ingest, writer, scene, _ignore, seconds=seconds)
        times = await until_ended(results, sent, _ignore, 60)
    by_http = [taken for request, taken in times.items() if request in sent.http]
    return by_http, [taken for request, taken in times.items() if request not in sent.http]


async def _bare_reads(values: Mapping[str, str], scene: Scene, seconds: int) -> list[float]:
    """Read the same objects straight from the platform, one call each, at the same pace."""
    taken: list[float] = []
    async with httpx.AsyncClient(base_url=values["META_GRAPH_URL"], timeout=30, trust_env=False) as client:
        started = time.perf_counter()
        for number in range(seconds * STEADY_PER_SECOND):
            await asyncio.sleep(max(0.0, started + number / STEADY_PER_SECOND - time.perf_counter()))
            object_id = scene.object_ids[number % len(scene.object_ids)]
            at = time.perf_counter()
            await client.get(f"/v26.0/{object_id}", params={"fields": "id,name", "access_token": scene.token})
            taken.append(time.perf_counter() - at)
    return taken


def _report(by_http: Sequence[float], by_kafka: Sequence[float], bare: Sequence[float]) -> int:
    together = [*by_http, *by_kafka]
    print(f"request to result, {STEADY_PER_SECOND}/s sent at once, {len(together)} requests")
    print(f"{'':<28}{'p50 ms':>10}{'p99 ms':>10}{'p99 / bare read':>18}")
    rows = {"asked by HTTP": by_http, "asked by Kafka": by_kafka, "both": together, "bare read of the platform": bare}
    floor = percentile(bare, 0.99)
    for name, times in rows.items():
        p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
        print(f"{name:<28}{p50 * 1e3:>10.1f}{p99 * 1e3:>10.1f}{p99 / floor:>18.1f}")
    p99_ms = percentile(together, 0.99) * 1e3
    verdict = "under" if p99_ms < LIMIT_MS else "NOT under"
    print(f"p99 {p99_ms:.0f} ms is {verdict} the {LIMIT_MS:.0f} ms that are promised")
    return 0 if p99_ms < LIMIT_MS else 1


def _quiet(_: str) -> None:
    return


def _ignore(_: int) -> None:
    return


if __name__ == "__main__":
    sys.exit(main())
