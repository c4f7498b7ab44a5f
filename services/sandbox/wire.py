"""The HTTP edge: reads a request within bounds, sends an answer, or closes the socket without one."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.sandbox.exchange import Answer, Query

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Uploads of media are the longest; they are held in memory."""
MAX_QUERY_FIELDS = 1000
PAD_CHUNK_BYTES = 64 * 1024
_TRANSPORT = "sandbox.transport"
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n|$)", re.IGNORECASE)


class CuttableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol that shows the application its socket: a cut must be seen by a real client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets this only on sockets that name their protocol; without it an answer waits 40 ms for an ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        begins = self.cycle is None or self.cycle.response_complete
        if begins and b"h2c" in data:
            # Java's own client would rather speak HTTP/2 and says so with every call, which a server may ignore; the
            # parser takes it for the end of HTTP, and the call would lose its body.
            head, end, body = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"", head) + end + body
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(Scope, self.scope)[_TRANSPORT] = self.transport


class BodyTooLarge(Exception):  # noqa: N818  reads as the fact it reports
    """The request's body is over MAX_BODY_BYTES."""


class ClientGone(Exception):  # noqa: N818  reads as the fact it reports
    """The connection closed before the whole body had come: nothing may be done with half of it."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Read the whole body. Raises: BodyTooLarge before it is in memory; ClientGone."""
    declared = header(scope, b"content-length")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise BodyTooLarge
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge
        chunks.append(chunk)
        if not message.get("more_body"):
            break
    return b"".join(chunks)


def header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


def headers(scope: Scope) -> dict[str, str]:
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}


def parse_query(text: str) -> Query:
    """Fields in order, values as sent. Raises: ValueError when there are more than a thousand."""
    query: Query = {}
    for key, value in parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS):
        query.setdefault(key, []).append(value)
    return query


async def send_answer(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    if answer.cut:
        await _cut(scope, receive)
        return
    length = max(len(answer.body), answer.pad_to_bytes)
    sent = [(b"content-type", answer.content_type.encode()), (b"content-length", str(length).encode())]
    sent += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": sent})
    missing = length - len(answer.body)
    await send({"type": "http.response.body", "body": answer.body, "more_body": missing > 0})
    while missing > 0:
        size = min(missing, PAD_CHUNK_BYTES)
        missing -= size
        await send({"type": "http.response.body", "body": b" " * size, "more_body": missing > 0})


async def send_json(status: int, content: object, send: Send) -> None:
    """Bytes are sent as they are: the only ones are a certificate."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    kind = b"application/x-pem-file" if isinstance(content, bytes) else b"application/json"
    sent = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def _cut(scope: Scope, receive: Receive) -> None:
    """Close the socket at once, then wait until uvicorn has seen it: else it would answer 500 for us."""
    scope[_TRANSPORT].abort()
    while (await receive())["type"] != "http.disconnect":
        continue
