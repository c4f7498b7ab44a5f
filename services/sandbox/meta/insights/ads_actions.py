"""Actions of an ads insights row: what people did, in lists by kind, and what follows from it.

Kinds and how they contain each other O (insights/breakdowns#total-count-in-actions, reference/ads-action-stats):
`post_engagement` counts what people do with the post, `page_engagement` contains it. `results` T: which count it is,
its form, and that an indicator without results has no values (recorded by clients).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from services.sandbox.meta.insights.ads_query import GONE_WINDOWS
from services.sandbox.meta.insights.ads_row import RowContext, money, rate
from services.sandbox.meta.insights.combinations import OFF_META_HIDDEN
from services.sandbox.meta.statistics import Numbers

Entries = list[dict[str, str]]
Count = Callable[[Numbers], int]

ENGAGEMENT = ("link_clicks", "likes", "comments", "shares", "video_views")


def engagement(numbers: Numbers) -> int:
    return sum(int(getattr(numbers, name)) for name in ENGAGEMENT)


_ON_META: Mapping[str, Count] = {
    "link_click": lambda numbers: numbers.link_clicks,
    "post_reaction": lambda numbers: numbers.likes,
    "comment": lambda numbers: numbers.comments,
    "post": lambda numbers: numbers.shares,
    "video_view": lambda numbers: numbers.video_views,
    "post_engagement": engagement,
    "page_engagement": engagement,
}
_OFF_META: Mapping[str, Count] = {
    "landing_page_view": lambda numbers: numbers.landing_page_views,
    "offsite_conversion.fb_pixel_purchase": lambda numbers: numbers.purchases,
    "purchase": lambda numbers: numbers.purchases,
    "omni_purchase": lambda numbers: numbers.purchases,
    "offsite_conversion.fb_pixel_lead": lambda numbers: numbers.leads,
    "lead": lambda numbers: numbers.leads,
}
_VIEWED: Mapping[str, Count] = {
    "link_click": lambda numbers: numbers.leads,
    "landing_page_view": lambda numbers: numbers.leads,
    "post_reaction": lambda numbers: numbers.comments,
    "video_view": lambda numbers: numbers.video_p95,
    "post_engagement": lambda numbers: numbers.leads + numbers.comments + numbers.video_p95,
    "page_engagement": lambda numbers: numbers.leads + numbers.comments + numbers.video_p95,
}
"""How many followed a view without a click. Made up, and counts of the world, so that windows add up as well."""
_PURCHASES = ("offsite_conversion.fb_pixel_purchase", "purchase", "omni_purchase")
_RESULT_OF_GOAL: Mapping[str, str] = {
    "LINK_CLICKS": "link_click",
    "LANDING_PAGE_VIEWS": "landing_page_view",
    "OFFSITE_CONVERSIONS": "offsite_conversion.fb_pixel_purchase",
    "POST_ENGAGEMENT": "post_engagement",
    "LEAD_GENERATION": "lead",
    "THRUPLAY": "video_view",
}
_RESULT_OF_OBJECTIVE: Mapping[str, str] = {
    "OUTCOME_TRAFFIC": "link_click",
    "OUTCOME_SALES": "offsite_conversion.fb_pixel_purchase",
    "OUTCOME_ENGAGEMENT": "post_engagement",
    "OUTCOME_LEADS": "lead",
}
"""Other goals and objectives count people reached."""


def unique(count: int, reach: int) -> int:
    """People behind so many clicks; made up: Meta counts accounts."""
    return min(reach, count - count // 12)


def counts_of(row: RowContext, numbers: Numbers | None = None) -> dict[str, int]:
    """Kind of action -> how many; those off Meta are left out beside some breakdowns (O)."""
    kinds = _ON_META if OFF_META_HIDDEN & row.split.keys() else {**_ON_META, **_OFF_META}
    counted = {kind: count(numbers or row.numbers) for kind, count in kinds.items()}
    return {kind: count for kind, count in counted.items() if count and row.action_types(kind)}


def actions(row: RowContext) -> Entries | None:
    return _entries(row, lambda numbers: counts_of(row, numbers), str, _viewed)


def unique_actions(row: RowContext) -> Entries | None:
    if not row.reach or row.is_hourly:
        return None

    def count(numbers: Numbers) -> dict[str, int]:
        found = {kind: unique(number, numbers.reach) for kind, number in counts_of(row, numbers).items()}
        return {kind: number for kind, number in found.items() if number}

    return _entries(row, count, str)


def action_values(row: RowContext) -> Entries | None:
    def count(numbers: Numbers) -> dict[str, int]:
        kinds = counts_of(row, numbers)
        return {kind: numbers.purchase_micros for kind in _PURCHASES if kind in kinds}

    return _entries(row, count, money)


def cost_per_action(row: RowContext) -> Entries | None:
    spend = row.spend
    return _entries(row, lambda numbers: counts_of(row, numbers), lambda count: rate(spend, count) or "0", _viewed)


def roas(kind: str) -> Callable[[RowContext], Entries | None]:
    """What purchases brought for what was spent."""

    def read(row: RowContext) -> Entries | None:
        value, spend = row.numbers.purchase_micros, row.numbers.spend_micros
        if not value or not spend or kind not in counts_of(row):
            return None
        return [{"action_type": kind, "value": rate(value, spend) or "0"}]

    return read


def single(kind: str, name: str) -> Callable[[RowContext], Entries | None]:
    """Fields whose list has one kind of action."""

    def read(row: RowContext) -> Entries | None:
        count = row.count(name)
        return [{"action_type": kind, "value": str(count)}] if count else None

    return read


def single_share(kind: str, name: str) -> Callable[[RowContext], Entries | None]:
    """The same in percent of the impressions."""

    def read(row: RowContext) -> Entries | None:
        share = rate(row.count(name) * 100, row.count("impressions"))
        return [{"action_type": kind, "value": share}] if share and row.count(name) else None

    return read


def results(row: RowContext) -> list[dict[str, Any]] | None:
    """What the ad set or campaign is for; accounts are for many things, and have none (M)."""
    return _result(row, str)


def cost_per_result(row: RowContext) -> list[dict[str, Any]] | None:
    return _result(row, lambda count: rate(row.spend, count) or "0")


def _result(row: RowContext, write: Callable[[int], str]) -> list[dict[str, Any]] | None:
    campaign, adset = row.objects.get("campaign"), row.objects.get("adset")
    if campaign is None:
        return None
    if adset is not None:
        kind = _RESULT_OF_GOAL.get(str(adset.values.get("optimization_goal")))
    else:
        kind = _RESULT_OF_OBJECTIVE.get(str(campaign.values.get("objective")))
    indicator = f"actions:{kind}" if kind else "reach"
    count = counts_of(row).get(kind, 0) if kind else row.reach or 0
    shown: dict[str, Any] = {"indicator": indicator}
    if count:
        shown["values"] = [{"value": write(count), "attribution_windows": ["default"]}]
    return [shown]


def _viewed(numbers: Numbers, kind: str) -> int:
    count = _VIEWED.get(kind)
    return count(numbers) if count else 0


def _windows(row: RowContext, count: int, viewed: int) -> Iterator[tuple[str, int]]:
    """Every window that was asked for and has something. `value` stays what it is without windows (O): those of
    `7d_click` and `1d_view` together (O, "default"). Whoever clicked here did so within a day (made up).
    """
    for window in row.windows:
        within = viewed if window == "1d_view" else count - viewed if window.endswith("_click") else 0
        if within and window not in GONE_WINDOWS and not window.startswith("skan"):
            yield window, within


def _entries(
    row: RowContext,
    count: Callable[[Numbers], Mapping[str, int]],
    write: Callable[[int], str],
    viewed: Callable[[Numbers, str], int] = lambda numbers, kind: 0,
) -> Entries | None:
    """An entry per kind of action and per part that is asked for beside it."""
    by_device = row.devices.items() if "action_device" in row.action_breakdowns else [("", row.numbers)]
    entries: Entries = []
    for device, numbers in by_device:
        for kind, number in count(numbers).items():
            shown = _parts(row, kind, device)
            shown["value"] = write(number)
            windows = _windows(row, number, viewed(numbers, kind))
            shown |= {window: write(within) for window, within in windows}
            entries.append(shown)
    return entries or None


def _parts(row: RowContext, kind: str, device: str) -> dict[str, str]:
    """What an entry is about. Actions of the world have one target each, and all reactions are likes."""
    asked = row.action_breakdowns
    shown = {"action_type": kind} if "action_type" in asked else {}
    target = str(row.objects["account"].values.get("account_id"))
    shown |= {name: target for name in ("action_target_id", "action_destination") if name in asked}
    if device:
        shown["action_device"] = device
    if "action_reaction" in asked and kind == "post_reaction":
        shown["action_reaction"] = "like"
    return shown
