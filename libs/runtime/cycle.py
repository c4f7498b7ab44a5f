"""One request and its answer on a connection, in one write where it can be; and the answers of the server itself."""

import asyncio
from collections.abc import Callable
from functools import lru_cache

import orjson
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from libs.events.problem import problem

_TITLES = {400: "Bad request", 408: "Too slow", 431: "Headers too large", 503: "Temporarily unavailable"}


class Refused(Exception):  # noqa: N818  a way out of the parser
    """A request breaks a rule."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason

    def answer(self) -> bytes:
        """The whole answer, head and body."""
        document = problem(self.reason, self.status, _TITLES[self.status], str(self))
        body = orjson.dumps(document.model_dump())
        retry = b"retry-after: 2\r\n" if self.status == 503 else b""
        return b"%scontent-type: application/problem+json\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n%s" % (
            STATUS_LINE[self.status],
            len(body),
            retry,
            body,
        )


def malformed() -> Refused:
    return Refused(400, "bad_request", "This is not an HTTP/1.1 request that can be understood.")


def too_large() -> Refused:
    return Refused(431, "head_too_large", "Address, headers or trailers are larger than is taken here.")


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    def __init__(self, protocol: HttpToolsProtocol, answered: Callable[["Cycle"], None], *, keep_alive: bool) -> None:
        """`answered` is called once the last byte was handed to the transport."""
        super().__init__(
            scope=protocol.scope,
            transport=protocol.transport,
            flow=protocol.flow,
            logger=protocol.logger,
            access_logger=protocol.access_logger,
            access_log=False,
            default_headers=protocol.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=protocol.expect_100_continue,
            keep_alive=keep_alive,
            on_response=_nothing,
        )
        self._answered = answered
        self._head = b""

    async def send(self, message: ASGISendEvent) -> None:
        """Take a part of the answer; the head waits for the first part of the body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            headers = message.get("headers", ())
            if not isinstance(headers, tuple):
                headers = tuple((name, value) for name, value in headers)
            self._begin(message["status"], headers)
        elif message["type"] == "http.response.body" and self.response_started and not self.response_complete:
            self._continue(message.get("body", b""), more_body=message.get("more_body", False))
        else:
            raise RuntimeError(f"the ASGI message {message['type']!r} has no place here in an answer")

    def _begin(self, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines, length, says_close = _rendered(status, headers)
        if says_close or self.more_body:  # what is left of the body is not waited for
            self.keep_alive = False
        parts = [STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in self.default_headers), lines]
        if not self.keep_alive and not says_close:
            parts.append(b"connection: close\r\n")
        self.chunked_encoding = False
        self.expected_content_length = length or 0
        if self.scope["method"] == "HEAD" or status in (204, 304):
            self.expected_content_length = 0
        elif length is None and self.scope["http_version"] == "1.1":
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        elif length is None:
            self.expected_content_length = -1  # its end is the connection's
        parts.append(b"\r\n")
        self._head = b"".join(parts)

    def _continue(self, body: bytes, *, more_body: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self.chunked_encoding:
            body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            body += b"" if more_body else b"0\r\n\r\n"
        elif self.expected_content_length >= 0:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more_body):
                raise RuntimeError("the answer is not as long as its Content-Length says")
        if self._head or body:
            self.transport.write(self._head + body)
            self._head = b""
        if not more_body:
            self.response_complete = True
            self.message_event.set()
            self._answered(self)


@lru_cache(maxsize=512)
def _rendered(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[bytes, int | None, bool]:
    """Give the header lines, the body's length if it is said, and whether the connection ends with this answer."""
    lines: list[bytes] = []
    length: int | None = None
    says_close = False
    for name, value in headers:
        if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
            raise RuntimeError(f"the answer's header {name!r} cannot be sent")
        lower = name.lower()
        if lower == b"content-length":
            length = int(value)
        elif lower == b"connection":
            says_close = b"close" in value.lower()
        elif lower == b"transfer-encoding":
            continue  # ours to choose
        lines.append(b"%s: %s\r\n" % (lower, value))
    return b"".join(lines), length, says_close


def _nothing() -> None:
    return None
