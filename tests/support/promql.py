"""What a PromQL query asks for: each metric with the labels that it must have, by Prometheus' own grammar."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

MADE_BY_PROMETHEUS: Final = {"up"}
GIVEN_BY_PROMETHEUS: Final = {"service", "job", "instance"}
"""Labels of the target; a metric of ours that has one of them would be renamed."""

MACROS: Final = {"$__rate_interval": "5m", "$__range": "1h"}
"""What Grafana puts in."""

_EQUAL: Final = "MatchOp.Equal"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One selector of a query, and the labels by which what it finds is grouped."""

    metric: str
    equal: tuple[tuple[str, str], ...]
    """Labels that must have this value somewhere."""
    labels: frozenset[str]
    """Labels that must be there."""

    def is_answered_by(self, samples: Mapping[str, Sequence[Labels]]) -> bool:
        """Whether a sample has all of it."""
        return any(
            self.labels <= labels.keys() and all(labels.get(name) == value for name, value in self.equal)
            for labels in samples.get(self.metric, ())
        )


def fill_in(query: str, macros: Mapping[str, str] = MACROS) -> str:
    """Put a value in place of each of Grafana's macros."""
    for name, value in macros.items():
        query = query.replace(name, value)
    return query


def asked_by(query: str) -> list[Asked]:
    """Parse a query and give its selectors. Raises: ValueError with the place of the mistake."""
    return list(_walk(promql_parser.parse(fill_in(query)), frozenset()))


def _walk(node: Any, wanted: frozenset[str]) -> Iterator[Asked]:
    if isinstance(node, promql_parser.VectorSelector):
        yield _asked(node, wanted)
    elif isinstance(node, promql_parser.AggregateExpr):
        by = frozenset(node.modifier.labels) if node.modifier is not None else frozenset()
        if missing := wanted - by - {"le"}:
            raise ValueError(f"{node}: grouped away, but asked for further out: {sorted(missing)}")
        yield from _walk(node.expr, by)
    elif isinstance(node, promql_parser.Call) and node.func.name == "histogram_quantile":
        yield from _walk(node.args[1], wanted | {"le"})
    else:
        for child in _children(node):
            yield from _walk(child, wanted)


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.Call):
        yield from node.args
        return
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield child


def _asked(node: Any, wanted: frozenset[str]) -> Asked:
    matchers = node.matchers.matchers
    equal = tuple((matcher.name, matcher.value) for matcher in matchers if str(matcher.op) == _EQUAL)
    labels = wanted | {matcher.name for matcher in matchers}
    if node.name in MADE_BY_PROMETHEUS:
        return Asked(node.name, (), frozenset())
    own = tuple((name, value) for name, value in equal if name not in GIVEN_BY_PROMETHEUS)
    return Asked(node.name, own, frozenset(labels - GIVEN_BY_PROMETHEUS))


def read_samples(pages: Collection[str]) -> dict[str, list[Labels]]:
    """Give the labels of every sample by its name, out of the texts of `/metrics`."""
    found: dict[str, list[Labels]] = {}
    for page in pages:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
    return found
