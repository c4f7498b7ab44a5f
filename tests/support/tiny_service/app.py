"""Composition of the tiny service: each part logs its steps, and ends only when told to."""

import asyncio
import logging

from fastapi import APIRouter
from pydantic_settings import SettingsConfigDict

from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.service import Part, ServiceApp
from libs.runtime.settings import ServiceSettings

_log = logging.getLogger("tiny")


class TinySettings(ServiceSettings):
    """Variables with the prefix `TINY_`."""

    model_config = SettingsConfigDict(env_prefix="TINY_")


class Switches:
    """What a test decides: whether work in flight may end, whether a part dies."""

    def __init__(self) -> None:
        self.work_may_end = asyncio.Event()
        self.die = asyncio.Event()


async def build() -> ServiceApp:
    """Build the service; nothing runs yet."""
    settings = TinySettings()
    switches = Switches()
    health = Health()
    return ServiceApp(
        name="tiny_service",
        settings=settings,
        health=health,
        app=create_app("tiny_service", routers=[_router(switches)], health=health),
        parts=[
            Part("consumers", lambda stop: _consumers(stop)),
            Part("workers", lambda stop: _workers(stop, switches)),
            Part("relay", lambda stop: _relay(stop, switches)),
        ],
        close=_close,
    )


def _router(switches: Switches) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.post("/end-work")
    async def end_work() -> str:
        switches.work_may_end.set()
        return "ok"

    @router.post("/die")
    async def die() -> str:
        switches.die.set()
        return "ok"

    return router


async def _consumers(stop: asyncio.Event) -> None:
    await stop.wait()
    _step("consumers stopped")


async def _workers(stop: asyncio.Event, switches: Switches) -> None:
    await stop.wait()
    _step("workers have work in flight")
    await switches.work_may_end.wait()
    _step("workers ended their work")


async def _relay(stop: asyncio.Event, switches: Switches) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (stop, switches.die)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if switches.die.is_set():
        raise RuntimeError("the relay broke")
    _step("relay flushed")


async def _close() -> None:
    _step("pools closed")


def _step(name: str) -> None:
    _log.info("step", extra={"step": name})
