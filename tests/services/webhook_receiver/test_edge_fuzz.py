"""Bytes from clean to malicious against the edge behind the real server: nothing falls, nothing unsigned is kept."""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.meta import build_platform
from libs.platforms.meta.settings import MetaSettings
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.vocabulary import PlatformName
from services.webhook_receiver.api.edge import Edge, EdgeLimits
from services.webhook_receiver.models import App, Arrival
from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.meta_recorded import bodies
from tests.support.raw_http import Troubles, chunked, exchange, requests, served, streams

pytestmark = pytest.mark.e2e

FUZZ = settings(
    max_examples=FUZZ_EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
APP = "1234567890"
SECRETS = (b"the-newer-secret", b"the-older-secret")
META = build_platform(None, MetaSettings()).webhooks
assert META is not None
KNOWN = App(PlatformName.META, APP, SECRETS, (b"a-token",), META)
LIMITS = EdgeLimits(body_bytes=20_000, free_refusals=10**9)
CLEAN = {100, 200, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 422, 431, 503}


@dataclass
class Kept:
    """What stands around an edge: it knows one app, keeps everything and notes refusals."""

    arrivals: list[Arrival] = field(default_factory=list)
    refused: list[Arrival] = field(default_factory=list)

    def find(self, platform: str, app: str) -> App | None:
        return KNOWN if (platform, app) == ("meta", APP) else None

    async def add(self, item: Arrival, size_bytes: int) -> None:
        assert size_bytes >= len(item.raw)
        self.arrivals.append(item)

    def wants(self, platform: str, app: str) -> bool:
        return True

    def count(self, platform: str, reason: str) -> None:
        assert platform in ("meta", "unknown")

    def keep(self, arrival: Arrival, reason: str) -> None:
        self.refused.append(arrival)


@pytest.fixture(scope="module")
def edge() -> Iterator[tuple[Kept, int, Troubles]]:
    kept = Kept()
    inner = create_app("webhook_receiver", routers=[], health=Health())
    with served(Edge(inner, directory=kept, commit=kept, refusals=kept, limits=LIMITS)) as (port, troubles):
        yield kept, port, troubles


def signature_of(body: bytes, secret: bytes = SECRETS[0]) -> bytes:
    return b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


def line(signature: bytes) -> bytes:
    return b"X-Hub-Signature-256: " + signature


def a_delivery(body: bytes) -> bytes:
    head = b"POST /webhooks/meta/%s HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n%s\r\n\r\n"
    return head % (APP.encode(), len(body), line(signature_of(body))) + body


_BODIES = st.sampled_from([*bodies()[:12], b"", b"{}", b"[" * 500, b"\xff" * 300, b"x" * 25_000])
_SIGNED = st.one_of(
    st.tuples(_BODIES, st.sampled_from(SECRETS)).map(lambda pair: (pair[0], line(signature_of(*pair)))),
    _BODIES.map(lambda body: (body, line(signature_of(body, b"another secret")))),
    _BODIES.map(lambda body: (body, line(signature_of(body + b" ")))),
    _BODIES.map(lambda body: (body, line(signature_of(body)) + b"\r\n" + line(b"sha256=" + b"0" * 64))),
    _BODIES.map(
        lambda body: (body, b"X-Hub-Signature: sha1=" + hmac.new(SECRETS[0], body, "sha1").hexdigest().encode())
    ),
    _BODIES.map(lambda body: (body, line(b"sha256=\xff\xfe"))),
)
_TARGETS = st.sampled_from(
    [b"/webhooks/meta/" + APP.encode()] * 8
    + [b"/webhooks/meta/%31%32%33", b"/webhooks/meta/1234567890?x=1", b"/webhooks/meta/1234567890/", b"/webhooks//"]
    + [b"/webhooks/meta/../meta/1234567890", b"/webhooks/meta/%00", b"/webhooks/meta/" + b"9" * 9_000, b"/webhooks/"]
    + [b"/live", b"/metrics", b"/v1/webhooks", b"/openapi.json", b"http://bus/webhooks/meta/1234567890", b"*", b"/\xff"]
    + [b"/webhooks/meta/1234567890?hub.mode=subscribe&hub.challenge=7&hub.verify_token=a-token"]
)


@FUZZ
@given(stream=streams(requests(_TARGETS, _SIGNED)), cuts=st.lists(st.integers(0, 60_000), max_size=3))
def test_whatever_bytes_come_only_what_is_truly_signed_is_kept_and_the_edge_goes_on(
    edge: tuple[Kept, int, Troubles], stream: bytes, cuts: list[int]
) -> None:
    kept, port, troubles = edge
    kept.arrivals.clear()
    kept.refused.clear()
    statuses, read = exchange(port, stream, cuts)
    assert set(statuses) <= CLEAN
    for arrival in kept.arrivals:
        assert arrival.signature in {signature_of(arrival.raw, secret).decode() for secret in SECRETS}
        assert len(arrival.raw) <= LIMITS.body_bytes
    for arrival in (*kept.arrivals, *kept.refused):  # Postgres must be able to hold it
        texts = (arrival.signature, arrival.user_agent, arrival.source_ip, arrival.traceparent)
        assert all("\x00" not in (text or "") for text in texts)
        assert "\\u0000" not in arrival.headers
    assert read.count(b"\r\n\r\nOK") <= len(kept.arrivals)
    assert not troubles.found
    assert exchange(port, a_delivery(b"still here"), answers=1)[0] == [200]
    assert kept.arrivals[-1].raw == b"still here"


@pytest.mark.parametrize("stored_as", [b"{}", b'{"object":"page","entry":[]}'])
def test_a_delivery_in_chunks_is_the_delivery(edge: tuple[Kept, int, Troubles], stored_as: bytes) -> None:
    kept, port, _ = edge
    head = b"POST /webhooks/meta/%s HTTP/1.1\r\nHost: bus\r\nTransfer-Encoding: chunked\r\n%s\r\n\r\n"
    stream = head % (APP.encode(), line(signature_of(stored_as))) + chunked(stored_as, 3)
    assert exchange(port, stream, [10, 100, 150, len(stream) - 3], answers=1)[0] == [200]
    assert kept.arrivals[-1].raw == stored_as
