"""The services and the sandbox as processes of the local stack: declared, started, awaited until they are ready."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from deploy.local import environment
from deploy.local.processes import StartFailed
from deploy.local.stack import SERVERS, Stack
from libs.messaging import admin
from libs.messaging.settings import KafkaSettings
from libs.postgres.migrations import migrate_up

ROOT = Path(__file__).parents[2]
SANDBOX = "sandbox"
SANDBOX_PROXY = "sandbox_proxy"
DRAIN_PATIENCE_SECONDS = 45.0
"""A little more than a service takes at most: its budget, the relay's and the closing of its pools."""


def declared() -> tuple[str, ...]:
    """The services of this tree, in the order in which they start."""
    return tuple(name for name in environment.SERVICES if (ROOT / "services" / name / "__main__.py").exists())


async def start_all(stack: Stack, report: Callable[[str], None]) -> dict[str, str]:
    """Migrate, apply the topics, start the sandbox and every service, and return the variables they got.

    The servers must answer already. Raises: StartFailed with the end of the log of the one that did not come up.
    """
    app_secrets = await _start_sandbox(stack, report)
    known_key = environment.read(stack.folder).get("PLATFORMBUS_KEY")
    values = environment.variables(stack, app_secrets=app_secrets, key=known_key)
    environment.write(stack, values)
    await asyncio.gather(migrate(values, report), apply_topics(values, report))
    if "PLATFORMBUS_KEY" not in values and (made := await _make_first_key(values)):
        values["PLATFORMBUS_KEY"] = made
        environment.write(stack, values)
    for name in declared():
        _start_service(stack, name, values)
    for name in declared():
        await _await_ready(stack, name, f"{values[f'{name.upper()}_URL']}/ready")
        report(f"{name}: {values[f'{name.upper()}_URL']}")
    return values


async def migrate(values: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Bring the schema of every service up to date, one after the other."""
    for service in declared():
        applied = await migrate_up(service, values[f"{service.upper()}_OWNER_DSN"])
        if applied:
            report(f"{service}: {len(applied)} migrations applied")


async def apply_topics(values: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Make the broker's topics agree with their declaration."""
    kafka = KafkaSettings(
        bootstrap_servers=values["KAFKA_BOOTSTRAP_SERVERS"],
        replication_factor=int(values["KAFKA_REPLICATION_FACTOR"]),
    )
    changes = await admin.apply_topics(kafka)
    if changes:
        report(f"topics: {len(changes)} differences from the declaration mended")


async def _make_first_key(values: Mapping[str, str]) -> str | None:
    """Make an operators' key, as `platformbus keys bootstrap` does; None if that fails."""
    # --force: a key that was made before and is not kept here is of no use to anybody.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "keys", "bootstrap", "--name", "local stack", "--force", "--json"),
        cwd=ROOT,
        env={**os.environ, **values},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return None if process.returncode else str(json.loads(output)["key"])


async def kill_and_start(stack: Stack, name: str, values: Mapping[str, str]) -> None:
    """SIGKILL a server or a service, start it again, and return when it answers."""
    stack.processes.stop(name, by=signal.SIGKILL)
    if name in SERVERS:
        await stack.start((name,), report=lambda _: None)
        return
    _start_service(stack, name, values)
    await _await_ready(stack, name, f"{values[f'{name.upper()}_URL']}/ready")


def stop_all(stack: Stack) -> list[str]:
    """Stop every service, then the sandbox they call; the names of what was stopped."""
    running = [name for name in declared() if stack.processes.running(name)]

    def stop(name: str) -> bool:
        return stack.processes.stop(name, patience_seconds=DRAIN_PATIENCE_SECONDS)

    # Side by side, and each asked once: a second signal would end a service at once, in the middle of its draining.
    with ThreadPoolExecutor(max(1, len(running))) as pool:
        # One that ran a moment ago and ended before it was asked to is named as well.
        list(pool.map(stop, running))
    return [*running, SANDBOX] if stop(SANDBOX) else running


async def _start_sandbox(stack: Stack, report: Callable[[str], None]) -> dict[str, str]:
    """Start the sandbox and ask it for the apps it made up: id -> secret."""
    if not (ROOT / "services" / SANDBOX / "__main__.py").exists():
        return {}
    url = os.environ.get("SANDBOX_URL")
    if not url:
        if not stack.processes.running(SANDBOX):
            port, proxy_port = stack.ports.get(SANDBOX), stack.ports.get(SANDBOX_PROXY)
            command = [sys.executable, "-m", "services.sandbox", "--port", str(port), "--proxy-port", str(proxy_port)]
            stack.processes.start(SANDBOX, command, port=port, folder=ROOT)
        url = f"http://127.0.0.1:{stack.ports.known(SANDBOX)}"
        await _await_ready(stack, SANDBOX, f"{url}/_sandbox/world")
    async with httpx.AsyncClient(trust_env=False) as client:
        world = (await client.get(f"{url}/_sandbox/world")).json()
    report(f"sandbox: {url}; as HTTPS_PROXY: {world['proxy']}, with the authority {world['ca_file']}")
    return {app["id"]: app["secret"] for app in world["platforms"]["meta"]["apps"]}


def _start_service(stack: Stack, name: str, values: Mapping[str, str]) -> None:
    if stack.processes.running(name):
        return
    port = stack.ports.get(name)
    given = {key: value for key, value in {**os.environ, **values}.items() if not key.endswith("_OWNER_DSN")}
    # A service has no business with the owner's or the superuser's rights: what it is not given it cannot leak.
    given.pop("POSTGRES_ADMIN_DSN", None)
    given[f"{name.upper()}_PORT"] = str(port)
    stack.processes.start(name, [sys.executable, "-m", f"services.{name}"], port=port, environment=given, folder=ROOT)


async def _await_ready(stack: Stack, name: str, url: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    said = "nothing listens yet"
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            try:
                answer = await client.get(url)
                if answer.status_code == 200:
                    return
                said = f"{answer.status_code} {answer.text[:500]}"
            except httpx.HTTPError as error:
                said = repr(error)
            if not stack.processes.running(name):
                raise StartFailed(f"{name} ended while starting\n{stack.processes.log_tail(name)}")
            await asyncio.sleep(0.05)
    raise StartFailed(f"{name} is not ready: {said}\n{stack.processes.log_tail(name)}")


def status(stack: Stack) -> list[dict[str, object]]:
    """One entry per process that was ever started and not stopped: name, whether it runs, port, process number."""
    entries: list[dict[str, object]] = []
    for name in stack.processes.names():
        record = stack.processes.recorded(name)
        alive = stack.processes.running(name) is not None
        if record:
            entries.append(
                json.loads(json.dumps({"name": name, "alive": alive, "port": record.port, "pid": record.pid}))
            )
    return entries
