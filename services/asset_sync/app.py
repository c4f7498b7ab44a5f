"""Composition root: settings -> pools, platforms, keys -> handlers, API and parts; nothing else builds things."""

from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from libs.http.client import new_client
from libs.jobs import Scheduler
from libs.messaging.consumer import Consumer
from libs.messaging.relay import Relay
from libs.messaging.settings import KafkaSettings
from libs.platforms.registry import PlatformSettings, build_platforms
from libs.runtime.admin import AdminDeps, admin_router
from libs.runtime.auth import Authenticator
from libs.runtime.checks import service_health
from libs.runtime.http import create_app
from libs.runtime.measuring import measure_tables
from libs.runtime.opening import name_process, open_databases, open_service
from libs.runtime.service import Part, ServiceApp, hide_settings
from libs.runtime.trace import trace_router
from libs.security.sealing import KeyRing
from libs.telemetry.redaction import register_secret
from services.asset_sync import __doc__ as card
from services.asset_sync.api import ApiDeps, build_routers
from services.asset_sync.handlers import REANNOUNCE, Deps, jobs, keep_measuring, routes
from services.asset_sync.settings import AssetSyncSettings
from services.asset_sync.usecases.tracing import find_steps

SERVICE = "asset_sync"


async def build() -> ServiceApp:
    """Read the settings and build the service; nothing runs yet."""
    settings, kafka, platform_settings = AssetSyncSettings(), KafkaSettings(), PlatformSettings()
    hide_settings(kafka)
    for secret in platform_settings.secrets:
        register_secret(secret)
    return await open_service(partial(_build, settings, kafka, platform_settings))


async def _build(
    settings: AssetSyncSettings, kafka: KafkaSettings, platform_settings: PlatformSettings, opened: AsyncExitStack
) -> ServiceApp:
    ring = KeyRing.from_file(settings.kek_file)
    database, api_database = await open_databases(opened, settings, SERVICE)
    http = new_client(allowed_base_urls=platform_settings.base_urls)
    opened.push_async_callback(http.aclose)
    expiring = timedelta(days=settings.expiring_days)
    deps = Deps(database, ring, expiring, settings.aging_interval_seconds)
    api_deps = ApiDeps(
        database=api_database,
        worker_database=database,
        platforms=build_platforms(http, platform_settings),
        ring=ring,
        inspect_timeout_seconds=settings.inspect_timeout_seconds,
        expiring=expiring,
    )
    consumer = Consumer(service=SERVICE, database=database, kafka=kafka, routes=routes())
    relay = Relay(worker_dsn=settings.worker_dsn.get_secret_value(), kafka=kafka, service=SERVICE)
    owner = name_process(SERVICE)
    scheduler = Scheduler(database, jobs(deps), owner)
    health = service_health(SERVICE, database, api_database, consumer, relay)
    admin = AdminDeps(SERVICE, database, scheduler, routes(), REANNOUNCE, kafka.parked_max_attempts)
    app = create_app(
        SERVICE,
        routers=[*build_routers(api_deps), admin_router(admin), trace_router(SERVICE, database, find_steps)],
        health=health,
        authenticator=Authenticator(database),
        max_body_bytes=settings.max_body_bytes,
        description=card or "",
    )
    parts = [
        Part("consumers", consumer.run),
        Part("jobs", partial(keep_measuring, deps)),
        Part("jobs", scheduler.run),
        Part("jobs", partial(measure_tables, database, scheduler.job_names)),
        Part("relay", relay.run),
    ]
    return ServiceApp(name=SERVICE, settings=settings, health=health, app=app, parts=parts, close=opened.aclose)
