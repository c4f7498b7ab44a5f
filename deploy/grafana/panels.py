"""The kinds of panels that dashboards are made of, over the typed builders of Grafana 11.6."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import BigValueColorMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH: Final = 24
"""Columns of Grafana's grid."""
_HEIGHT: Final = 7


def graph(
    title: str, unit: str, meaning: str, *queries: tuple[str, str], width: int = 8, limit: float | None = None
) -> timeseries.Panel:
    """Lines over time. `queries` are pairs of query and legend; `limit` is where the alert's threshold lies."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(meaning)
        .unit(unit)
        .min(0)
        .datasource(SOURCE)
        .span(width)
        .height(_HEIGHT)
    )
    if limit is not None:
        panel = panel.thresholds(_thresholds(limit))
    for number, (query, legend) in enumerate(queries):
        panel = panel.with_target(_query(number, query).legend_format(legend))
    return panel


def number(
    title: str, unit: str, meaning: str, query: str, *, width: int = 4, bad_from: float | None = None
) -> stat.Panel:
    """One number as of now; red from `bad_from` on."""
    panel = (
        stat.Panel()
        .title(title)
        .description(meaning)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(4)
        .color_mode(BigValueColorMode.BACKGROUND if bad_from is not None else BigValueColorMode.VALUE)
        .with_target(_query(0, query).instant())
    )
    return panel.thresholds(_thresholds(bad_from)) if bad_from is not None else panel


def rate(metric: str, *by: str) -> str:
    """A counter's rate, summed by labels, or over all."""
    return f"{_sum(by)} (rate({metric}[$__rate_interval]))"


def quantile(share: float, metric: str, *by: str) -> str:
    """A quantile of a histogram, by labels."""
    name, _, matcher = metric.partition("{")
    return f"histogram_quantile({share:g}, {rate(f'{name}_bucket' + (matcher and '{' + matcher), *by, 'le')})"


def mean(metric: str, *by: str) -> str:
    """The mean of a histogram, by labels."""
    return f"{rate(f'{metric}_sum', *by)} / {rate(f'{metric}_count', *by)}"


def row(title: str) -> dashboard.Row:
    """The heading of the panels that follow."""
    return dashboard.Row(title)


def _sum(by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)})" if by else "sum"


def _query(number: int, query: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query).ref_id(chr(ord("A") + number))


def _thresholds(bad_from: float) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green"), Threshold(value=bad_from, color="red")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
