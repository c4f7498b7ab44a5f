"""Traces: set-up, W3C context in and out, and the one way to open a span.

Spans go to an OTLP collector when an endpoint is set, else, when a file is named, to that file, a JSON object a line;
else nowhere, and every span here is a no-op. `OTEL_TRACES_SAMPLER` chooses what is kept, as the SDK documents it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from libs.telemetry.redaction import safe_error
from libs.telemetry.span_files import SpanFileExporter

MAX_LINKS = 128
"""Links of one span, the SDK's own default; a batch says its true size in `messaging.batch.message_count`."""
EXPORT_INTERVAL_MS = 500

__all__ = [
    "Span",
    "SpanKind",
    "configure_tracing",
    "current_traceparent",
    "fail_span",
    "links_to",
    "shutdown_tracing",
    "start_span",
    "traceparent_of",
    "tracing_is_on",
]

_tracer = trace.get_tracer("platformbus")
_provider: TracerProvider | None = None
_exports = False


def configure_tracing(
    service: str,
    *,
    spans_file: Path | None = None,
    otlp_endpoint: str | None = None,
    exporter: SpanExporter | None = None,
) -> None:
    """Start exporting this process's spans. A second call adds its exporter; the service keeps the first call's name.

    `exporter` (a test's in-memory one) is written to at once, the other two in batches by a thread.
    """
    global _provider, _exports  # noqa: PLW0603  the SDK allows one provider per process; this module owns it
    if _provider is None:
        _provider = TracerProvider(
            resource=Resource.create({"service.name": service, "service.namespace": "platformbus"}),
            span_limits=SpanLimits(max_links=MAX_LINKS, max_span_attributes=64, max_attribute_length=1_024),
        )
        trace.set_tracer_provider(_provider)
    if exporter is not None:
        _provider.add_span_processor(SimpleSpanProcessor(exporter))
    if otlp_endpoint:
        _provider.add_span_processor(_batched(_otlp_exporter(otlp_endpoint)))
    elif spans_file is not None:
        _provider.add_span_processor(_batched(SpanFileExporter(spans_file)))
    _exports = _exports or exporter is not None or bool(otlp_endpoint) or spans_file is not None


def tracing_is_on() -> bool:
    """Whether spans of this process go anywhere, so that hot paths can leave out what only spans need."""
    return _exports


def shutdown_tracing() -> None:
    """Export what is left and stop the exporting threads, within some seconds; spans opened later are lost."""
    if _provider is not None:
        _provider.shutdown()


@contextmanager
def start_span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    parent_traceparent: str | None = None,
    root: bool = False,
    links: Iterable[Link] = (),
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """Open a span and make it the current one; its name has few values, details are attributes, never a payload.

    The parent is `parent_traceparent` when it is given and valid, else the current span, or none when `root` is set. An
    exception that leaves the block marks the span as failed with its type and redacted words, and passes on.
    """
    parent = parse_traceparent(parent_traceparent)
    context = Context() if root else None
    if parent is not None:
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
    with _tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        links=list(links),
        attributes=attributes,
        record_exception=False,  # its text could hold a secret; fail_span redacts
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            fail_span(span, error)
            raise


def fail_span(span: Span, error: BaseException | str) -> None:
    """Mark a span as failed; an error's class becomes `error.type`, a text is taken as that type."""
    if isinstance(error, str):
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
        return
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(StatusCode.ERROR, safe_error(error, max_chars=500))


def current_traceparent() -> str | None:
    """Give the W3C `traceparent` of the current span, or None when there is none."""
    return traceparent_of(trace.get_current_span())


def traceparent_of(span: Span) -> str | None:
    """Give the W3C `traceparent` of a span, or None for a no-op span."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def links_to(traceparents: Iterable[str | None]) -> list[Link]:
    """Give links to the contexts that can be read, each once, at most 128."""
    links: dict[str, Link] = {}
    for text in traceparents:
        if text is None or text in links:
            continue
        context = parse_traceparent(text)
        if context is not None:
            links[text] = Link(context)
            if len(links) == MAX_LINKS:
                break
    return list(links.values())


def parse_traceparent(text: str | None) -> SpanContext | None:
    """Read a W3C `traceparent` (versions 00 to fe); None when it is absent or not valid.

    Source: W3C "Trace Context", section 3.2, read 2026-11-21.
    """
    if text is None or not 55 <= len(text) <= 512:
        return None
    parts = text.split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return None
    if parts[0] == "ff" or (parts[0] == "00" and len(parts) != 4):
        return None
    if any(character not in "0123456789abcdef" for part in parts[:4] for character in part):
        return None
    trace_id, span_id, flags = (int(part, 16) for part in parts[1:4])
    if not trace_id or not span_id:
        return None
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & TraceFlags.SAMPLED))


def _batched(exporter: SpanExporter) -> BatchSpanProcessor:
    return BatchSpanProcessor(
        exporter, max_queue_size=8_192, schedule_delay_millis=EXPORT_INTERVAL_MS, max_export_batch_size=1_024
    )


def _otlp_exporter(endpoint: str) -> SpanExporter:
    # Its import takes long, and few processes need it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=10)
