"""The server on real sockets: who is slow, too large, too many or unclear is cut off; who is honest is not."""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from starlette.types import Message, Receive, Scope, Send

from libs.runtime.limits import ProtocolLimits
from libs.runtime.protocol import CONNECTIONS, CUT
from tests.support.sockets import client, exchange, serving, statuses_of
from tests.support.until import until

pytestmark = pytest.mark.e2e

HEAD = b"POST /echo HTTP/1.1\r\nHost: bus\r\n"
SHORT = ProtocolLimits(head_seconds=0.3, body_seconds=0.3, idle_seconds=0.3, write_seconds=0.3, linger_seconds=0.3)


@dataclass
class Echo:
    """An application that gives back what it got, and notes it."""

    seen: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/early":
            await _answer(send, 401, b"no")
            return
        if scope["path"] == "/large":
            await _answer(send, 200, b"x" * 50_000_000)
            return
        body, more = b"", True
        while more:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.seen.append((scope["path"], body))
        self.headers.append(list(scope["headers"]))
        if scope["path"] == "/wait":
            await self.may_answer.wait()
        await _answer(send, 200, body)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def cut(reason: str) -> float:
    value: float = CUT.labels(reason)._value.get()
    return value


def open_connections() -> float:
    value: float = CONNECTIONS._value.get()
    return value


def deaf_socket() -> socket.socket:
    """A client's, which takes next to nothing as long as nobody reads."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    deaf.setblocking(False)
    return deaf


async def happened(true: Callable[[], bool], what: str) -> None:
    async def now() -> bool:
        return true()

    await until(now, what, seconds=5)


async def test_a_head_that_trickles_in_is_cut_off_though_each_byte_comes_in_time() -> None:
    async with serving(Echo(), SHORT) as port, client(port) as slow:
        before = cut("head_too_slow")
        sent = await slow.trickle(HEAD + b"X-Slow: " + b"a" * 500)
        assert sent < 20
        assert statuses_of(slow.left) == [408]
        assert cut("head_too_slow") == before + 1


async def test_a_later_head_on_a_kept_connection_has_the_same_deadline() -> None:
    async with serving(Echo(), SHORT) as port, client(port) as slow:
        slow.send(HEAD + b"Content-Length: 2\r\n\r\nhi")
        assert (await slow.answer()).endswith(b"hi")
        assert await slow.trickle(HEAD * 10) < 20
        assert statuses_of(slow.left) == [408]


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serving(Echo(), SHORT) as port, client(port) as silent:
        assert await silent.rest() == b""


async def test_a_connection_that_is_idle_after_an_answer_is_closed() -> None:
    async with serving(Echo(), SHORT) as port, client(port) as idle:
        idle.send(HEAD + b"Content-Length: 0\r\n\r\n")
        assert statuses_of(await idle.rest()) == [200]


async def test_empty_lines_do_not_keep_a_connection_open() -> None:
    async with serving(Echo(), SHORT) as port, client(port) as slow:
        assert await slow.trickle(b"\r\n" * 500) < 20


@pytest.mark.parametrize("framing", [b"Content-Length: 500\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1f4\r\n"])
async def test_a_body_that_trickles_in_is_cut_off_and_no_handler_takes_it_for_whole(framing: bytes) -> None:
    echo = Echo()
    async with serving(echo, SHORT) as port, client(port) as slow:
        slow.send(HEAD + framing)
        assert await slow.trickle(b"b" * 500) < 20
        assert statuses_of(slow.left) == [408]
    assert echo.seen == []


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serving(Echo(), SHORT) as port:
        before = cut("answer_not_read")
        with deaf_socket() as deaf:
            await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", port))
            deaf.send(b"GET /large HTTP/1.1\r\nHost: bus\r\n\r\n")
            await happened(lambda: cut("answer_not_read") == before + 1, "the connection to be given up")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (b"GET /large HTTP/1.0\r\n", b"\r\n"),
        (b"GET /early HTTP/1.1\r\nHost: bus\r\n\r\n", b"GET /large HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n"),
    ],
    ids=["late head", "kept connection"],
)
async def test_a_last_answer_that_nobody_reads_keeps_no_connection_open(first: bytes, last: bytes) -> None:
    limits = ProtocolLimits(head_seconds=1.6, idle_seconds=1.6, linger_seconds=2.4)
    async with serving(Echo(), limits) as port:
        await happened(lambda: open_connections() == 0, "no connection from before")
        with deaf_socket() as deaf:
            await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", port))
            deaf.send(first)
            late = asyncio.get_running_loop().time() + 0.8  # the first timer then rings before the last deadline
            await happened(lambda: asyncio.get_running_loop().time() > late, "the time")
            assert open_connections() == 1
            deaf.send(last)
            await happened(lambda: open_connections() == 0, "the connection to be given up")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: bus\r\nX-Large: " + b"x" * 40_000,
        b"GET /" + b"x" * 40_000,
        b"\r\n" * 20_000,
    ],
    ids=["one header", "address", "empty lines"],
)
async def test_a_head_that_does_not_end_is_refused_when_it_is_too_large(head: bytes) -> None:
    async with serving(Echo()) as port:
        assert statuses_of(await exchange(port, head)) == [431]


@pytest.mark.parametrize("headers", [b"X-Large: " + b"x" * 40_000 + b"\r\n", b"X: y\r\n" * 200], ids=["one", "many"])
async def test_a_whole_head_that_is_too_large_is_refused(headers: bytes) -> None:
    async with serving(Echo()) as port:
        assert statuses_of(await exchange(port, b"GET / HTTP/1.1\r\nHost: bus\r\n" + headers + b"\r\n")) == [431]


@pytest.mark.parametrize(
    "tail", [b"1;" + b"x" * 200_000, b"0\r\nX-Trailer: " + b"x" * 200_000], ids=["extension", "trailer"]
)
async def test_what_surrounds_chunks_has_a_limit(tail: bytes) -> None:
    async with serving(Echo()) as port:
        got = await exchange(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + tail)
        assert statuses_of(got) == [431]


async def test_many_small_chunks_are_no_offence() -> None:
    echo, body = Echo(), bytes(range(256)) * 800
    async with serving(echo) as port, client(port) as one:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        one.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert (await one.answer()).endswith(body)


UNCLEAR = {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": b"Content-Length: +5\r\n\r\nhello",
    "an endless length": b"Content-Length: " + b"9" * 40 + b"\r\n\r\nhello",
    "another coding": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "a folded header": b"X-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a NUL in a header": b"X-Nul: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"Content-Length: 0\n\n",
    "two hosts": b"Host: other\r\nContent-Length: 0\r\n\r\n",
    "a chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("rest", UNCLEAR.values(), ids=UNCLEAR)
async def test_a_request_that_can_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(rest: bytes) -> None:
    echo = Echo()
    async with serving(echo) as port:
        got = await exchange(port, HEAD + rest + b"GET /smuggled HTTP/1.1\r\nHost: bus\r\n\r\n")
        assert statuses_of(got) == [400]
        assert b"connection: close" in got
    assert echo.seen == []


@pytest.mark.parametrize(
    "line",
    [b"POST /echo HTTP/1.1", b"GET / HTTP/2.0", b"GET / HTTP/0.9", b"CONNECT bus:1 HTTP/1.1", b"GET /\xff HTTP/1.1"],
)
async def test_a_request_without_host_or_of_another_version_is_refused(line: bytes) -> None:
    host = b"" if line.startswith(b"POST") else b"Host: bus\r\n"
    async with serving(Echo()) as port:
        assert statuses_of(await exchange(port, line + b"\r\n" + host + b"Content-Length: 0\r\n\r\n")) == [400]


async def test_a_trailer_never_becomes_a_header() -> None:
    echo = Echo()
    body = b"2\r\nhi\r\n0\r\nX-Hub-Signature-256: sha256=00\r\nHost: other\r\n\r\n"
    async with serving(echo) as port, client(port) as one:
        one.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        assert (await one.answer()).endswith(b"hi")
        one.send(HEAD + b"Content-Length: 2\r\n\r\nho")  # and the connection goes on in step
        assert (await one.answer()).endswith(b"ho")
    assert [name for headers in echo.headers for name, _ in headers] == [
        b"host", b"transfer-encoding", b"host", b"content-length"
    ]  # fmt: skip


@pytest.mark.parametrize("cuts", [(), (30,), (60,), (120,), (135,)])
async def test_an_offer_to_upgrade_is_ignored_and_its_body_is_a_body(cuts: Sequence[int]) -> None:
    echo = Echo()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    data = HEAD + offer + b"Content-Length: 36\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: bus\r\n\r\n"
    async with serving(echo) as port, client(port) as one:
        for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
            one.send(data[begin:end])
            await one.writer.drain()
            await asyncio.sleep(0)
        assert b" 200 " in await one.answer()
        one.send(HEAD + b"Content-Length: 2\r\n\r\nho")
        assert (await one.answer()).endswith(b"ho")
    assert [path for path, _ in echo.seen] == ["/echo", "/echo"]


async def test_requests_sent_behind_each_other_are_answered_in_order_and_garbage_after_them_last() -> None:
    echo = Echo()
    data = b"".join(
        b"POST /%s HTTP/1.1\r\nHost: bus\r\nContent-Length: 1\r\n\r\n%d" % (path, number)
        for number, path in enumerate([b"wait", b"a", b"b"])
    )
    async with serving(echo) as port, client(port) as one:
        one.send(data + b"GARBAGE\r\n\r\n")
        await happened(lambda: bool(echo.seen), "the first request")
        echo.may_answer.set()
        got = await one.rest()
    assert statuses_of(got) == [200, 200, 200, 400]
    assert echo.seen == [("/wait", b"0"), ("/a", b"1"), ("/b", b"2")]


async def test_who_sends_several_and_leaves_is_gone_for_the_one_that_is_served() -> None:
    heard, has_left = list[str](), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        heard.append(scope["path"])
        if scope["path"] == "/1":
            await has_left.wait()  # meanwhile nothing is read: the server sees it only then
        else:
            heard.append((await receive())["type"])
        await _answer(send, 200, b"")

    async with serving(app) as port:
        async with client(port) as one:
            one.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: bus\r\n\r\n" % number for number in (1, 2, 3)))
            await happened(lambda: bool(heard), "the first request")
        has_left.set()
        await happened(lambda: heard == ["/1", "/2", "http.disconnect"], "the second to hear that its client left")


async def test_more_requests_than_may_wait_behind_one_are_refused() -> None:
    echo = Echo()
    data = b"POST /wait HTTP/1.1\r\nHost: bus\r\nContent-Length: 0\r\n\r\n" * 40
    async with serving(echo, ProtocolLimits(pipelined=4)) as port, client(port) as one:
        one.send(data)
        await happened(lambda: bool(echo.seen), "the first request")
        echo.may_answer.set()
        assert statuses_of(await one.rest()) == [200] * 5 + [400]


async def test_an_answer_before_the_body_has_come_arrives_and_the_rest_is_not_waited_for() -> None:
    async with serving(Echo(), SHORT) as port, client(port) as one:
        one.send(b"POST /early HTTP/1.1\r\nHost: bus\r\nContent-Length: 2000000\r\n\r\n")
        got = await one.rest()
        one.send(b"x" * 1_000_000)
        assert statuses_of(got) == [401]
        assert b"connection: close" in got
        assert await one.reader.read() == b""


async def test_an_answer_to_a_body_that_has_come_keeps_the_connection() -> None:
    async with serving(Echo()) as port, client(port) as one:
        for _ in range(2):
            one.send(b"POST /early HTTP/1.1\r\nHost: bus\r\nContent-Length: 4\r\n\r\nbody")
            assert statuses_of(await one.answer()) == [401]


async def test_expect_continue_is_answered_when_the_body_is_wanted() -> None:
    async with serving(Echo()) as port, client(port) as one:
        one.send(HEAD + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert await one.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.send(b"body")
        assert (await one.answer()).endswith(b"body")


async def test_http_1_0_is_answered_without_chunks_and_closed() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async with serving(endless) as port:
        got = await exchange(port, b"GET / HTTP/1.0\r\n\r\n")
        assert got.endswith(b"\r\n\r\none two")
        assert b"transfer-encoding" not in got
        assert b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n" in await exchange(
            port, b"GET / HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n"
        )


async def test_idle_connections_make_room_for_new_ones() -> None:
    async with serving(Echo(), ProtocolLimits(connections=4)) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in idle:
            writer.write(HEAD + b"Content-Length: 0\r\n\r\n")
        for reader, _ in idle:
            await reader.readuntil(b"\r\n\r\n")
        for _ in range(6):
            async with client(port) as one:
                one.send(HEAD + b"Content-Length: 2\r\n\r\nhi")
                assert (await one.answer()).endswith(b"hi")
        for reader, writer in idle:
            assert await reader.read() == b""
            writer.close()


async def test_connections_that_take_their_time_to_go_make_room_for_new_ones() -> None:
    limits = ProtocolLimits(connections=2, linger_seconds=60, fresh_seconds=0)
    async with serving(Echo(), limits) as port, client(port) as one, client(port) as two:
        for each in (one, two):
            each.send(b"POST /early HTTP/1.1\r\nHost: bus\r\nContent-Length: 2000000\r\n\r\n")
            assert statuses_of(await each.rest()) == [401]
        async with client(port) as three:
            three.send(HEAD + b"Content-Length: 2\r\n\r\nhi")
            assert (await three.answer()).endswith(b"hi")


async def test_a_new_connection_is_refused_while_all_others_are_being_served() -> None:
    echo = Echo()
    async with serving(echo, ProtocolLimits(connections=2)) as port, client(port) as one, client(port) as two:
        for each in (one, two):
            each.send(b"POST /wait HTTP/1.1\r\nHost: bus\r\nContent-Length: 0\r\n\r\n")
        await happened(lambda: len(echo.seen) == 2, "both requests")
        got = await exchange(port, b"")
        assert statuses_of(got) == [503]
        assert b"retry-after" in got
        echo.may_answer.set()
        for each in (one, two):
            assert statuses_of(await each.answer()) == [200]


async def test_a_client_that_resets_its_connection_harms_nobody() -> None:
    echo = Echo()
    async with serving(echo) as port:
        async with client(port) as one:
            one.send(HEAD + b"Content-Length: 100\r\n\r\npart")
            await one.writer.drain()
            raw = one.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with client(port) as two:
            two.send(HEAD + b"Content-Length: 2\r\n\r\nhi")
            assert (await two.answer()).endswith(b"hi")
    assert echo.seen == [("/echo", b"hi")]
