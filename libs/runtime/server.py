"""uvicorn inside our process: bounded, silent, and without its own handling of signals."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from libs.runtime.body import MAX_HEAD_BYTES
from libs.runtime.settings import ServiceSettings

KEEP_ALIVE_SECONDS = 15
BACKLOG = 512

_log = logging.getLogger(__name__)


class HttpServer:
    """Serves an application on the settings' address until told to stop."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app = app
        self._settings = settings

    async def run(self, stop: asyncio.Event) -> None:
        """Listen, serve, and after `stop` answer what is in flight. Raises OSError when the address is taken."""
        listener = listen(self._settings.host, self._settings.port)
        host, port = listener.getsockname()[:2]
        server = _Server(
            uvicorn.Config(
                self._app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=self._settings.max_concurrent_requests,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_graceful_shutdown=max(1, int(self._settings.drain_seconds)),
            )
        )
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
