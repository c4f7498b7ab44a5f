"""Bytes from clean to malicious against the real server: it answers or ends the connection, and goes on serving."""

import hashlib
import hmac
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.raw_http import Troubles, chunked, exchange, requests, served, streams

pytestmark = pytest.mark.e2e

FUZZ = settings(
    max_examples=FUZZ_EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
SECRET = b"a-secret-of-this-test"
HEADER = b"x-hub-signature-256"
CLEAN = {200, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 431, 501, 503, 505}


def signature_of(body: bytes) -> bytes:
    return b"sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()


def signed(body: bytes) -> tuple[bytes, bytes]:
    return body, b"X-Hub-Signature-256: " + signature_of(body)


def a_request(body: bytes) -> bytes:
    line = b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n%s\r\n\r\n"
    return line % (len(body), signed(body)[1]) + body


class Keeper:
    """The least that an edge does: it keeps a body whose signature is true, and answers."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        given = dict(scope["headers"]).get(HEADER, b"")
        true = scope["method"] == "POST" and hmac.compare_digest(given, signature_of(body))
        if true:
            self.kept.append(body)
        await send({"type": "http.response.start", "status": 200 if true else 401, "headers": []})
        await send({"type": "http.response.body", "body": b"OK" if scope["method"] != "HEAD" else b""})


@pytest.fixture(scope="module")
def keeper() -> Iterator[tuple[Keeper, int, Troubles]]:
    keeper = Keeper()
    with served(keeper) as (port, troubles):
        yield keeper, port, troubles


_BODIES = st.sampled_from([b"", b"{}", b'{"object":"page","entry":[]}', a_request(b"inner"), b"x" * 5_000]).map(signed)
_TARGETS = st.sampled_from(
    [b"/webhooks/meta/1"] * 5
    + [b"/", b"*", b"//", b"/%00", b"/%", b"http://bus/webhooks/meta/1", b"/a b", b"/\xff", b"/" + b"x" * 70_000, b""]
)


@FUZZ
@given(stream=streams(requests(_TARGETS, _BODIES)), cuts=st.lists(st.integers(0, 100_000), max_size=3))
def test_whatever_bytes_come_the_server_answers_cleanly_and_goes_on(
    keeper: tuple[Keeper, int, Troubles], stream: bytes, cuts: list[int]
) -> None:
    one, port, troubles = keeper
    one.kept.clear()
    statuses, _ = exchange(port, stream, cuts)
    assert set(statuses) - {100} <= CLEAN
    assert statuses.count(200) <= len(one.kept)
    assert not troubles.found
    assert exchange(port, a_request(b"still here"), answers=1)[0] == [200]
    assert one.kept[-1] == b"still here"


INNER = a_request(b"smuggled")
IN_CHUNKS = chunked(b"outer")


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(IN_CHUNKS + INNER), IN_CHUNKS + INNER),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", IN_CHUNKS + INNER),
        (b"Content-Length: 5\r\nTransfer-Encoding: identity", b"outer" + INNER),
        (b"Content-Length: 5\r\nContent-Length: %d" % (5 + len(INNER)), b"outer" + INNER),
        (b"Content-Length: 5\r\nContent-Length: 5", b"outer" + INNER),
        (b"Content-Length: 5, 5", b"outer" + INNER),
        (b"Content-Length: +5", b"outer" + INNER),
        (b"Content-Length: -5", INNER),
        (b"Content-Length: 0x5", b"outer" + INNER),
        (b"Content-Length: 5 5", b"outer" + INNER),
        (b"Content-Length : 5", b"outer" + INNER),
        (b"Content-Length: 5\n", b"outer" + INNER),
        (b"Content-Length: 18446744073709551621", b"outer" + INNER),
        (b"Transfer-Encoding: xchunked", IN_CHUNKS + INNER),
        (b"Transfer-Encoding: chunked, identity", IN_CHUNKS + INNER),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", IN_CHUNKS + INNER),
        (b"Transfer-Encoding: \x0bchunked", IN_CHUNKS + INNER),
        (b"Transfer-Encoding:\r\n chunked", IN_CHUNKS + INNER),
        (b"Transfer_Encoding: chunked\r\nTransfer-Encoding : chunked", IN_CHUNKS + INNER),
        (b"Transfer-Encoding: chunked", b"5;a=\n\r\nouter\r\n0\r\n\r\n" + INNER),
        (b"Transfer-Encoding: chunked", b"5\nouter\n0\n\n" + INNER),
        (b"Transfer-Encoding: chunked", b"0x5\r\nouter\r\n0\r\n\r\n" + INNER),
        (b"Transfer-Encoding: chunked", b"10000000000000005\r\nouter\r\n0\r\n\r\n" + INNER),
        (b"Transfer-Encoding: chunked", b"5\r\nouterX\r\n0\r\n\r\n" + INNER),
    ],
)
def test_what_can_be_read_in_two_ways_smuggles_nothing(
    keeper: tuple[Keeper, int, Troubles], framing: bytes, body: bytes
) -> None:
    one, port, troubles = keeper
    one.kept.clear()
    head = b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\n" + signed(b"outer")[1] + b"\r\n" + framing + b"\r\n\r\n"
    statuses, _ = exchange(port, head + body)
    assert one.kept == []
    assert statuses == [400]
    assert not troubles.found


def test_trailers_add_no_signature(keeper: tuple[Keeper, int, Troubles]) -> None:
    one, port, _ = keeper
    one.kept.clear()
    head = b"POST /webhooks/meta/1 HTTP/1.1\r\nHost: bus\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailer = b"X-Hub-Signature-256: " + signature_of(b"outer")
    statuses, _ = exchange(port, head + chunked(b"outer")[:-2] + trailer + b"\r\n\r\n", answers=1)
    assert (statuses, one.kept) == ([401], [])
