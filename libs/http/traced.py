"""A span for every request that leaves us. The platform gets no `traceparent`: our traces are none of its business."""

import httpx

from libs.telemetry.redaction import redact_text
from libs.telemetry.spans import http_client_span
from libs.telemetry.tracing import fail_span


class TracedTransport(httpx.AsyncBaseTransport):
    """Wraps a transport; the span says method, host, path and status, never the query, a header or a body."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with http_client_span(
            request.method, host=url.host, port=url.port, path=redact_text(url.path, max_chars=200)
        ) as span:
            response = await self._inner.handle_async_request(request)
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 400:
                fail_span(span, str(response.status_code))
            return response

    async def aclose(self) -> None:
        await self._inner.aclose()
