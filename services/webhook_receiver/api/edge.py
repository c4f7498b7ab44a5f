"""The door for platforms, `/webhooks/{platform}/{app}`: plain ASGI, no framework and no middleware.

    GET   200 the challenge | 403
    POST  200 stored | 400 | 401 signature | 411 | 413 | 415 | 503 the database is away, or as much waits as may
    else  404 nobody named that app | 405

A delivery is verified over its raw bytes, committed, and only then answered 200; a platform sends again what was not.
Cheap refusals come first, and all of it costs as little as it can (benchmarks/webhook_ack.py): a flood of wrong
signatures must not hurt good traffic. Beyond some refusals a second their answers are held back for a moment, so who
sends them one after the other gets slow, and who sends good ones does not (decision 0016).
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic, perf_counter
from typing import Any, Final, Protocol

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.events.problem import problem
from libs.platforms.base import Headers
from libs.postgres.group_commit import RETRY_AFTER_SECONDS, Away, Full
from libs.telemetry.redaction import safe_error
from libs.telemetry.spans import http_server_span
from libs.telemetry.tracing import current_traceparent, fail_span, parse_traceparent, start_span, tracing_is_on
from services.webhook_receiver.api.bodies import Bodies, Gone, MadeRoom, TooLarge
from services.webhook_receiver.metrics import RECEIVED, REFUSALS_DELAYED, REFUSED, STORE_SECONDS
from services.webhook_receiver.models import App, Arrival, shard_of
from services.webhook_receiver.usecases.arriving import new_delivery_id

PREFIX: Final = "/webhooks/"
ROUTE: Final = "/webhooks/{platform}/{app}"
_CREDENTIALS: Final = re.compile(rb"authorization|cookie|token|secret|api-?key|passw|credential|session|jwt")
"""In the names of headers that proxies, gateways and people with a wrong client send beside a delivery."""
_LONGEST_TEXT: Final = 500
_LONGEST_LENGTH: Final = 15
_ROW_BYTES: Final = 1_000
"""About what a delivery holds beside its body."""

_log = logging.getLogger(__name__)


class Directory(Protocol):
    """Where apps are found."""

    def find(self, platform: str, app: str) -> App | None:
        """Give an app, or None."""


class Commit(Protocol):
    """Where deliveries are stored."""

    async def add(self, item: Arrival, size_bytes: int) -> None:
        """Return when it is durable. Raises: Away, Full."""


class RefusalLog(Protocol):
    """Where refusals are noted."""

    def wants(self, platform: str, app: str) -> bool:
        """Whether a sample would be kept."""

    def count(self, platform: str, reason: str) -> None:
        """Note one."""

    def keep(self, arrival: Arrival, reason: str) -> None:
        """Keep one, perhaps."""


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """What the edge takes at a time."""

    body_bytes: int = 5_242_880
    reading_bytes: int = 67_108_864
    """Of all bodies that have begun and not yet ended."""
    slow_seconds: float = 1.0
    """A body that takes longer may be cut when there is too much of them."""
    free_refusals: int = 50
    """So many a second are answered at once."""
    delay_seconds: float = 0.25
    """The others wait so long."""
    max_delayed: int = 128
    """At a time; they take places of the server's."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    reason: str
    start: Message
    body: Message


def _answer(status: int, reason: str, body: bytes, content_type: bytes, *more: tuple[bytes, bytes]) -> _Answer:
    headers = ((b"content-type", content_type), (b"content-length", str(len(body)).encode()), *more)
    start = {"type": "http.response.start", "status": status, "headers": headers}
    return _Answer(status, reason, start, {"type": "http.response.body", "body": body})


def _refusal(status: int, reason: str, title: str, detail: str, *more: tuple[bytes, bytes]) -> _Answer:
    document = problem(reason, status, title, detail).model_dump()
    return _answer(status, reason, orjson.dumps(document), b"application/problem+json", *more)


_RETRY: Final = (b"retry-after", str(RETRY_AFTER_SECONDS).encode())
_OK: Final = _answer(200, "", b"OK", b"text/plain; charset=utf-8")
_UNKNOWN: Final = _refusal(404, "unknown_app", "Not found", "No app of this platform and name is known here.")
_METHOD: Final = _refusal(405, "method", "Method not allowed", "Deliveries are posted.", (b"allow", b"GET, POST"))
_HANDSHAKE: Final = _refusal(403, "handshake", "Not allowed", "The handshake does not carry a token of this app.")
_ENCODED: Final = _refusal(415, "encoded", "Encoding not supported", "Bodies are taken as they are, not compressed.")
_NO_LENGTH: Final = _refusal(411, "no_length", "Length required", "Send Content-Length, or a chunked body.")
_TOO_LARGE: Final = _refusal(413, "too_large", "Body too large", "The body is larger than is taken here.")
_AWAY: Final = _refusal(503, "away", "Temporarily unavailable", "It was not stored. Please send it again.", _RETRY)
_FULL: Final = _refusal(503, "full", "Temporarily unavailable", "Too much arrives. Please send it again.", _RETRY)
_MADE_ROOM: Final = _refusal(503, "made_room", "Temporarily unavailable", "It came too slowly. Send it again.", _RETRY)
_FAILED: Final = _refusal(500, "not_stored", "Internal error", "It was not stored because of a fault of ours.")
_UNSIGNED: Final = {
    verdict: _refusal(401, f"signature_{verdict}", "Not authenticated", f"The signature is {words}.")
    for verdict, words in {
        "missing": "missing",
        "malformed": "malformed",
        "wrong_kind": "of a kind that is not taken",
        "wrong": "not that of this body under a secret of this app",
    }.items()
}


class Edge:
    """Serves `/webhooks/`; everything else goes to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        directory: Directory,
        commit: Commit,
        refusals: RefusalLog,
        limits: EdgeLimits | None = None,
    ) -> None:
        self._app = app
        self._directory = directory
        self._commit = commit
        self._refusals = refusals
        self._limits = limits or EdgeLimits()
        self._bodies = Bodies(self._limits.body_bytes, self._limits.reading_bytes, self._limits.slow_seconds)
        self._second = 0.0
        self._refused_in_second = 0
        self._delayed = 0
        self._counters: dict[tuple[str, str], Any] = {}
        self._received: dict[str, tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
        elif tracing_is_on():
            await self._serve_traced(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve_traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        method = scope["method"] if scope["method"] in ("GET", "POST") else "_OTHER"
        with http_server_span(method, scope["path"], _text(headers.get(b"traceparent"))) as span:
            status = await self._serve(scope, receive, send)
            span.update_name(f"{method} {ROUTE}")
            span.set_attribute("http.route", ROUTE)
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                fail_span(span, str(status))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer one request, and give the status."""
        platform, _, name = scope["path"][len(PREFIX) :].partition("/")
        app = self._directory.find(platform, name)
        method = scope["method"]
        try:
            if app is None:
                answer = _UNKNOWN
            elif method == "POST":
                answer = await self._take(app, scope, receive)
            elif method == "GET":
                challenge = app.webhooks.answer_handshake(scope["query_string"], app.verify_tokens)
                answer = _HANDSHAKE if challenge is None else _answer(200, "", challenge, b"text/plain; charset=utf-8")
            else:
                answer = _METHOD
        except Gone:
            return 499
        if answer.status != 200:
            await self._count(app, answer)
        await send(answer.start)
        await send(answer.body)
        return answer.status

    async def _take(self, app: App, scope: Scope, receive: Receive) -> _Answer:
        headers: Headers = scope["headers"]
        found = dict(headers)
        encoding = found.get(b"content-encoding")
        if encoding is not None and encoding.strip().lower() not in (b"identity", b""):
            return _ENCODED
        length = found.get(b"content-length")
        if length is None:
            if b"transfer-encoding" not in found:
                return _NO_LENGTH
        elif len(length) > _LONGEST_LENGTH or int(length) > self._limits.body_bytes:  # digits: the server sees to it
            return _TOO_LARGE
        verdict = app.webhooks.needs_body(headers)
        if verdict is not None and not self._refusals.wants(app.platform.value, app.app):
            return _UNSIGNED[verdict]
        try:
            body = await self._bodies.read(receive)
        except TooLarge:
            return _TOO_LARGE
        except MadeRoom:
            return _MADE_ROOM
        except Full:
            return _FULL
        checked, signature = app.webhooks.check_signature(headers, body, app.secrets)
        if checked != "valid":
            refused = _UNSIGNED[checked]
            if self._refusals.wants(app.platform.value, app.app):
                self._refusals.keep(_arrival(app, scope, found, body, signature), refused.reason)
            return refused
        return await self._store(app, _arrival(app, scope, found, body, signature))

    async def _store(self, app: App, arrival: Arrival) -> _Answer:
        started = perf_counter()
        try:
            if tracing_is_on():
                with start_span("store webhook"):
                    await self._commit.add(arrival, len(arrival.raw) + _ROW_BYTES)
            else:
                await self._commit.add(arrival, len(arrival.raw) + _ROW_BYTES)
        except Away:
            return _AWAY
        except Full:
            return _FULL
        except Exception as error:  # noqa: BLE001  the platform must hear that it is not stored, whatever the reason
            _log.error("a webhook could not be stored: %s", safe_error(error), extra={"webhook_id": str(arrival.id)})
            return _FAILED
        received, seconds = self._received.get(app.platform.value) or self._of_platform(app.platform.value)
        received.inc()
        seconds.observe(perf_counter() - started)
        return _OK

    async def _count(self, app: App | None, answer: _Answer) -> None:
        """Count a refusal; hold it back when there are many, unless the fault is ours."""
        platform = "unknown" if app is None else app.platform.value
        counter = self._counters.get((platform, answer.reason))
        if counter is None:
            counter = self._counters[platform, answer.reason] = REFUSED.labels(platform, answer.reason)
        counter.inc()
        self._refusals.count(platform, answer.reason)
        if answer.status >= 500:
            return
        now = monotonic()
        if now - self._second >= 1.0:
            self._second, self._refused_in_second = now, 0
        self._refused_in_second += 1
        if self._refused_in_second > self._limits.free_refusals and self._delayed < self._limits.max_delayed:
            self._delayed += 1
            REFUSALS_DELAYED.set(self._delayed)
            try:
                await asyncio.sleep(self._limits.delay_seconds)
            finally:
                self._delayed -= 1
                REFUSALS_DELAYED.set(self._delayed)

    def _of_platform(self, platform: str) -> tuple[Any, Any]:
        """Give the metrics of a platform; looking up labels costs more than counting."""
        made = self._received[platform] = (RECEIVED.labels(platform), STORE_SECONDS.labels(platform))
        return made


def _arrival(app: App, scope: Scope, found: dict[bytes, bytes], body: bytes, signature: str | None) -> Arrival:
    delivery_id, received_at = new_delivery_id()
    client = scope.get("client")
    platform = app.platform.value
    return Arrival(
        id=delivery_id,
        received_at=received_at,
        platform=platform,
        app=app.app,
        shard=shard_of(platform, app.app),
        signature=signature,
        headers=_headers_json(scope["headers"]),
        raw=body,
        source_ip=client[0] if client else None,
        user_agent=_text(found.get(b"user-agent")),
        traceparent=_traceparent(found),
    )


def _headers_json(headers: Sequence[tuple[bytes, bytes]]) -> str:
    kept: dict[str, str] = {}
    for name, value in headers:
        if not _may_carry_credential(name):
            key, text = name.decode("latin-1"), value.decode("latin-1")
            kept[key] = f"{kept[key]}, {text}" if key in kept else text
    return orjson.dumps(kept).decode()


@lru_cache(maxsize=512)
def _may_carry_credential(name: bytes) -> bool:
    return _CREDENTIALS.search(name) is not None


def _traceparent(found: dict[bytes, bytes]) -> str | None:
    """Our own span's context, which is the sender's child; without tracing the sender's."""
    if tracing_is_on():
        return current_traceparent()
    text = _text(found.get(b"traceparent"))
    return text if text is not None and parse_traceparent(text) is not None else None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value[:_LONGEST_TEXT].decode("latin-1").replace("\x00", "\ufffd")
