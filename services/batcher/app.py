"""Composition root: settings -> pools, platforms, limiter, keys -> handlers and parts; nothing else builds things."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from libs.http.client import new_client
from libs.jobs import Scheduler
from libs.messaging.consumer import Consumer
from libs.messaging.relay import Relay
from libs.messaging.settings import KafkaSettings
from libs.platforms.registry import PlatformSettings, build_platforms
from libs.quota.limiter import Limiter
from libs.runtime.admin import AdminDeps, admin_router
from libs.runtime.auth import Authenticator
from libs.runtime.checks import WORKER_AGE_LIMIT_SECONDS, service_health
from libs.runtime.http import create_app
from libs.runtime.measuring import measure_tables
from libs.runtime.opening import name_process, open_databases, open_service
from libs.runtime.service import Part, ServiceApp, hide_settings
from libs.runtime.trace import trace_router
from libs.security.sealing import KeyRing
from libs.telemetry.redaction import register_secret
from libs.vocabulary import PlatformName
from libs.work_queue import Worker
from services.batcher import __doc__ as card
from services.batcher.api import ApiDeps, build_routers
from services.batcher.handlers import MEASURE_SECONDS, Deps, jobs, on_due_calls, on_measure, routes
from services.batcher.settings import BatcherSettings, PlatformSwitches
from services.batcher.store.trace import find_steps
from services.batcher.usecases.settling import Limits

SERVICE = "batcher"
DAY_SECONDS = 86_400.0


async def build() -> ServiceApp:
    """Read the settings and build the service; nothing runs yet."""
    settings, kafka, platform_settings = BatcherSettings(), KafkaSettings(), PlatformSettings()
    hide_settings(kafka)
    for secret in platform_settings.secrets:
        register_secret(secret)
    return await open_service(partial(_build, settings, kafka, platform_settings))


async def _build(
    settings: BatcherSettings, kafka: KafkaSettings, platform_settings: PlatformSettings, opened: AsyncExitStack
) -> ServiceApp:
    ring = KeyRing.from_file(settings.kek_file)
    database, api_database = await open_databases(opened, settings, SERVICE)
    http = new_client(allowed_base_urls=platform_settings.base_urls)
    opened.push_async_callback(http.aclose)
    limiter = Limiter(settings.valkey_url)
    opened.push_async_callback(limiter.close)
    platforms = build_platforms(http, platform_settings)
    enabled = _enabled(settings)
    owner = name_process(SERVICE)
    deps = Deps(
        database=database,
        platforms=platforms,
        enabled=enabled,
        ring=ring,
        limiter=limiter,
        limits=_limits(settings),
        worker=owner,
        lease_seconds=settings.lease_seconds,
        call_timeout_seconds=settings.call_timeout_seconds,
        retention_seconds=settings.retention_days * DAY_SECONDS,
        log_requests=settings.log_requests,
    )
    consumer = Consumer(service=SERVICE, database=database, kafka=kafka, routes=routes(deps))
    relay = Relay(worker_dsn=settings.worker_dsn.get_secret_value(), kafka=kafka, service=SERVICE)
    scheduler = Scheduler(database, jobs(deps), owner)
    # A round that finds nothing is some index probes; an urgent read waits for the next one, of any worker.
    workers = [
        Worker(f"calls-{number}", partial(on_due_calls, deps), idle_max_seconds=0.1)
        for number in range(settings.workers)
    ]
    health = service_health(SERVICE, database, api_database, consumer, relay)
    health.add_tick(
        "calls",
        lambda: max(worker.last_round_age_seconds() for worker in workers),
        limit_seconds=max(WORKER_AGE_LIMIT_SECONDS, 2 * settings.lease_seconds),  # a round ends with its lease
        part="workers",
    )
    admin = AdminDeps(SERVICE, database, scheduler, routes(deps), {}, kafka.parked_max_attempts)
    app = create_app(
        SERVICE,
        routers=[
            *build_routers(ApiDeps(api_database, database, platforms, enabled)),
            admin_router(admin),
            trace_router(SERVICE, database, find_steps),
        ],
        health=health,
        authenticator=Authenticator(database),
        max_body_bytes=settings.max_body_bytes,
        description=card or "",
    )
    parts = [
        Part("consumers", consumer.run),
        Part("workers", partial(_work, workers)),
        Part("jobs", scheduler.run),
        Part("jobs", partial(_measure, deps)),
        Part("jobs", partial(measure_tables, database, scheduler.job_names)),
        Part("relay", relay.run),
    ]
    return ServiceApp(name=SERVICE, settings=settings, health=health, app=app, parts=parts, close=opened.aclose)


async def _measure(deps: Deps, stop: asyncio.Event) -> None:
    """Measure the queue beside the loops that empty it: their death must be seen."""
    worker = Worker(
        "measure", partial(on_measure, deps), idle_min_seconds=MEASURE_SECONDS, idle_max_seconds=MEASURE_SECONDS
    )
    await worker.run(stop)


async def _work(workers: Sequence[Worker], stop: asyncio.Event) -> None:
    """Run the loops that send until told to stop."""
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run(stop))


def _enabled(settings: BatcherSettings) -> Sequence[PlatformName]:
    return PlatformSwitches().on() if settings.enabled else ()


def _limits(settings: BatcherSettings) -> Limits:
    return Limits(
        max_attempts=settings.max_attempts,
        retry_base_seconds=settings.retry_base_seconds,
        retry_cap_seconds=settings.retry_cap_seconds,
        give_up_seconds=settings.give_up_seconds,
        connection_wait_seconds=settings.connection_wait_seconds,
        token_wait_seconds=settings.token_wait_seconds,
    )
