"""Composition root: settings -> world -> one ASGI application -> one server that says when it is ready."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

import orjson
import uvicorn

from services.sandbox.certificates import Authority
from services.sandbox.control import ControlCall, answer_control, split_path
from services.sandbox.exchange import Call, Query
from services.sandbox.proxy import (
    PLAIN_PORT,
    PROXIED,
    TLS_PORT,
    Door,
    Gate,
    NotAddressed,
    Proxied,
    ProxiedProtocol,
    addressee,
)
from services.sandbox.settings import Settings, parse_settings
from services.sandbox.state import Sandbox
from services.sandbox.wire import (
    MAX_BODY_BYTES,
    BodyTooLarge,
    ClientGone,
    CuttableProtocol,
    Receive,
    Scope,
    Send,
    header,
    headers,
    parse_query,
    read_body,
    send_answer,
    send_json,
)

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection, or a POST would meet one that is just being closed."""


class Application:
    """Plain ASGI. By the main port the first segment of a path is `_sandbox` or a platform's host."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        proxied = scope.get(PROXIED)
        if proxied is not None:
            await self._answer_proxied(proxied, scope, receive, send)
            return
        raw_path = bytes(scope["raw_path"]).decode("latin-1")
        host, _, rest = raw_path.removeprefix("/").partition("/")
        host = host.lower()
        if host == "_sandbox":
            read = await _read(scope, receive, send)
            if read is not None:
                control = ControlCall(scope["method"], split_path(raw_path), *read)
                await send_json(*await answer_control(self._sandbox, control), send)
            return
        base_url = f"http://{header(scope, b'host')}/{host}"
        await self._pass_on(_Addressed("prefix", host, f"/{rest}", base_url), scope, receive, send)

    async def _answer_proxied(self, proxied: Proxied, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            host, port = addressee(proxied, header(scope, b"host"))
        except NotAddressed as error:
            await send_json(error.status, {"error": str(error)}, send)
            return
        path = bytes(scope["raw_path"]).decode("latin-1")
        # The platforms' own links name https, whatever scheme the caller used.
        called = host if port in {TLS_PORT, PLAIN_PORT} else f"{host}:{port}"
        await self._pass_on(_Addressed("proxy", called, path, f"https://{host}"), scope, receive, send)

    async def _pass_on(self, to: "_Addressed", scope: Scope, receive: Receive, send: Send) -> None:
        by_host = self._sandbox.state.by_host
        platform = by_host.get(to.host)
        if platform is None:
            self._sandbox.state.refusals.count(to.host)
            content = {"error": f"the sandbox stands for no host {to.host!r}", "hosts": sorted(by_host)}
            await send_json(502, content, send)
            return
        read = await _read(scope, receive, send)
        if read is None:
            return
        query, body = read
        call = Call(to.via, scope["method"], to.host, to.path, query, headers(scope), body, to.base_url)
        await send_answer(await platform.answer(call), scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Addressed:
    """Whom a request is meant for, and how it came."""

    via: str
    host: str
    path: str
    base_url: str


async def _read(scope: Scope, receive: Receive, send: Send) -> tuple[Query, bytes] | None:
    """Query and body; None when the client has its refusal already, or is gone."""
    try:
        body = await read_body(scope, receive)
        return parse_query(bytes(scope["query_string"]).decode("latin-1")), body
    except ClientGone:
        return None
    except BodyTooLarge:
        await send_json(413, {"error": f"the sandbox takes bodies of up to {MAX_BODY_BYTES} bytes"}, send)
    except ValueError:
        await send_json(400, {"error": "the sandbox takes up to a thousand query fields"}, send)
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal says stop."""
    settings = parse_settings(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again once it has stopped: the default would end the process before it has cleaned.
        signal.signal(number, _leave)
    # uvicorn does not know it: what is raised while it serves is lost wherever somebody catches everything.
    signal.signal(signal.SIGHUP, _terminate)
    with (
        Authority() as authority,
        socket.create_server((settings.host, settings.port), backlog=_BACKLOG) as main_door,
        socket.create_server((settings.host, settings.proxy_port), backlog=_BACKLOG) as proxy_door,
    ):
        sandbox = Sandbox(settings.seed, settings.size)
        sandbox.url, sandbox.proxy = (_address(settings, door) for door in (main_door, proxy_door))
        sandbox.ca_pem, sandbox.ca_file = authority.pem, str(authority.file)
        # No access log: paths and queries carry tokens; what was called is in /_sandbox/calls, without secrets.
        config = uvicorn.Config(
            Application(sandbox),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
        )
        server = _Server(config, settings, sandbox, authority, proxy_door)
        asyncio.run(server.serve(sockets=[main_door]))


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)


def _address(settings: Settings, door: socket.socket) -> str:
    shown = "127.0.0.1" if settings.host in {"0.0.0.0", "127.0.0.1"} else settings.host  # noqa: S104  only shown
    return f"http://{shown}:{door.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Serves both ports, and prints the ready line once connections are accepted."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: Settings,
        sandbox: Sandbox,
        authority: Authority,
        proxy_door: socket.socket,
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._sandbox = sandbox
        self._proxy_door = proxy_door
        self._gate = Gate(
            hosts=sandbox.hosts,
            authority=authority,
            make_http=self._make_http,
            refuse=sandbox.refuse,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(lambda: Door(self._gate), sock=self._proxy_door, backlog=_BACKLOG))
        sandbox = self._sandbox
        ready = {"url": sandbox.url, "proxy": sandbox.proxy, "ca_file": sandbox.ca_file, "pid": os.getpid()}
        line = orjson.dumps(ready).decode() + "\n"
        if self._settings.ready_file:
            # Renamed into place, so that whoever waits for the file never reads half of it.
            draft = self._settings.ready_file.with_name(f".{self._settings.ready_file.name}.{os.getpid()}")
            draft.write_text(line)
            draft.replace(self._settings.ready_file)
        sys.stdout.write(line)
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.state.deliveries.stop()
        for door in list(self._gate.open):
            door.shutdown()
        await super().shutdown(sockets)
        await self._sandbox.outbound.close()

    def _make_http(self) -> ProxiedProtocol:
        return ProxiedProtocol(self.config, self.server_state, self.lifespan.state)
