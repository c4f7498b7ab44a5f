"""HTTP as bytes, from clean to malicious, made up by hypothesis; a server in a thread; a client for both."""

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import uvloop
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.types import ASGIApp

from deploy.local import ports
from libs.runtime.server import HttpServer
from libs.runtime.settings import ServiceSettings

_Draw = Callable[[st.SearchStrategy[Any]], Any]

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n")
IDLE_SECONDS = 0.03
END_SECONDS = 10.0


class Troubles(logging.Handler):
    """Keeps what was logged as an error, and what nobody awaited: a server has no business with either here."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))

    def on_loop_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.found.append(f"{context.get('message')}: {context.get('exception')!r}")


@contextmanager
def served(app: ASGIApp) -> Iterator[tuple[int, Troubles]]:
    """Serve the application in a thread, as the frame does; give the port and what goes wrong."""
    port, troubles, began, ended = ports.choose([]), Troubles(), threading.Event(), list[BaseException]()
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    settings = ServiceSettings(port=port, worker_dsn=dsn, api_dsn=dsn, drain_seconds=1)
    handles: dict[str, Any] = {}

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(troubles.on_loop_error)
        handles["loop"], handles["stop"] = loop, asyncio.Event()
        loop.call_soon(began.set)
        await HttpServer(app, settings).run(handles["stop"])

    def run() -> None:
        try:
            uvloop.run(serve())
        except BaseException as error:
            ended.append(error)

    logging.getLogger().addHandler(troubles)
    thread = threading.Thread(target=run)
    thread.start()
    began.wait()
    try:
        yield port, troubles
    finally:
        handles["loop"].call_soon_threadsafe(handles["stop"].set)
        thread.join()
        logging.getLogger().removeHandler(troubles)
    if ended:
        raise ended[0]


def exchange(port: int, stream: bytes, cuts: Sequence[int] = (), *, answers: int = 0) -> tuple[list[int], bytes]:
    """Send the bytes, cut into writes, then the end; give the statuses that came and all that was read.

    The end is sent once so many answers have come and nothing follows: a server that is slow to answer closes at a
    client's end. Raises TimeoutError when they do not come, or when the server does not end the connection: it must,
    after the client has.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=END_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
        read = b""
        try:
            for begin, end in pairwise(places):
                connection.sendall(stream[begin:end])
            while len(_STATUS.findall(read)) < answers and (chunk := connection.recv(65_536)):
                read += chunk
            connection.settimeout(IDLE_SECONDS)
            more, ended = _read(connection)
            read += more
            if not ended:
                connection.settimeout(END_SECONDS)
                connection.shutdown(socket.SHUT_WR)
                rest, ended = _read(connection)
                read += rest
                if not ended:
                    raise TimeoutError(f"the connection stays open after {stream[:200]!r}")
        except (ConnectionResetError, BrokenPipeError):
            pass  # the server had enough
    return [int(status) for status in _STATUS.findall(read)], read


def _read(connection: socket.socket) -> tuple[bytes, bool]:
    read = b""
    try:
        while chunk := connection.recv(65_536):
            read += chunk
    except TimeoutError:
        return read, False
    return read, True


def chunked(body: bytes, size: int = 7) -> bytes:
    """The body in chunks, as RFC 9112 wants them."""
    parts = [body[place : place + size] for place in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


_METHODS = st.sampled_from(
    [b"POST"] * 12 + [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"TRACE", b"CONNECT", b"post", b"P\x00ST", b"", b"POST POST"]
)
_VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 12 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.1x", b"", b"http/1.1"]
)
_ENDS = st.sampled_from([b"\r\n"] * 15 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n"])
_STRANGE_HEADERS = st.sampled_from(
    [
        b"X-Folded: one\r\n two",
        b"X-Nul: a\x00b",
        b"X-Nothing",
        b": nameless",
        b"X-Space : 1",
        b" X-Leading: 1",
        b"X-High: \xff\xfe",
        b"X-Long: " + b"x" * 20_000,
        b"X-Longer: " + b"x" * 70_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(400)),
        b"Expect: 100-continue",
        b"Expect: something",
        b"Connection: close",
        b"Connection: keep-alive, upgrade\r\nUpgrade: h2c",
        b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Content-Encoding: gzip",
        b"Content-Encoding: identity",
        b"Content-Type: application/json; charset=utf-7",
        b"Trailer: X-Hub-Signature-256",
        b"Host: elsewhere",
        b"X-Hub-Signature-256: sha256=" + b"0" * 64,
        b"X-Hub-Signature: sha1=" + b"0" * 40,
        b"traceparent: 00-00000000000000000000000000000000-0000000000000000-01",
    ]
)
_LENGTHS = st.sampled_from(
    [
        b"0",
        b"-1",
        b"+5",
        b" 5 ",
        b"5, 5",
        b"5,6",
        b"0x10",
        b"1e3",
        b"",
        b"9" * 30,
        b"18446744073709551617",
        b"99999999",
        b"5 5",
    ]
)
_CODINGS = st.sampled_from(
    [
        b"chunked",
        b"Chunked",
        b"xchunked",
        b"chunked, identity",
        b"identity, chunked",
        b"gzip, chunked",
        b"chunked\r\nTransfer-Encoding: x",
        b"\x0bchunked",
        b"chunked;q=1",
    ]
)
_CHUNKED_LIES = st.sampled_from(
    [
        b"5\r\nab\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nab",
        b"-1\r\nab\r\n0\r\n\r\n",
        b'2;ext="\xff"\r\nab\r\n0\r\n\r\n',
        b"2\nab\n0\n\n",
        b"0x2\r\nab\r\n0\r\n\r\n",
        b"2\r\nab\r\n0\r\nX-Hub-Signature-256: sha256=00\r\n\r\n",
        b"2" + b" " * 500 + b"\r\nab\r\n0\r\n\r\n",
        b"2;" + b"x" * 20_000 + b"\r\nab\r\n0\r\n\r\n",
        b"2\r\nab\r\n",
        b"",
    ]
)


@st.composite
def requests(draw: _Draw, targets: st.SearchStrategy[bytes], bodies: st.SearchStrategy[tuple[bytes, bytes]]) -> bytes:
    """Give one request, more or less in order. `bodies` gives pairs of a body and the lines that sign it."""
    end = draw(_ENDS)
    body, signature = draw(bodies)
    lines = [b" ".join((draw(_METHODS), draw(targets), draw(_VERSIONS))), b"Host: bus"]
    if draw(st.integers(0, 9)):
        lines.append(signature)
    framing = draw(st.sampled_from(["length"] * 6 + ["chunked"] * 3 + ["lie", "both", "none", "chunked lie", "coding"]))
    if framing in ("length", "both"):
        lines.append(b"Content-Length: %d" % (len(body) + draw(st.sampled_from([0] * 9 + [-1, 1, 3]))))
    if framing == "lie":
        lines.append(b"Content-Length: " + draw(_LENGTHS))
    if framing == "coding":
        lines.append(b"Transfer-Encoding: " + draw(_CODINGS))
    if framing in ("chunked", "both", "chunked lie"):
        lines.append(b"Transfer-Encoding: chunked")
    if framing in ("chunked", "both", "coding"):
        body = chunked(body, draw(st.integers(1, 400)))
    if framing == "chunked lie":
        body = draw(_CHUNKED_LIES)
    strange = draw(st.lists(_STRANGE_HEADERS, max_size=2))
    return bytes(end.join([*lines, *strange, b"", b""]) + body)


@st.composite
def streams(draw: _Draw, one: st.SearchStrategy[bytes]) -> bytes:
    """Give what one connection sends: requests behind each other, perhaps damaged or cut."""
    stream = bytearray(b"".join(draw(st.lists(one, min_size=1, max_size=3))))
    if not draw(st.integers(0, 4)):
        for _ in range(draw(st.integers(1, 3))):
            stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    if not draw(st.integers(0, 6)):
        del stream[draw(st.integers(0, len(stream) - 1)) :]
    before = draw(
        st.sampled_from([b""] * 12 + [b"\r\n", b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
    )
    return bytes(before + stream)
