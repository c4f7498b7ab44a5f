"""uvicorn inside our process: bounded, silent, and without its own handling of signals."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.runtime.cycle import Cycle
from libs.runtime.limits import ProtocolLimits
from libs.runtime.observe import PROBES
from libs.runtime.problems import problem_response, unavailable
from libs.runtime.protocol import LimitedProtocol
from libs.runtime.room import Room
from libs.runtime.settings import ServiceSettings
from libs.telemetry.metrics import counter

CONNECTIONS_PER_REQUEST = 4
"""Connections are bounded too, but idle ones cost little."""
BACKLOG = 512
REFUSED = counter("http_server_refused_requests_total", "Requests answered 503 because too many were being served")

_log = logging.getLogger(__name__)


class HttpServer:
    """Serves an application on the settings' address until told to stop."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, limits: ProtocolLimits | None = None) -> None:
        self._app = app
        self._settings = settings
        most = settings.max_concurrent_requests * CONNECTIONS_PER_REQUEST
        self._limits = limits or ProtocolLimits(connections=most)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen, serve, and after `stop` answer what is in flight. Raises OSError when the address is taken."""
        listener = listen(self._settings.host, self._settings.port)
        host, port = listener.getsockname()[:2]
        room = Room()
        server = _Server(
            uvicorn.Config(
                OverloadGuard(self._app, self._settings.max_concurrent_requests, room),
                http=cast(Any, partial(LimitedProtocol, self._limits, room)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, int(self._settings.drain_seconds)),
            )
        )
        room.occupants = cast(set[LimitedProtocol], server.server_state.connections)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        _log.info("listening", extra={"host": host, "port": port})
        try:
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await serving
        finally:
            stopping.cancel()
            listener.close()


class OverloadGuard:
    """Answers 503 with `Retry-After` while too many requests are being served; probes always pass.

    A process that is busy must not be taken for one that is dead. Requests that wait for slow clients make room first:
    a few who send nothing but heads, or read no answers, would shut out everybody else.
    """

    def __init__(self, app: ASGIApp, max_requests: int, room: Room) -> None:
        self._app = app
        self._max = max_requests
        self._room = room
        self._serving = 0
        self._places = 0  # of those who are about to leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if self._serving >= self._max and not self._take_place(receive):
            REFUSED.inc()
            busy = unavailable(f"{self._max} requests are being served, which is as many as we take at a time.")
            await problem_response(busy.problem, busy.headers)(scope, receive, send)
            return
        self._serving += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._serving -= 1

    def _take_place(self, receive: Receive) -> bool:
        """Take the place of one that was cut. They leave in the loop's next turn, and until then are still counted."""
        if not self._places:
            cycle = getattr(receive, "__self__", None)
            is_whole = isinstance(cycle, Cycle) and not cycle.more_body
            self._places = self._room.make_for_requests(is_whole=is_whole)
            if not self._places:
                return False
            asyncio.get_running_loop().call_soon(self._forget_places)
        self._places -= 1
        return True

    def _forget_places(self) -> None:
        self._places = 0


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket, so that a taken address fails loudly before anything else starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it is: without, each answer on a kept-alive
    # connection waits some 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """Signals belong to the frame: uvicorn would end the process before the other parts have drained."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
