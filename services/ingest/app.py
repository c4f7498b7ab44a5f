"""Composition root: builds everything that ingest runs with, and starts nothing."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from libs.jobs.scheduler import Scheduler
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
from libs.telemetry.redaction import register_secret
from services.ingest.api import ApiDeps, build_routers
from services.ingest.handlers import REANNOUNCE, Deps, jobs, routes
from services.ingest.settings import IngestSettings
from services.ingest.store.trace import find_steps

NAME: Final = "ingest"


async def build() -> ServiceApp:
    """Build the service from its environment. Raises ValidationError for settings, WrongRole for a wrong DSN."""
    settings, kafka, platform_settings = IngestSettings(), KafkaSettings(), PlatformSettings()
    hide_settings(kafka)
    for secret in platform_settings.secrets:
        register_secret(secret)
    return await open_service(partial(_build, settings, kafka, platform_settings))


async def _build(
    settings: IngestSettings, kafka: KafkaSettings, platform_settings: PlatformSettings, opened: AsyncExitStack
) -> ServiceApp:
    worker, api = await open_databases(opened, settings, NAME)
    # Only `batching.plan` is asked of the platforms here, which calls nobody.
    platforms = build_platforms(None, platform_settings)
    deps = Deps(platforms, settings.result_limit_bytes, settings.request_keep_days, settings.webhook_keep_days)
    service_routes = routes(deps)
    consumer = Consumer(service=NAME, database=worker, kafka=kafka, routes=service_routes, group_id=NAME)
    relay = Relay(worker_dsn=settings.worker_dsn.get_secret_value(), kafka=kafka, service=NAME)
    scheduler = Scheduler(worker, jobs(deps), name_process(NAME))
    authenticator = Authenticator(worker)
    health = service_health(NAME, worker, api, consumer, relay)
    app = create_app(
        NAME,
        routers=[
            *build_routers(ApiDeps(api, worker, authenticator, platforms)),
            admin_router(AdminDeps(NAME, worker, scheduler, service_routes, REANNOUNCE, kafka.parked_max_attempts)),
            trace_router(NAME, worker, find_steps),
        ],
        health=health,
        authenticator=authenticator,
        max_body_bytes=settings.max_body_bytes,
    )

    return ServiceApp(
        name=NAME,
        settings=settings,
        health=health,
        app=app,
        parts=[
            Part("consumers", consumer.run),
            Part("relay", relay.run),
            Part("jobs", scheduler.run),
            Part("jobs", partial(measure_tables, worker, scheduler.job_names)),
        ],
        close=opened.aclose,
    )
