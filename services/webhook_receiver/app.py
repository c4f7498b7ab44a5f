"""Composition root: settings -> pools, keys -> handlers, API and parts; nothing else builds things."""

import os
import socket
from contextlib import AsyncExitStack
from typing import Literal
from uuid import uuid4

from libs.jobs import Scheduler
from libs.messaging.consumer import Consumer
from libs.messaging.relay import Relay
from libs.messaging.settings import KafkaSettings
from libs.platforms.registry import PlatformSettings
from libs.postgres import Database
from libs.runtime.admin import AdminDeps, admin_router
from libs.runtime.auth import Authenticator
from libs.runtime.checks import service_health
from libs.runtime.http import create_app
from libs.runtime.service import Part, ServiceApp, hide_settings
from libs.runtime.trace import trace_router
from libs.security.sealing import KeyRing
from libs.telemetry.redaction import register_secret
from services.webhook_receiver import __doc__ as card
from services.webhook_receiver.api import ApiDeps, build_routers
from services.webhook_receiver.handlers import jobs, routes
from services.webhook_receiver.settings import WebhookReceiverSettings
from services.webhook_receiver.store.trace import find_steps
from services.webhook_receiver.usecases import keeping

SERVICE = "webhook_receiver"


async def build() -> ServiceApp:
    """Read the settings and build the service; nothing runs yet."""
    settings, kafka, platform_settings = WebhookReceiverSettings(), KafkaSettings(), PlatformSettings()
    hide_settings(kafka)
    for secret in (
        *platform_settings.secrets,
        *(token.get_secret_value() for token in settings.verify_tokens.values()),
    ):
        register_secret(secret)
    opened = AsyncExitStack()  # closed by the frame, or here when something could not be opened
    try:
        return await _build(opened, settings, kafka)
    except BaseException:
        await opened.aclose()
        raise


async def _build(opened: AsyncExitStack, settings: WebhookReceiverSettings, kafka: KafkaSettings) -> ServiceApp:
    ring = KeyRing.from_file(settings.kek_file)
    database = await _database(opened, settings, "worker")
    api_database = await _database(opened, settings, "api")
    async with database.transaction() as conn:  # a service that was away for months must not begin without this month
        await keeping.make_partitions(conn)
    consumer = Consumer(service=SERVICE, database=database, kafka=kafka, routes=routes())
    relay = Relay(worker_dsn=settings.worker_dsn.get_secret_value(), kafka=kafka, service=SERVICE)
    owner = f"{SERVICE}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    scheduler = Scheduler(database, jobs(), owner)
    health = service_health(SERVICE, database, api_database, consumer, relay)
    admin = AdminDeps(service=SERVICE, database=database, scheduler=scheduler, routes=routes(), reannounce={})
    app = create_app(
        SERVICE,
        routers=[
            *build_routers(ApiDeps(database, ring, _nothing_to_tell)),
            admin_router(admin),
            trace_router(SERVICE, database, find_steps),
        ],
        health=health,
        authenticator=Authenticator(database),
        max_body_bytes=settings.max_body_bytes,
        description=card or "",
    )
    parts = [Part("consumers", consumer.run), Part("jobs", scheduler.run), Part("relay", relay.run)]
    return ServiceApp(name=SERVICE, settings=settings, health=health, app=app, parts=parts, close=opened.aclose)


async def _database(
    opened: AsyncExitStack, settings: WebhookReceiverSettings, role: Literal["worker", "api"]
) -> Database:
    dsn = settings.worker_dsn if role == "worker" else settings.api_dsn
    database = await Database.connect(
        dsn.get_secret_value(),
        role=role,
        max_size=settings.pool_max_size,
        application_name=SERVICE,
    )
    opened.push_async_callback(database.close)
    return database


async def _nothing_to_tell() -> None:
    """Nothing of this process holds apps in memory yet."""
