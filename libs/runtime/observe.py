"""A span and a measurement for every HTTP request; probes are measured but not traced."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.telemetry.metrics import gauge, histogram
from libs.telemetry.spans import http_server_span
from libs.telemetry.tracing import fail_span

REQUEST_SECONDS = histogram(
    "http_server_request_duration_seconds",
    "Time from a request's head to its whole answer",
    ["method", "route", "status"],
)
REQUESTS_IN_FLIGHT = gauge("http_server_active_requests", "HTTP requests being served")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROBES = frozenset({"/live", "/ready", "/metrics"})


class ObserveMiddleware:
    """Outermost layer: it sees the status that really goes out."""

    def __init__(self, app: ASGIApp, *, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        status = 500
        started = time.perf_counter()

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        REQUESTS_IN_FLIGHT.inc()
        try:
            if scope["path"] in PROBES:
                await self._app(scope, receive, watched_send)
                return
            with http_server_span(method, scope["path"], _traceparent(scope)) as span:
                await self._app(scope, receive, watched_send)
                route = _route(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    fail_span(span, str(status))
        finally:
            REQUESTS_IN_FLIGHT.dec()
            REQUEST_SECONDS.labels(method, _route(scope), str(status)).observe(time.perf_counter() - started)


def _route(scope: Scope) -> str:
    """The route's template, never the path: a label must have few values."""
    return getattr(scope.get("route"), "path", None) or "unknown"


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            text: str = value.decode("latin-1")
            return text
    return None
