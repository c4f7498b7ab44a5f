"""What the sandbox itself costs a caller. `python -m benchmarks.sandbox [rounds]`.

200 calls per second by the clock over 20 kept connections, the server on one core, the client on the others: a simple
read by prefix, the same through the proxy's TLS, a page of 25 campaigns, and beside them uvicorn with nothing behind
it, which answers as many bytes. Latency counts from the moment at which a call was due. Then the time until a world of
a million objects answers.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.support.frame import Meter, Results, Verdict, percentiles, print_versions

RATE = 200
SECONDS = 5
CONNECTIONS = 20
GOAL_OVERHEAD_MS = 3.0
GOAL_START_SECONDS = 20.0
GOAL_OBJECTS = 1_000_000
GRAPH = "graph.facebook.com"

BARE = "uvicorn that does nothing"
SIMPLE = "sandbox, one object, by prefix"
PROXIED = "sandbox, one object, through the proxy"
PAGE = "sandbox, a page of 25 campaigns, by prefix"


@dataclass(frozen=True, slots=True)
class Target:
    """What is called, and how its port is reached."""

    port: int
    path: str
    host: str
    trusted: ssl.SSLContext | None = None
    """Through CONNECT and TLS, if given."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        if self.trusted is not None:
            writer.write(f"CONNECT {self.host}:443 HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            await writer.start_tls(self.trusted, server_hostname=self.host)
        return reader, writer

    @property
    def request(self) -> bytes:
        return f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: */*\r\n\r\n".encode()


async def latencies(target: Target, seconds: float) -> list[float]:
    """Milliseconds of every call, from the moment at which it was due. Raises: AssertionError unless all are 200."""
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await target.connect())
    took: list[float] = []
    began = time.perf_counter()

    async def call(due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        reader, writer = await idle.get()
        writer.write(target.request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        took.append((time.perf_counter() - due) * 1000)
        idle.put_nowait((reader, writer))

    await asyncio.gather(*(call(began + number / RATE) for number in range(int(RATE * seconds))))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return took


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A server on the last core alone; its first line is for the caller to read."""
    core = max(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(15)


def first_line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def sandbox_targets(ready: dict[str, Any]) -> dict[str, Target]:
    meta = httpx.get(f"{ready['url']}/_sandbox/world", trust_env=False).json()["platforms"]["meta"]
    httpx.post(f"{ready['url']}/_sandbox/limits", json={"enforced": False}, trust_env=False).raise_for_status()
    token = next(row for row in meta["tokens"] if row["id"] == "user_main")
    accounts = [row for row in meta["accounts"] if row["type"] == "ad_account"]
    biggest = max(accounts, key=lambda row: row["children"]["campaigns"])["id"]
    secret = f"access_token={token['access_token']}"
    port, proxy = (int(urlsplit(ready[name]).port or 0) for name in ("url", "proxy"))
    trusted = ssl.create_default_context(cafile=ready["ca_file"])
    one, page = (
        f"/v26.0/{biggest}?fields=id,name&{secret}",
        f"/v26.0/{biggest}/campaigns?fields=id,name,status&{secret}",
    )
    return {
        SIMPLE: Target(port, f"/{GRAPH}{one}", f"127.0.0.1:{port}"),
        PROXIED: Target(proxy, one, GRAPH, trusted),
        PAGE: Target(port, f"/{GRAPH}{page}", f"127.0.0.1:{port}"),
    }


def start_large() -> tuple[float, int]:
    """Seconds until a large world has answered, and how many objects it counts."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with started("services.sandbox", "--size", "large", "--ready-file", str(Path(folder) / "ready")) as process:
            ready = first_line(process)
            world = httpx.get(f"{ready['url']}/_sandbox/world", trust_env=False, timeout=120).json()
            took = time.perf_counter() - began
    accounts = world["platforms"]["meta"]["accounts"]
    return took, len(accounts) + sum(sum(row["children"].values()) for row in accounts)


async def main(rounds: int) -> int:
    print_versions("sandbox")
    results, verdict = Results("us p50"), Verdict()
    medians: dict[str, list[float]] = {}
    with started("services.sandbox") as sandbox, started("benchmarks.support.bare_http", "120") as bare:
        targets = {BARE: Target(first_line(bare), "/", "127.0.0.1"), **sandbox_targets(first_line(sandbox))}
        for target in targets.values():
            await latencies(target, 1)
        for number in range(rounds):
            print(f" round {number + 1}")
            for name, target in targets.items():
                with Meter() as meter:
                    p50, p99 = percentiles(await latencies(target, SECONDS), 50, 99)
                results.add(name, p50 * 1000, meter, f"p99 {p99:.1f} ms")
                medians.setdefault(name, []).append(p50)
    for name in (SIMPLE, PROXIED, PAGE):
        over = [ours - theirs for ours, theirs in zip(medians[name], medians[BARE], strict=True)]
        goal = verdict.at_most if name != PAGE else None
        ratio = results.ratio(name, BARE)
        if goal:
            goal(
                f"{name}: ms p50 over {BARE} ({ratio:.1f} times)", sorted(over)[len(over) // 2], GOAL_OVERHEAD_MS, over
            )
        else:
            print(f"  {name}: {sorted(over)[len(over) // 2]:.2f} ms p50 over {BARE} ({ratio:.1f} times)")
    took, objects = start_large()
    verdict.at_least("objects of a large world, millions", objects / 1e6, GOAL_OBJECTS / 1e6)
    verdict.at_most("seconds until it answers", took, GOAL_START_SECONDS)
    return verdict.failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)))
