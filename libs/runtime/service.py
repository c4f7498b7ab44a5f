"""The life of a service's process: start its parts, notice when one dies, drain in order, say how it ended.

    signal -> readiness off -> consumers, workers and jobs take nothing new and end what is in flight, within the budget
           -> http closes, after the notice that load balancers need, and answers what is in flight
           -> relay publishes what all that appended, gives its leases back, flushes -> pools close -> exit 0

Exit codes: 0 drained; 1 a part died or could not start, or the budget ran out; 2 wrong arguments or settings;
128 + n for a second signal n, which ends the process at once.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal, NoReturn, get_args
from urllib.parse import urlsplit

import uvloop
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsError
from starlette.types import ASGIApp

from libs.messaging.kafka_connections import mend_broken_connections
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.loop_watch import LoopWatch
from libs.runtime.server import HttpServer
from libs.runtime.settings import ServiceSettings
from libs.telemetry.logging import configure_logging
from libs.telemetry.metrics import gauge
from libs.telemetry.redaction import redact_text, register_secret
from libs.telemetry.tracing import configure_tracing, shutdown_tracing

PartName = Literal["http", "consumers", "relay", "workers", "jobs"]
PART_NAMES: tuple[PartName, ...] = get_args(PartName)
Run = Callable[[asyncio.Event], Awaitable[None]]
RELAY_SECONDS = 10.0
CLOSE_SECONDS = 10.0
GC_THRESHOLDS = (10_000, 20, 50)
"""Python's own 700 walks again and again over all that hundreds of requests in flight have made: 5 to 9 % of the edge's
time at 256 connections (benchmarks/webhook_ack.py)."""
_WATCH = "loop watch"
VERSION = "0.1.0"
"""As pyproject.toml says; a test compares."""
INFO = gauge("service_info", "1; what this process is and which of its parts run here", ["version", "parts"])

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """Something that runs until `stop` is set, then ends its work in flight, gives its leases back and returns.

    Returning or raising before `stop` is set means that it died, and takes the process down.
    """

    name: PartName
    run: Run


@dataclass(frozen=True, slots=True)
class ServiceApp:
    """What a service's `app.py` builds: everything constructed, nothing running yet."""

    name: str
    settings: ServiceSettings
    health: Health
    app: ASGIApp
    parts: Sequence[Part]
    """Without http: the frame serves `app` itself, and only its probes when `--only` leaves http out."""
    close: Callable[[], Awaitable[None]]
    """Closes pools and clients, after every part has ended."""


@dataclass(slots=True)
class _Running:
    part: str
    task: asyncio.Task[None]
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def main(card: ModuleType, build: Callable[[], Awaitable[ServiceApp]]) -> NoReturn:
    """Run a service from the command line until it is told to stop: the second line of every `__main__.py`.

    `card` is the service's package: its docstring is the help text, its last name the service's name.
    """
    service = card.__name__.rpartition(".")[2]
    only = parse_only(card, sys.argv[1:])
    configure_logging(service)
    try:
        mend_broken_connections()
        code = uvloop.run(run_service(build, only=only))
    except ValidationError as error:
        code = _wrong_settings(error)
    except SettingsError as error:
        _log.error("a setting cannot be read: %s", error)
        code = 2
    finally:
        shutdown_tracing()
        logging.shutdown()
    sys.exit(code)


def parse_only(card: ModuleType, arguments: Sequence[str]) -> frozenset[PartName]:
    """Read `--only http,consumers`; without it all parts. Exits with 2 and a message for an unknown part."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {card.__name__}",
        description=card.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="PARTS", help=f"comma-separated parts to run, of: {', '.join(PART_NAMES)}")
    only = parser.parse_args(arguments).only
    if only is None:
        return frozenset(PART_NAMES)
    chosen = {name.strip() for name in only.split(",")}
    unknown = sorted(chosen - set(PART_NAMES))
    if unknown:
        parser.error(f"unknown part {', '.join(unknown)}; there are: {', '.join(PART_NAMES)}")
    return frozenset(name for name in PART_NAMES if name in chosen)


async def run_service(
    build: Callable[[], Awaitable[ServiceApp]], *, only: frozenset[PartName] = frozenset(PART_NAMES)
) -> int:
    """Build a service, run the chosen parts until a signal or a death, drain, and give the exit code."""
    signals = _Signals()
    signals.install()
    service = await build()
    settings = service.settings
    configure_logging(service.name, settings.log_level)
    hide_settings(settings)
    configure_tracing(service.name, spans_file=settings.spans_file, otlp_endpoint=settings.otlp_endpoint)
    asyncio.get_running_loop().set_exception_handler(_on_loop_error)
    watch = LoopWatch()
    service.health.add_live("event loop", watch.check)
    service.health.run_parts(only)
    INFO.labels(VERSION, ",".join(sorted(only))).set(1)
    gc.collect()
    gc.freeze()  # what start-up built stays for good: no collection need walk over it (benchmarks/consumer.py)
    gc.set_threshold(*GC_THRESHOLDS)
    running = [_start(name, run) for name, run in _chosen_parts(service, only, watch)]
    _log.info("started", extra={"parts": sorted(only), "pid": os.getpid()})
    try:
        died = await _until_signal_or_death(signals.first, running)
        service.health.draining = True
        _log.info("draining", extra={"budget_seconds": settings.drain_seconds, "died": died})
        drained = await _drain(running, settings)
    finally:
        await _close(service)
    code = 0 if drained and not died else 1
    _log.info("stopped", extra={"exit_code": code})
    return code


def hide_settings(settings: BaseSettings) -> None:
    """Keep the values of secret settings out of logs and errors, whatever they look like; of a DSN its password too.

    The frame does this for a service's own settings; `app.py` calls it for the others that it reads.
    """
    for value in dict(settings).values():
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            register_secret(secret)
            register_secret(_password_of(secret))


class _Signals:
    """The first SIGTERM or SIGINT asks to drain, the second ends the process at once."""

    def __init__(self) -> None:
        self.first = asyncio.Event()

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self.first.is_set():
            _log.warning("second signal: ending at once", extra={"signal": number.name})
            logging.shutdown()
            os._exit(128 + number)
        _log.info("signal", extra={"signal": number.name})
        self.first.set()


def _chosen_parts(service: ServiceApp, only: frozenset[PartName], watch: LoopWatch) -> list[tuple[str, Run]]:
    """Give what runs in this process: the chosen parts, the HTTP server of all routes or of probes only, the watch."""
    serves_all = "http" in only
    app = service.app if serves_all else create_app(service.name, routers=[], health=service.health)
    return [
        *((part.name, part.run) for part in service.parts if part.name in only),
        ("http" if serves_all else "probes", HttpServer(app, service.settings).run),
        (_WATCH, watch.run),
    ]


def _start(name: str, run: Run) -> _Running:
    stop = asyncio.Event()

    async def run_part() -> None:
        await run(stop)

    return _Running(name, asyncio.create_task(run_part(), name=name), stop)


async def _until_signal_or_death(signalled: asyncio.Event, running: list[_Running]) -> str | None:
    """Wait; give the name of a part that ended without being asked, after logging why."""
    waiting = asyncio.create_task(signalled.wait())
    try:
        await asyncio.wait([waiting, *(each.task for each in running)], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    dead = [each for each in running if each.task.done()]
    for each in dead:
        error = None if each.task.cancelled() else each.task.exception()
        _log.error("a part died, so the process ends", exc_info=error, extra={"part": each.part})
    return dead[0].part if dead else None


async def _drain(running: list[_Running], settings: ServiceSettings) -> bool:
    """Stop the parts in order; give whether all of them ended by themselves.

    http goes on while the workers end, so that `/ready` says what happens; the relay comes last, because it carries
    away what the others leave behind.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    edges, last = {"http", "probes"}, {"relay", _WATCH}
    drained = await _stop([each for each in running if each.part not in edges | last], settings.drain_seconds)
    await asyncio.sleep(max(0.0, settings.drain_notice_seconds - (loop.time() - started)))
    left = max(1.0, settings.drain_seconds - (loop.time() - started))
    drained = await _stop([each for each in running if each.part in edges], left) and drained
    return await _stop([each for each in running if each.part in last], RELAY_SECONDS) and drained


async def _stop(parts: list[_Running], budget_seconds: float) -> bool:
    for each in parts:
        each.stop.set()
    tasks = {each.task: each for each in parts if not each.task.done()}
    if not tasks:
        return True
    done, late = await asyncio.wait(tasks, timeout=budget_seconds)
    for task in late:
        _log.error("a part did not end in time and is cancelled", extra={"part": tasks[task].part})
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1.0)
    failed = [task for task in done if not task.cancelled() and task.exception() is not None]
    for task in failed:
        _log.error("a part failed while it ended", exc_info=task.exception(), extra={"part": tasks[task].part})
    return not late and not failed


async def _close(service: ServiceApp) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await service.close()
    except TimeoutError:
        _log.error("pools and clients did not close in time")


def _password_of(dsn: str) -> str:
    try:
        return urlsplit(dsn).password or ""
    except ValueError:
        return ""


def _on_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    _log.error(
        "an error that nobody awaited: %s",
        context.get("message"),
        exc_info=error if isinstance(error, BaseException) else None,
    )


def _wrong_settings(error: ValidationError) -> int:
    """Name what is wrong without the values: one of them may be a secret."""
    for item in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in item["loc"])
        _log.error("a setting is wrong: %s %s", name, redact_text(item["msg"]))
    return 2
