"""Composition root: settings -> world -> one ASGI application -> one server that says when it is ready."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence

import orjson
import uvicorn

from services.sandbox.control import ControlCall, answer_control, split_path
from services.sandbox.exchange import Answer, Call, Platform
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


class Application:
    """Plain ASGI: the first segment of a path is `_sandbox` or a platform's host."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        raw_path = bytes(scope["raw_path"]).decode("latin-1")
        try:
            body = await read_body(scope, receive)
            query = parse_query(bytes(scope["query_string"]).decode("latin-1"))
        except ClientGone:
            return
        except BodyTooLarge:
            await send_json(413, {"error": f"the sandbox takes bodies of up to {MAX_BODY_BYTES} bytes"}, send)
            return
        except ValueError:
            await send_json(400, {"error": "the sandbox takes up to a thousand query fields"}, send)
            return
        host, _, rest = raw_path.removeprefix("/").partition("/")
        if host == "_sandbox":
            control = ControlCall(scope["method"], split_path(raw_path), query, body)
            await send_json(*await answer_control(self._sandbox, control), send)
            return
        platform = self._sandbox.state.by_host.get(host.lower())
        if platform is None:
            await send_json(502, {"error": f"the sandbox stands for no host {host!r}", "hosts": self._hosts()}, send)
            return
        call = Call(
            via="prefix",
            method=scope["method"],
            host=host.lower(),
            path=f"/{rest}",
            query=query,
            headers=headers(scope),
            body=body,
            base_url=f"http://{header(scope, b'host')}/{host.lower()}",
        )
        await send_answer(await _answer(platform, call), scope, receive, send)

    def _hosts(self) -> list[str]:
        return sorted(self._sandbox.state.by_host)


async def _answer(platform: Platform, call: Call) -> Answer:
    return await platform.answer(call)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal says stop."""
    settings = parse_settings(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    sandbox = Sandbox(settings.seed, settings.size)
    with socket.create_server((settings.host, settings.port), backlog=_BACKLOG) as listener:
        port = listener.getsockname()[1]
        shown = "127.0.0.1" if settings.host in {"0.0.0.0", "127.0.0.1"} else settings.host  # noqa: S104  only shown
        sandbox.url = f"http://{shown}:{port}"
        # No access log: paths and queries carry tokens; what was called is in /_sandbox/calls, without secrets.
        config = uvicorn.Config(
            Application(sandbox),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        asyncio.run(_serve(_AnnouncingServer(config, settings, sandbox.url), listener))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])


class _AnnouncingServer(uvicorn.Server):
    """Prints the ready line once connections are accepted."""

    def __init__(self, config: uvicorn.Config, settings: Settings, url: str) -> None:
        super().__init__(config)
        self._settings = settings
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        line = orjson.dumps({"url": self._url, "proxy": None, "ca_file": None, "pid": os.getpid()}).decode() + "\n"
        if self._settings.ready_file:
            # Renamed into place, so that whoever waits for the file never reads half of it.
            draft = self._settings.ready_file.with_name(f".{self._settings.ready_file.name}.{os.getpid()}")
            draft.write_text(line)
            draft.replace(self._settings.ready_file)
        sys.stdout.write(line)
        sys.stdout.flush()
