"""Spans recorded in memory, so that a test asserts what was traced."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.telemetry.tracing import configure_tracing

_exporter = InMemorySpanExporter()
_configured: list[bool] = []


@contextmanager
def recorded_spans() -> Iterator[InMemorySpanExporter]:
    """Give an exporter that holds exactly the spans that end inside the block; they can be read after it too.

    The SDK allows one provider per process, so every test shares this exporter.
    """
    if not _configured:
        configure_tracing("tests", exporter=_exporter)
        _configured.append(True)
    _exporter.clear()
    yield _exporter
