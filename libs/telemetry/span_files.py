"""Spans as JSON lines in a file that several processes may write to at the same time."""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id


class SpanFileExporter(SpanExporter):
    """Appends spans to one file, never truncating or renaming it: whoever reads it may follow it.

    The file is opened for each batch, so that it may be removed while we run, and locked while we write, so that lines
    of two processes never mix. A file that cannot be written to loses its spans, not the service.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        data = "".join(json.dumps(span_as_dict(span), separators=(",", ":")) + "\n" for span in spans).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def span_as_dict(span: ReadableSpan) -> dict[str, Any]:
    """Give a span's line: ids as hex, times as nanoseconds since 1970."""
    context = span.get_span_context()
    return {
        "trace_id": format_trace_id(context.trace_id) if context else None,
        "span_id": format_span_id(context.span_id) if context else None,
        "parent_span_id": format_span_id(span.parent.span_id) if span.parent else None,
        "name": span.name,
        "kind": span.kind.name,
        "service": span.resource.attributes.get("service.name"),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status": span.status.status_code.name,
        "error": span.status.description,
        "attributes": {key: _plain(value) for key, value in (span.attributes or {}).items()},
        "links": [_link(link.context) for link in span.links],
    }


def read_span_file(path: Path) -> list[dict[str, Any]]:
    """Read a spans file, leaving out a last line that is still being written."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def _link(context: SpanContext) -> dict[str, str]:
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
