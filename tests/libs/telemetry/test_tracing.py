import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from libs.telemetry.spans import create_span, http_server_span, process_span, send_span
from libs.telemetry.tracing import (
    MAX_LINKS,
    SpanKind,
    current_traceparent,
    links_to,
    parse_traceparent,
    start_span,
    traceparent_of,
)
from tests.support.spans import recorded_spans

ROOT = Path(__file__).parents[3]
ONE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TWO = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with recorded_spans() as exporter:
        yield exporter


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def test_context_goes_out_as_it_came_in(spans: InMemorySpanExporter) -> None:
    with start_span("work", parent_traceparent=ONE) as span:
        text = current_traceparent()
        assert text == traceparent_of(span)
    assert text is not None
    assert text.split("-")[1] == ONE.split("-")[1]
    assert parse_traceparent(text) is not None
    finished = only(spans)
    assert finished.parent is not None
    assert f"{finished.parent.span_id:016x}" == "b7ad6b7169203331"


def test_without_a_span_there_is_no_context() -> None:
    assert current_traceparent() is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333 -01",
        "x" * 1_000,
    ],
)
def test_a_context_that_is_not_valid_starts_a_new_trace(text: str | None, spans: InMemorySpanExporter) -> None:
    with start_span("work", parent_traceparent=text):
        pass
    assert only(spans).parent is None


def test_a_later_version_of_the_header_is_read() -> None:
    assert parse_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more") is not None


@given(st.text(max_size=80))
def test_no_header_text_breaks_the_reader(text: str) -> None:
    parse_traceparent(text)


def test_an_error_marks_the_span_without_secrets(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="access_token"), start_span("work"):
        raise ValueError("GET /me?access_token=EAAGm0PX4ZCpsBAKZBZC")
    span = only(spans)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert "EAAG" not in (span.status.description or "")
    assert span.events == ()


def test_links_are_unique_valid_and_bounded() -> None:
    assert len(links_to([ONE, ONE, TWO, None, "nonsense"])) == 2
    many = [f"00-{n:032x}-b7ad6b7169203331-01" for n in range(1, 400)]
    assert len(links_to(many)) == MAX_LINKS


def test_an_event_is_created_under_its_cause(spans: InMemorySpanExporter) -> None:
    with start_span("other"), create_span("ingest.accepted", message_id="e1", cause_traceparent=ONE):
        pass
    created = spans.get_finished_spans()[0]
    assert created.name == "create ingest.accepted"
    assert created.kind is SpanKind.PRODUCER
    assert ids(created)[0] == ONE.split("-")[1]
    assert created.attributes is not None
    assert created.attributes["messaging.system"] == "kafka"
    assert created.attributes["messaging.message.id"] == "e1"
    assert created.attributes["messaging.destination.name"] == "ingest.accepted"


def test_sending_links_to_every_event_and_is_child_of_none(spans: InMemorySpanExporter) -> None:
    with start_span("other"), send_span("requests", [ONE, TWO]):
        pass
    span = spans.get_finished_spans()[0]
    assert (span.name, span.kind, span.parent) == ("send requests", SpanKind.CLIENT, None)
    assert len(span.links) == 2
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 2


def test_a_single_message_is_processed_in_its_own_trace_and_many_by_links(spans: InMemorySpanExporter) -> None:
    with process_span("requests", [ONE], group="ingest"):
        pass
    with process_span("requests", [ONE, TWO], group="ingest"):
        pass
    single, many = spans.get_finished_spans()
    assert ids(single)[0] == ONE.split("-")[1]
    assert (many.parent, len(many.links)) == (None, 2)
    assert {single.kind, many.kind} == {SpanKind.CONSUMER}


def test_an_http_request_continues_the_callers_trace(spans: InMemorySpanExporter) -> None:
    with http_server_span("POST", "/v1/requests", ONE):
        pass
    span = only(spans)
    assert span.kind is SpanKind.SERVER
    assert ids(span)[0] == ONE.split("-")[1]


@pytest.mark.parametrize(("where", "is_on"), [("", False), ("spans_file=Path(sys.argv[1])", True)])
def test_tracing_is_on_only_where_spans_go_somewhere(tmp_path: Path, where: str, is_on: bool) -> None:
    script = (
        "import sys; from pathlib import Path; from libs.telemetry.tracing import configure_tracing, tracing_is_on;"
        f"configure_tracing('testing', {where}); print(tracing_is_on())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "spans")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == str(is_on)
