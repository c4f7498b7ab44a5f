"""What every composition root does alike: open the two pools, close what was opened, name this process."""

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

from libs.postgres import Database
from libs.runtime.service import ServiceApp
from libs.runtime.settings import ServiceSettings

Opening = Callable[[AsyncExitStack], Awaitable[ServiceApp]]
"""Builds a service and leaves to the stack whatever must be closed; the stack's `aclose` is the service's `close`."""


async def open_service(opening: Opening) -> ServiceApp:
    """Build a service. What was opened is closed by the frame in the end, or here when the rest cannot be built."""
    opened = AsyncExitStack()
    try:
        return await opening(opened)
    except BaseException:
        await opened.aclose()
        raise


async def open_databases(opened: AsyncExitStack, settings: ServiceSettings, service: str) -> tuple[Database, Database]:
    """Open the worker's pool and the api's. Raises WrongRole for a DSN of another role."""
    worker = await Database.connect(
        settings.worker_dsn.get_secret_value(),
        role="worker",
        max_size=settings.pool_max_size,
        application_name=service,
    )
    opened.push_async_callback(worker.close)
    api = await Database.connect(
        settings.api_dsn.get_secret_value(), role="api", max_size=settings.pool_max_size, application_name=service
    )
    opened.push_async_callback(api.close)
    return worker, api


def name_process(service: str) -> str:
    """Name this start of this process, as which it holds leases and runs jobs: no other ever has the same name."""
    return f"{service}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
