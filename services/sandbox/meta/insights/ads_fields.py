"""The fields of an ads insights row, counted from a row's numbers.

Formulas O (descriptions in marketing-api/reference/adgroup/insights). A field without a value is left out (M), and so
is a rate whose divisor is zero (T).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.sandbox.meta.insights import ads_actions
from services.sandbox.meta.insights.ads_actions import single, single_share, unique
from services.sandbox.meta.insights.ads_row import RowContext, money, rate


def render(row: RowContext, fields: Sequence[str]) -> dict[str, Any]:
    """The row as Meta writes it; days and breakdowns are always there (O samples)."""
    shown: dict[str, Any] = {}
    for field in fields:
        value = value_of(row, field)
        if value is not None:
            shown[field] = value
    shown["date_start"], shown["date_stop"] = row.date_start.isoformat(), row.date_stop.isoformat()
    return {**shown, **row.split}


def value_of(row: RowContext, field: str) -> Any:
    """None where the row has no such value."""
    known = _VALUES.get(field)
    return known(row) if known else None


def sort_key(row: RowContext, field: str) -> Any:
    """What rows are ordered by: a number where the field is one, else its text; rows without it come first."""
    plain, _, action_type = field.partition(":")
    if plain in row.split:
        return (1, 0.0, row.split[plain])
    value = {"date_start": row.date_start.isoformat(), "date_stop": row.date_stop.isoformat()}.get(plain)
    if value is None:
        value = value_of(row, plain)
    if isinstance(value, list):
        wanted = [entry for entry in value if not action_type or entry["action_type"] == action_type]
        value = wanted[0]["value"] if wanted else None
    if value is None:
        return (0, 0.0, "")
    try:
        return (1, float(value), "")
    except ValueError:
        return (1, 0.0, str(value))


def _per(name: str, factor: int = 1) -> Callable[[RowContext], str | None]:
    return lambda row: rate(row.spend * factor, row.count(name))


def _share(name: str) -> Callable[[RowContext], str | None]:
    """Percent of the impressions."""
    return lambda row: rate(row.count(name) * 100, row.count("impressions"))


def _count(name: str) -> Callable[[RowContext], str]:
    return lambda row: str(row.count(name))


def _unique_count(name: str) -> Callable[[RowContext], str | None]:
    return lambda row: None if row.reach is None else str(0 if row.is_hourly else unique(row.count(name), row.reach))


def _cost_per_unique(name: str) -> Callable[[RowContext], str | None]:
    return lambda row: None if not row.reach else rate(row.spend, unique(row.count(name), row.reach))


def _unique_rate(name: str) -> Callable[[RowContext], str | None]:
    return lambda row: None if not row.reach else rate(unique(row.count(name), row.reach) * 100, row.reach)


def _reach(row: RowContext) -> str | None:
    """Zero with hours (O)."""
    return None if row.reach is None else str(0 if row.is_hourly else row.reach)


def _frequency(row: RowContext) -> str | None:
    if row.reach is None or row.is_hourly:
        return None if row.reach is None else "0"
    return rate(row.count("impressions"), row.reach)


def _cpp(row: RowContext) -> str | None:
    return None if not row.reach or row.is_hourly else rate(row.spend * 1000, row.reach)


def _of(level: str, key: str) -> Callable[[RowContext], Any]:
    def read(row: RowContext) -> Any:
        node = row.objects.get(level)
        return None if node is None else node.values.get(key)

    return read


def _day_of(key: str) -> Callable[[RowContext], Any]:
    """When the row's own object was made or last changed: a day (T)."""

    def read(row: RowContext) -> Any:
        value = row.objects[row.level].values.get(key)
        return value.strftime("%Y-%m-%d") if isinstance(value, datetime) else None

    return read


def _ranking(row: RowContext) -> str | None:
    """Of ads only; nobody competes in this world, and an ad without rivals has no rank (T: `UNKNOWN`)."""
    return "UNKNOWN" if row.level == "ad" else None


_VALUES: Mapping[str, Callable[[RowContext], Any]] = {
    "account_id": _of("account", "account_id"),
    "account_name": _of("account", "name"),
    "account_currency": _of("account", "currency"),
    "campaign_id": _of("campaign", "id"),
    "campaign_name": _of("campaign", "name"),
    "adset_id": _of("adset", "id"),
    "adset_name": _of("adset", "name"),
    "ad_id": _of("ad", "id"),
    "ad_name": _of("ad", "name"),
    "objective": _of("campaign", "objective"),
    "buying_type": _of("campaign", "buying_type"),
    "optimization_goal": _of("adset", "optimization_goal"),
    "attribution_setting": lambda row: "7d_click_1d_view",
    "created_time": _day_of("created_time"),
    "updated_time": _day_of("updated_time"),
    "date_start": lambda row: row.date_start.isoformat(),
    "date_stop": lambda row: row.date_stop.isoformat(),
    "impressions": _count("impressions"),
    "clicks": _count("clicks"),
    "spend": lambda row: money(row.count("spend_micros")),
    "social_spend": lambda row: "0",
    "results": ads_actions.results,
    "cost_per_result": ads_actions.cost_per_result,
    "quality_ranking": _ranking,
    "engagement_rate_ranking": _ranking,
    "conversion_rate_ranking": _ranking,
    "reach": _reach,
    "frequency": _frequency,
    "cpc": _per("clicks"),
    "cpm": _per("impressions", 1000),
    "cpp": _cpp,
    "ctr": _share("clicks"),
    "unique_clicks": _unique_count("clicks"),
    "unique_ctr": _unique_rate("clicks"),
    "cost_per_unique_click": _cost_per_unique("clicks"),
    "inline_link_clicks": _count("link_clicks"),
    "inline_link_click_ctr": _share("link_clicks"),
    "cost_per_inline_link_click": _per("link_clicks"),
    "unique_inline_link_clicks": _unique_count("link_clicks"),
    "unique_inline_link_click_ctr": _unique_rate("link_clicks"),
    "unique_link_clicks_ctr": _unique_rate("link_clicks"),
    "cost_per_unique_inline_link_click": _cost_per_unique("link_clicks"),
    "inline_post_engagement": lambda row: str(ads_actions.engagement(row.numbers)),
    "cost_per_inline_post_engagement": lambda row: rate(row.spend, ads_actions.engagement(row.numbers)),
    "outbound_clicks": single("outbound_click", "link_clicks"),
    "outbound_clicks_ctr": single_share("outbound_click", "link_clicks"),
    "website_ctr": single_share("link_click", "link_clicks"),
    "actions": ads_actions.actions,
    "unique_actions": ads_actions.unique_actions,
    "action_values": ads_actions.action_values,
    "cost_per_action_type": ads_actions.cost_per_action,
    "purchase_roas": ads_actions.roas("omni_purchase"),
    "website_purchase_roas": ads_actions.roas("offsite_conversion.fb_pixel_purchase"),
    "video_play_actions": single("video_view", "video_views"),
    "video_p25_watched_actions": single("video_view", "video_p25"),
    "video_p50_watched_actions": single("video_view", "video_p50"),
    "video_p75_watched_actions": single("video_view", "video_p75"),
    "video_p95_watched_actions": single("video_view", "video_p95"),
    "video_p100_watched_actions": single("video_view", "video_p100"),
    "video_thruplay_watched_actions": single("video_view", "thruplays"),
}
