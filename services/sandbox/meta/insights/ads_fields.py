"""The fields of an ads insights row, counted from a row's numbers.

Counts are texts, money is text in the currency's major unit, rates have up to six digits (O samples, digits T).
Formulas O (descriptions in marketing-api/reference/adgroup/insights). A field without a value is left out (M), and so
is a rate whose divisor is zero (T).
Kinds of actions and how they contain each other O (insights/breakdowns#total-count-in-actions,
reference/ads-action-stats): `post_engagement` counts what people do with the post, `page_engagement` contains it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from services.sandbox.meta.insights.ads_query import GONE_WINDOWS
from services.sandbox.meta.insights.combinations import HOURLY, OFF_META_HIDDEN
from services.sandbox.meta.statistics import Numbers
from services.sandbox.meta.world import Node

MICROS = 1_000_000
_SIX_DIGITS = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class RowContext:
    """One row before its fields are chosen."""

    numbers: Numbers
    gives_reach: bool
    """False where people are not given for such a query."""
    objects: Mapping[str, Node]
    """The object of each level down to the row's own."""
    level: str
    date_start: date
    date_stop: date
    split: Mapping[str, str]
    """Breakdown -> the part that the row is about."""
    windows: Sequence[str]
    action_breakdowns: Sequence[str]
    action_types: Callable[[str], bool]
    """Which kinds of actions a filter lets through."""

    def count(self, name: str) -> int:
        return int(getattr(self.numbers, name))

    @property
    def reach(self) -> int | None:
        """People, each counted once; None where they are not given. In this world people of other days are others."""
        return self.numbers.reach if self.gives_reach else None

    @property
    def is_hourly(self) -> bool:
        return bool(HOURLY & self.split.keys())


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


def money(micros: int) -> str:
    """Exact, without zeros at the end: `5339.5` (O sample)."""
    return _plain(Decimal(micros) / MICROS)


def rate(above: int | Decimal, below: int) -> str | None:
    if below <= 0:
        return None
    return _plain((Decimal(above) / Decimal(below)).quantize(_SIX_DIGITS, ROUND_HALF_UP))


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _spend(row: RowContext) -> Decimal:
    return Decimal(row.count("spend_micros")) / MICROS


def _per(name: str, factor: int = 1) -> Callable[[RowContext], str | None]:
    return lambda row: rate(_spend(row) * factor, row.count(name))


def _share(name: str) -> Callable[[RowContext], str | None]:
    """Percent of the impressions."""
    return lambda row: rate(row.count(name) * 100, row.count("impressions"))


def _count(name: str) -> Callable[[RowContext], str]:
    return lambda row: str(row.count(name))


def _unique(count: int, reach: int) -> int:
    """People behind so many clicks; made up: Meta counts accounts."""
    return min(reach, count - count // 12)


def _unique_count(name: str) -> Callable[[RowContext], str | None]:
    return lambda row: None if row.reach is None else str(0 if row.is_hourly else _unique(row.count(name), row.reach))


def _cost_per_unique(name: str) -> Callable[[RowContext], str | None]:
    return lambda row: None if not row.reach else rate(_spend(row), _unique(row.count(name), row.reach))


def _unique_rate(name: str) -> Callable[[RowContext], str | None]:
    return lambda row: None if not row.reach else rate(_unique(row.count(name), row.reach) * 100, row.reach)


def _reach(row: RowContext) -> str | None:
    """Zero with hours (O)."""
    return None if row.reach is None else str(0 if row.is_hourly else row.reach)


def _frequency(row: RowContext) -> str | None:
    if row.reach is None or row.is_hourly:
        return None if row.reach is None else "0"
    return rate(row.count("impressions"), row.reach)


def _cpp(row: RowContext) -> str | None:
    return None if not row.reach or row.is_hourly else rate(_spend(row) * 1000, row.reach)


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


ON_META = ("link_click", "post_reaction", "comment", "post", "video_view", "post_engagement", "page_engagement")
OFF_META = (
    "landing_page_view",
    "offsite_conversion.fb_pixel_purchase",
    "purchase",
    "omni_purchase",
    "offsite_conversion.fb_pixel_lead",
    "lead",
)
_COUNTED: Mapping[str, str] = {
    "link_click": "link_clicks",
    "post_reaction": "likes",
    "comment": "comments",
    "post": "shares",
    "video_view": "video_views",
    "landing_page_view": "landing_page_views",
    "offsite_conversion.fb_pixel_purchase": "purchases",
    "purchase": "purchases",
    "omni_purchase": "purchases",
    "offsite_conversion.fb_pixel_lead": "leads",
    "lead": "leads",
}
_ENGAGEMENT = ("link_clicks", "likes", "comments", "shares", "video_views")
_PURCHASES = ("offsite_conversion.fb_pixel_purchase", "purchase", "omni_purchase")


def action_counts(row: RowContext) -> dict[str, int]:
    """Kind of action -> how many; those off Meta are left out beside some breakdowns (O)."""
    kinds = ON_META if OFF_META_HIDDEN & row.split.keys() else (*ON_META, *OFF_META)
    counts = {kind: row.count(_COUNTED[kind]) for kind in kinds if kind in _COUNTED}
    counts["post_engagement"] = counts["page_engagement"] = sum(row.count(name) for name in _ENGAGEMENT)
    return {kind: count for kind, count in counts.items() if count and row.action_types(kind)}


def _windows(row: RowContext, count: int, kind: str) -> dict[str, int]:
    """Every window that was asked for. `value` stays what it is without windows (O).

    Made up, and such that windows add up as counts do: actions on Meta happen at once, so a click's windows hold all
    of them; of those off Meta the world has only what was clicked before. View windows hold none.
    """
    found: dict[str, int] = {}
    for window in row.windows:
        if window in GONE_WINDOWS:
            continue
        if window == "default" or (window.endswith("_click") and not window.startswith("skan")):
            found[window] = count
    return {("value" if window == "default" else window): number for window, number in found.items()}


def _entries(row: RowContext, counts: Mapping[str, int], write: Callable[[int], str]) -> list[dict[str, str]] | None:
    entries = []
    for kind, count in counts.items():
        shown = {"action_type": kind} if "action_type" in row.action_breakdowns else {}
        shown |= _action_split(row, kind)
        windows = {window: write(number) for window, number in _windows(row, count, kind).items()}
        entries.append({**shown, "value": write(count), **windows})
    return entries or None


def _action_split(row: RowContext, kind: str) -> dict[str, str]:
    """Other breakdowns of actions; the world knows one part of each, so counts stay whole."""
    found: dict[str, str] = {}
    page = str(row.objects["account"].values.get("account_id"))
    if "action_target_id" in row.action_breakdowns:
        found["action_target_id"] = page
    if "action_destination" in row.action_breakdowns:
        found["action_destination"] = page
    if "action_device" in row.action_breakdowns:
        found["action_device"] = "other"
    if "action_reaction" in row.action_breakdowns and kind == "post_reaction":
        found["action_reaction"] = "like"
    return found


def _actions(row: RowContext) -> list[dict[str, str]] | None:
    return _entries(row, action_counts(row), str)


def _unique_actions(row: RowContext) -> list[dict[str, str]] | None:
    if not row.reach or row.is_hourly:
        return None
    counts = {kind: _unique(count, row.reach) for kind, count in action_counts(row).items()}
    return _entries(row, {kind: count for kind, count in counts.items() if count}, str)


def _action_values(row: RowContext) -> list[dict[str, str]] | None:
    value = row.count("purchase_micros")
    counts = {kind: value for kind in _PURCHASES if kind in action_counts(row)}
    return _entries(row, counts, money) if value else None


def _cost_per_action(row: RowContext) -> list[dict[str, str]] | None:
    spend = _spend(row)
    return _entries(row, action_counts(row), lambda count: rate(spend, count) or "0")


def _roas(kind: str) -> Callable[[RowContext], list[dict[str, str]] | None]:
    def read(row: RowContext) -> list[dict[str, str]] | None:
        value, spend = row.count("purchase_micros"), row.count("spend_micros")
        if not value or not spend or kind not in action_counts(row):
            return None
        return [{"action_type": kind, "value": rate(value, spend) or "0"}]

    return read


def _single(kind: str, name: str) -> Callable[[RowContext], list[dict[str, str]] | None]:
    """Fields whose list has one kind of action."""

    def read(row: RowContext) -> list[dict[str, str]] | None:
        count = row.count(name)
        return [{"action_type": kind, "value": str(count)}] if count else None

    return read


def _single_share(kind: str, name: str) -> Callable[[RowContext], list[dict[str, str]] | None]:
    def read(row: RowContext) -> list[dict[str, str]] | None:
        share = rate(row.count(name) * 100, row.count("impressions"))
        return [{"action_type": kind, "value": share}] if share and row.count(name) else None

    return read


def _engagement(row: RowContext) -> str:
    return str(sum(row.count(name) for name in _ENGAGEMENT))


def _cost_per_engagement(row: RowContext) -> str | None:
    return rate(_spend(row), sum(row.count(name) for name in _ENGAGEMENT))


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
    "inline_post_engagement": _engagement,
    "cost_per_inline_post_engagement": _cost_per_engagement,
    "outbound_clicks": _single("outbound_click", "link_clicks"),
    "outbound_clicks_ctr": _single_share("outbound_click", "link_clicks"),
    "website_ctr": _single_share("link_click", "link_clicks"),
    "actions": _actions,
    "unique_actions": _unique_actions,
    "action_values": _action_values,
    "cost_per_action_type": _cost_per_action,
    "purchase_roas": _roas("omni_purchase"),
    "website_purchase_roas": _roas("offsite_conversion.fb_pixel_purchase"),
    "video_play_actions": _single("video_view", "video_views"),
    "video_p25_watched_actions": _single("video_view", "video_p25"),
    "video_p50_watched_actions": _single("video_view", "video_p50"),
    "video_p75_watched_actions": _single("video_view", "video_p75"),
    "video_p95_watched_actions": _single("video_view", "video_p95"),
    "video_p100_watched_actions": _single("video_view", "video_p100"),
    "video_thruplay_watched_actions": _single("video_view", "thruplays"),
}
