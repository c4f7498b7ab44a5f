"""Composition root: settings -> pools, keys -> handlers, API and parts; nothing else builds things."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from libs.jobs import Scheduler
from libs.messaging.consumer import Consumer
from libs.messaging.relay import Relay
from libs.messaging.settings import KafkaSettings
from libs.platforms.registry import PlatformSettings, build_platforms
from libs.postgres.group_commit import GroupCommit
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
from libs.work_queue import Worker
from services.webhook_receiver import __doc__ as card
from services.webhook_receiver.api import ApiDeps, build_routers
from services.webhook_receiver.api.edge import Edge, EdgeLimits
from services.webhook_receiver.handlers import (
    Deps,
    give_shards_back,
    jobs,
    keep_fresh,
    keep_measuring,
    make_months,
    on_due_deliveries,
    refresh_apps,
    routes,
)
from services.webhook_receiver.settings import WebhookReceiverSettings
from services.webhook_receiver.store.trace import find_steps
from services.webhook_receiver.usecases.arriving import Refusals, keep_arrivals
from services.webhook_receiver.usecases.directory import AppDirectory
from services.webhook_receiver.usecases.shards import Shards

SERVICE = "webhook_receiver"


async def build() -> ServiceApp:
    """Read the settings and build the service; nothing runs yet."""
    settings, kafka, platform_settings = WebhookReceiverSettings(), KafkaSettings(), PlatformSettings()
    hide_settings(kafka)
    for secret in (*platform_settings.secrets, *settings.verify_tokens_by_app.values()):
        register_secret(secret)
    return await open_service(partial(_build, settings, kafka, platform_settings))


async def _build(
    settings: WebhookReceiverSettings, kafka: KafkaSettings, platform_settings: PlatformSettings, opened: AsyncExitStack
) -> ServiceApp:
    ring = KeyRing.from_file(settings.kek_file)
    database, api_database = await open_databases(opened, settings, SERVICE)
    await make_months(database)
    platforms = build_platforms(None, platform_settings)  # what a webhook needs of a platform does no I/O
    directory = AppDirectory(
        ring, platforms, secrets=platform_settings.app_secrets, verify_tokens=settings.verify_tokens_by_app
    )
    await refresh_apps(directory, database)
    owner = name_process(SERVICE)
    deps = Deps(
        database=database,
        platforms=platforms,
        ring=ring,
        shards=Shards(owner),
        store_raw=settings.store_raw,
        retention_days=settings.retention_days,
    )
    # A process that does not get the deliveries itself learns of them by looking.
    worker = Worker(
        "deliveries",
        partial(on_due_deliveries, deps),
        idle_max_seconds=0.1,
        failure_base_seconds=0.2,
        failure_cap_seconds=3.0,  # after an outage everything waits for this one loop
    )
    consumer = Consumer(service=SERVICE, database=database, kafka=kafka, routes=routes())
    relay = Relay(worker_dsn=settings.worker_dsn.get_secret_value(), kafka=kafka, service=SERVICE)
    scheduler = Scheduler(database, jobs(deps), owner)
    health = service_health(SERVICE, database, api_database, consumer, relay)
    age = worker.last_round_age_seconds
    health.add_tick("deliveries", age, limit_seconds=WORKER_AGE_LIMIT_SECONDS, part="workers")
    api_deps = ApiDeps(database, ring, partial(refresh_apps, directory, database), directory.in_settings, worker.wake)
    admin = AdminDeps(SERVICE, database, scheduler, routes(), {}, kafka.parked_max_attempts)
    app = create_app(
        SERVICE,
        routers=[
            *build_routers(api_deps),
            admin_router(admin),
            trace_router(SERVICE, database, find_steps),
        ],
        health=health,
        authenticator=Authenticator(database),
        max_body_bytes=settings.max_body_bytes,
        description=card or "",
    )
    commit = GroupCommit(api_database, partial(keep_arrivals, worker.wake), name="webhooks")
    opened.push_async_callback(commit.close)
    refusals = Refusals(api_database, per_minute=settings.refusals_kept_per_minute)
    edge = Edge(
        app,
        directory=directory,
        commit=commit,
        refusals=refusals,
        limits=EdgeLimits(body_bytes=settings.max_body_bytes, max_delayed=settings.max_concurrent_requests // 2),
    )
    parts = [
        Part("http", partial(keep_fresh, directory, database)),
        Part("http", refusals.run),
        Part("consumers", consumer.run),
        Part("workers", partial(_work, deps, worker)),
        Part("jobs", scheduler.run),
        Part("jobs", partial(keep_measuring, deps)),
        Part("jobs", partial(measure_tables, database, scheduler.job_names)),
        Part("relay", relay.run),
    ]
    return ServiceApp(name=SERVICE, settings=settings, health=health, app=edge, parts=parts, close=opened.aclose)


async def _work(deps: Deps, worker: Worker, stop: asyncio.Event) -> None:
    """Process deliveries until told to stop."""
    await worker.run(stop)
    await give_shards_back(deps)
