"""The proxy port: CONNECT, TLS under a platform's own name, and the same HTTP as everywhere; absolute-form beside it.

A connection begins at a Door, which reads no more than it must to tell the two apart. Behind it uvicorn's own protocol
speaks HTTP/1.1; asyncio's `start_tls` speaks TLS. Nothing is ever passed on to anybody: every answer is made here.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import cast

import orjson

from services.sandbox.certificates import Authority
from services.sandbox.wire import CuttableProtocol, Scope

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
HANDSHAKE_SECONDS = 30.0
GOODBYE_SECONDS = 0.5
"""How long a client may take to say goodbye too when a connection is closed: many never do."""
PROXIED = "sandbox.proxied"
_CONNECT = b"CONNECT "
_CONNECT_LINE = re.compile(rb"CONNECT ([^\s/?#@:]{1,255}|\[[0-9A-Fa-f:.]{2,45}\]):(\d{1,5}) HTTP/1\.[01]")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(rb"([^\s@:\[\]]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?")
_STANDARD_PORTS = {b"http": 80, b"https": 443}
TLS_PORT = 443
PLAIN_PORT = 80
_logger = logging.getLogger("sandbox.proxy")


@dataclass(frozen=True, slots=True)
class Proxied:
    """What is known of a request beside its path: how it came, and whom it names."""

    tunnel: tuple[str, ...]
    """Hosts that the connection was opened to, by CONNECT and by SNI; empty outside of a tunnel."""
    named: tuple[str, int] | None
    """Host and port of an absolute-form request."""


class ProxiedProtocol(CuttableProtocol):
    """uvicorn's HTTP/1.1 protocol behind the door; `tunnel` as in Proxied."""

    tunnel: tuple[str, ...] = ()

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            # Becomes a 400: a tunnel is asked for at the door, and not inside of another.
            raise ValueError("CONNECT behind the door")
        absolute = _ABSOLUTE.fullmatch(self.url.partition(b"#")[0])
        named = None
        if absolute:
            named = read_authority(absolute[2], _STANDARD_PORTS[absolute[1].lower()])
            rest = absolute[3]
            # uvicorn reads origin-form only.
            self.url = rest if rest.startswith(b"/") else b"/" + rest
        cast(Scope, self.scope)[PROXIED] = Proxied(self.tunnel, named)
        super().on_headers_complete()


def read_authority(text: bytes, standard_port: int) -> tuple[str, int]:
    """Host in lower case, and port. Raises: ValueError for anything else, credentials too."""
    found = _AUTHORITY.fullmatch(text)
    if not found:
        raise ValueError("this is no host")
    return plain_host(found[1]), int(found[2] or standard_port)


def plain_host(text: bytes) -> str:
    return text.decode("latin-1").lower().removesuffix(".")


class NotAddressed(ValueError):  # noqa: N818  reads as the fact it reports
    """The request names no host, or one that its tunnel was not opened to; status and words for the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def addressee(proxied: Proxied, host_header: str) -> tuple[str, int]:
    """Host and port that a request is meant for. Raises: NotAddressed."""
    if proxied.named:
        found = proxied.named
    elif not proxied.tunnel:
        raise NotAddressed(400, "this is the proxy: use CONNECT host:443, or GET http://host/path")
    elif not host_header:
        return proxied.tunnel[0], TLS_PORT
    else:
        try:
            found = read_authority(host_header.encode("latin-1"), TLS_PORT)
        except ValueError as error:
            raise NotAddressed(400, "the Host header names no host") from error
    if proxied.tunnel and found[0] not in proxied.tunnel:
        raise NotAddressed(421, f"this connection was opened to {proxied.tunnel[0]}, not to {found[0]!r}")
    return found


@dataclass(frozen=True, slots=True)
class Gate:
    """What all doors share."""

    hosts: Callable[[], Collection[str]]
    """Hosts that are stood for, in lower case."""
    authority: Authority
    make_http: Callable[[], ProxiedProtocol]
    refuse: Callable[[str], None]
    """Counts a `host:port` that is not stood for."""
    open: set["Door"] = field(default_factory=set)
    """Doors whose connection has not said yet what it wants."""

    def context(self, host: str) -> ssl.SSLContext:
        context = self.authority.context(host)
        context.sni_callback = self._choose_leaf
        return context

    def _choose_leaf(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        """The leaf of the name that the client wants to see; without one, that of the host it connected to."""
        if name is None:
            return None
        host = name.lower().removesuffix(".")
        if host not in self.hosts():
            self.refuse(f"{host}:{TLS_PORT}")
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = self.context(host)
        return None

    def host_of(self, context: ssl.SSLContext, default: str) -> str:
        """The host whose leaf a connection has seen."""
        return next((name for name in self.hosts() if self.authority.context(name) is context), default)


class Door(asyncio.Protocol):
    """The first bytes of a connection to the proxy port, and those that come during a handshake."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._came = b""
        self._handshake: asyncio.Task[None] | None = None
        self._gone = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gate.open.add(self)
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._leave()

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self._handshake is not None:
            # The first request may come with the last bytes of the handshake, before `start_tls` has returned.
            return
        start = self._came.lstrip(b"\r\n")
        if not start.startswith(_CONNECT):
            if not _CONNECT.startswith(start):
                self._hand_over(())
            return
        head, end, rest = start.partition(b"\r\n\r\n")
        if end:
            self._came = rest
            self._connect(head.partition(b"\r\n")[0])
        elif len(start) > MAX_HEAD_BYTES:
            self._answer(b"431 Request Header Fields Too Large", "the head of a CONNECT is at most 64 KiB long")

    def shutdown(self) -> None:
        """Called when the server stops."""
        if self._transport is not None:
            self._transport.abort()

    def _connect(self, line: bytes) -> None:
        asked = _CONNECT_LINE.fullmatch(line)
        if not asked:
            self._answer(b"400 Bad Request", "use CONNECT host:443 HTTP/1.1")
            return
        host, port = plain_host(asked[1]), int(asked[2])
        if host not in self._gate.hosts() or port not in {TLS_PORT, PLAIN_PORT}:
            self._gate.refuse(f"{host}:{port}")
            self._answer(b"502 Bad Gateway", f"the sandbox stands for no host {host!r} at port {port}")
            return
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if port == PLAIN_PORT:
            self._hand_over((host,))
        else:
            early, self._came = self._came, b""
            self._handshake = asyncio.get_running_loop().create_task(self._secure(host, early))

    async def _secure(self, host: str, early: bytes) -> None:
        """Speak TLS, then HTTP inside of it. `early` came behind the CONNECT already."""
        loop = asyncio.get_running_loop()
        transport = self._transport
        assert transport is not None
        if self._gone:
            return
        try:
            context = self._gate.context(host)
        except OSError:
            # Else the client would wait for the handshake until its own patience ends.
            _logger.exception("no certificate can be made for %r", host)
            transport.abort()
            return
        if early:
            # Two steps later: `start_tls` first plans the new protocol's `connection_made` and the next read.
            loop.call_soon(loop.call_soon, _feed, transport, early)
        try:
            secured = await loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        except OSError:
            # No TLS, another authority, a name that is not ours: asyncio has closed the connection.
            self._leave()
            return
        if secured is None or self._gone:
            self._leave()
            return
        self._transport = secured
        shown = self._gate.host_of(secured.get_extra_info("ssl_object").context, host)
        self._hand_over(tuple(dict.fromkeys((host, shown))))

    def _hand_over(self, tunnel: tuple[str, ...]) -> None:
        self._leave()
        assert self._transport is not None
        protocol = self._gate.make_http()
        protocol.tunnel = tunnel
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        came, self._came = self._came, b""
        if came:
            protocol.data_received(came)

    def _answer(self, status: bytes, reason: str) -> None:
        self._leave()
        body = orjson.dumps({"error": reason})
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        assert self._transport is not None
        self._transport.write(head % (status, len(body)) + body)
        self._transport.close()

    def _leave(self) -> None:
        self._gate.open.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def _feed(transport: asyncio.Transport, data: bytes) -> None:
    """Give bytes to the protocol that a transport has by now, as if they had just been read."""
    protocol = transport.get_protocol()
    if isinstance(protocol, asyncio.BufferedProtocol):
        buffer = protocol.get_buffer(len(data))
        buffer[: len(data)] = data  # type: ignore[index]
        protocol.buffer_updated(len(data))
