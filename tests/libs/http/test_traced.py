import httpx
import pytest
from opentelemetry.trace import StatusCode

from libs.http.traced import TracedTransport
from libs.telemetry.tracing import SpanKind, start_span
from tests.support.spans import recorded_spans


def answering(status: int) -> TracedTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        assert "traceparent" not in request.headers
        return httpx.Response(status)

    return TracedTransport(httpx.MockTransport(answer))


async def test_a_request_is_a_client_span_under_the_current_one_without_its_query() -> None:
    with recorded_spans() as spans:
        async with httpx.AsyncClient(transport=answering(200)) as client:
            with start_span("batch meta"):
                await client.get("https://graph.facebook.com/v26.0/me?access_token=EAAGm0PX4ZCpsBAKZBZC")
    request, call = spans.get_finished_spans()
    assert request.kind is SpanKind.CLIENT
    assert request.parent is not None
    assert call.context is not None
    assert request.parent.span_id == call.context.span_id
    assert dict(request.attributes or {}) == {
        "http.request.method": "GET",
        "server.address": "graph.facebook.com",
        "url.path": "/v26.0/me",
        "http.response.status_code": 200,
    }


async def test_a_refused_request_marks_its_span() -> None:
    with recorded_spans() as spans:
        async with httpx.AsyncClient(transport=answering(403)) as client:
            await client.get("https://graph.facebook.com/")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR


async def test_a_request_that_fails_marks_its_span_and_passes_on() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused, token=EAAGm0PX4ZCpsBAKZBZC", request=request)

    with recorded_spans() as spans, pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(transport=TracedTransport(httpx.MockTransport(refuse))) as client:
            await client.get("https://graph.facebook.com/")
    (span,) = spans.get_finished_spans()
    assert span.status.description == "ConnectError: refused, token=[redacted]"
