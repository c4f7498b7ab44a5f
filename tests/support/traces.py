"""Traces put together from the span files of several processes."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.telemetry.span_files import read_span_file


@dataclass(frozen=True, slots=True)
class Caller:
    """The trace context of somebody outside, who asks platformbus for something."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


def new_caller() -> Caller:
    return Caller(secrets.token_hex(16), secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class SpanLine:
    """A span as its process wrote it."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    start_ns: int
    end_ns: int
    status: str
    attributes: dict[str, Any]
    linked: frozenset[tuple[str, str]]
    """(trace id, span id) of each link."""


class Traces:
    """All spans of some files, as they were read."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.spans = [_span(line) for file in files for line in read_span_file(file)]

    def of(self, trace_id: str) -> list[SpanLine]:
        """The spans of one trace, by their start."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start_ns)

    def one(self, trace_id: str, service: str, name: str) -> SpanLine:
        """The only span of that name in the trace. Raises: AssertionError that shows the trace."""
        found = [span for span in self.of(trace_id) if (span.service, span.name) == (service, name)]
        assert len(found) == 1, f"{len(found)} spans {name} of {service} in\n{self.drawn(trace_id)}"
        return found[0]

    def is_whole(self, caller: Caller, *names: tuple[str, str]) -> bool:
        """Whether the caller's trace holds these spans, each span's parent, and each made message's sending.

        Processes write their spans some moments after they end, and in no order among each other: the relay may still
        wait for the broker's word on a batch whose messages were long handled elsewhere.
        """
        spans = self.of(caller.trace_id)
        ids = {span.span_id for span in spans} | {caller.span_id}
        created = [span for span in spans if span.kind == "PRODUCER"]
        return (
            set(names) <= {(span.service, span.name) for span in spans}
            and all(span.parent_span_id in ids for span in spans)
            and all(self.sending(each) for each in created)
        )

    def sending(self, created: SpanLine) -> list[SpanLine]:
        """The batches in which the message of this span was sent: the relay's spans, which belong to no trace."""
        name = f"send {created.attributes['messaging.destination.name']}"
        return [span for span in self.linking_to(created) if span.name == name]

    def linking_to(self, span: SpanLine) -> list[SpanLine]:
        """The spans, of any trace, that link to this one: the batches in which its message travelled."""
        return [other for other in self.spans if (span.trace_id, span.span_id) in other.linked]

    def drawn(self, trace_id: str) -> str:
        """The trace as an indented tree, for people."""
        spans = self.of(trace_id)
        known = {span.span_id for span in spans}

        def lines(parent: str | None, depth: int) -> list[str]:
            drawn: list[str] = []
            for span in spans:
                above = span.parent_span_id if span.parent_span_id in known else None
                if above == parent:
                    drawn.append(f"{'  ' * depth}{span.service}: {span.name} [{span.kind}]")
                    drawn += lines(span.span_id, depth + 1)
            return drawn

        return "\n".join(lines(None, 0))


def _span(line: dict[str, Any]) -> SpanLine:
    return SpanLine(
        service=line["service"],
        name=line["name"],
        kind=line["kind"],
        trace_id=line["trace_id"],
        span_id=line["span_id"],
        parent_span_id=line["parent_span_id"],
        start_ns=line["start_ns"],
        end_ns=line["end_ns"],
        status=line["status"],
        attributes=line["attributes"],
        linked=frozenset((link["trace_id"], link["span_id"]) for link in line["links"]),
    )
