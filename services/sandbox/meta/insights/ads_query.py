"""What a call for ads insights asks, read from its parameters and checked.

Parameters, defaults and what overrides what O (marketing-api/reference/adgroup/insights, v25.0, updated March 2026):
`time_ranges` before `time_range` before `date_preset`, which is `last_30d` by default; `summary` before
`default_summary`; at most one `sort`. Since June 2025 `use_unified_attribution_setting` and `action_report_time` are
read and disregarded (O); the windows `7d_view` and `28d_view` are no longer returned since January 2026 (O).
Texts of refusals for which no source is named are M.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.insights import combinations
from services.sandbox.meta.insights.days import (
    HISTORY_MONTHS,
    MAX_INCREMENT_DAYS,
    PRESETS,
    Period,
    increment_periods,
    months_before,
    preset_period,
)
from services.sandbox.meta.insights.filters import Filter, read_filters
from services.sandbox.meta.insights.names import LEVELS, check_each, check_fields, known, not_one_of
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.loose import read_names, read_value
from services.sandbox.meta.params import Params

DEFAULT_PRESET = "last_30d"  # O
DEFAULT_METRICS = ("impressions", "spend")  # O
ID_FIELDS = ("account_id", "campaign_id", "adset_id", "ad_id")
"""Marked as default in the table of fields (O): of each level down to the one asked for."""
GONE_WINDOWS = frozenset({"7d_view", "28d_view"})
MAX_RANGES = 100
_TRUE = {"true", "1"}


@dataclass(frozen=True, slots=True)
class AdsQuery:
    """A report: absolute days, so that a job reads the same later as when it was ordered."""

    level: str
    fields: tuple[str, ...]
    periods: tuple[Period, ...]
    """One set of rows each."""
    breakdowns: tuple[str, ...]
    action_breakdowns: tuple[str, ...]
    windows: tuple[str, ...]
    filters: tuple[Filter, ...]
    sort: tuple[str, bool] | None
    """Field, and whether the greatest comes first."""
    summary: tuple[str, ...] | None

    @property
    def since(self) -> date:
        return min(period.since for period in self.periods)

    @property
    def until(self) -> date:
        return max(period.until for period in self.periods)


def read_query(params: Params, own_level: str, today: date, earliest: date) -> AdsQuery:
    """`own_level`: what the object is; `earliest`: its first day. Raises: GraphError 100, 2, 3018; NotCovered."""
    level = _level(params.get("level"), own_level)
    fields = _names(params, "fields")
    check_fields(fields)
    breakdowns, action_breakdowns = _names(params, "breakdowns"), _names(params, "action_breakdowns")
    check_each("breakdowns", breakdowns, known("breakdowns"))
    check_each("action_breakdowns", action_breakdowns, known("action_breakdowns"))
    combinations.check_breakdowns(breakdowns, action_breakdowns, fields)
    of_summary = _names(params, "summary_action_breakdowns")
    check_each("summary_action_breakdowns", of_summary, known("action_breakdowns"))
    if of_summary not in {(), combinations.DEFAULT_FOR_ACTIONS}:
        raise NotCovered("parameter summary_action_breakdowns of ads insights")
    windows = _names(params, "action_attribution_windows")
    check_each("action_attribution_windows", windows, known("action_attribution_windows"))
    if not fields:
        fields = (*ID_FIELDS[: LEVELS.index(level) + 1], *DEFAULT_METRICS)
    return AdsQuery(
        level=level,
        fields=fields,
        periods=_periods(params, today, earliest),
        breakdowns=breakdowns,
        action_breakdowns=action_breakdowns or combinations.DEFAULT_FOR_ACTIONS,
        windows=windows,
        filters=read_filters(params["filtering"], today) if params.get("filtering") else (),
        sort=_sort(params),
        summary=_summary(params, fields),
    )


def narrowed(query: AdsQuery, params: Params) -> AdsQuery:
    """The report of a job with the fields, order and summary that its reader asks for.

    Raises: GraphError 100 for a field that the job was not ordered with (T, changelog of Stitch's Facebook Ads).
    """
    fields = _names(params, "fields")
    summary = _summary(params, fields or query.fields)
    for param, asked in (("fields", fields), ("summary", summary or ())):
        missing = [name for name in asked if name not in query.fields]
        if missing:
            raise bad_parameter(
                f"Cannot include {', '.join(missing)} in {param} param because they weren't there while creating the "
                f"report run. All available values are: {', '.join(query.fields)}"
            )
    return replace(
        query,
        fields=fields or query.fields,
        sort=_sort(params) or query.sort,
        summary=query.summary if summary is None else summary,
    )


def _level(asked: str | None, own: str) -> str:
    """The object's own level by default (O samples). That a level above the object is refused is M."""
    if not asked:
        return own
    if asked not in LEVELS:
        raise not_one_of("level", LEVELS)
    if LEVELS.index(asked) < LEVELS.index(own):
        raise bad_parameter(f"level {asked} is above the level of the object, which is {own}")
    return asked


def _names(params: Params, name: str) -> tuple[str, ...]:
    text = params.get(name, "").strip()
    if not text:
        return ()
    try:
        return tuple(dict.fromkeys(read_names(text)))
    except ValueError as error:
        raise bad_parameter(f"Param {name} must be an array.") from error


def _periods(params: Params, today: date, earliest: date) -> tuple[Period, ...]:
    if params.get("time_ranges"):
        periods = _ranges(params["time_ranges"])
    else:
        if params.get("time_range"):
            whole = _range("time_range", _read(params["time_range"], "time_range"))
        else:
            name = params.get("date_preset") or DEFAULT_PRESET
            if name not in PRESETS:
                raise not_one_of("date_preset", PRESETS)
            whole = preset_period(name, today, earliest)
        # Judged before it is cut into slices: a range of many years would be very many.
        _check_history(whole.since, today)
        periods = tuple(increment_periods(whole, _increment(params.get("time_increment"))))
    for period in periods:
        _check_history(period.since, today)
    return periods


def _check_history(since: date, today: date) -> None:
    """3018 (O); status, type and text T (recorded in the unit tests of airbyte's source-facebook-marketing)."""
    if since < months_before(today, HISTORY_MONTHS):
        text = f"The start date of the time range cannot be beyond {HISTORY_MONTHS} months from the current date"
        raise GraphError(400, 3018, f"(#3018) {text}")


def _ranges(text: str) -> tuple[Period, ...]:
    given = _read(text, "time_ranges")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_RANGES:
        raise bad_parameter("Param time_ranges must be an array of time ranges.")
    return tuple(_range(f"time_ranges[{index}]", entry) for index, entry in enumerate(given))


def _range(param: str, given: object) -> Period:
    if not isinstance(given, dict) or not {"since", "until"} <= given.keys():
        raise bad_parameter(f"Param {param} must be a time range with the keys since and until.")
    since, until = (_day(f"{param}[{key}]", given[key]) for key in ("since", "until"))
    if since > until:
        raise bad_parameter(f"{param}: since must not be after until.")
    if (until - since).days > 366 * 10:
        raise bad_parameter(f"{param} is too long.")
    return Period(since, until)


def _day(param: str, given: object) -> date:
    """A day; "UNIX timestamp not supported" (O)."""
    try:
        if not isinstance(given, str) or len(given) != 10:
            raise ValueError("no day")
        return date.fromisoformat(given)
    except ValueError as error:
        raise bad_parameter(f"Param {param} must be a date in the format YYYY-MM-DD.") from error


def _increment(text: str | None) -> int | str:
    """`all_days` by default, `monthly`, or a number of days from 1 to 90 (O)."""
    word = (text or "all_days").strip().strip("\"'")
    if word in {"all_days", "monthly"}:
        return word
    if word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= MAX_INCREMENT_DAYS:
        return int(word)
    raise bad_parameter(
        f"Param time_increment must be an integer from 1 to {MAX_INCREMENT_DAYS}, or one of monthly, all_days."
    )


def _sort(params: Params) -> tuple[str, bool] | None:
    names = _names(params, "sort")
    if not names:
        return None
    if len(names) > 1:
        raise bad_parameter("Param sort must have no more than 1 element.")
    field, _, direction = names[0].rpartition("_")
    if direction not in {"ascending", "descending"}:
        field, direction = names[0], "ascending"
    plain = field.partition(":")[0]
    if plain not in known("fields") and plain not in known("breakdowns"):
        raise bad_parameter(f"{field} is not valid for sort param.")
    return field, direction == "descending"


def _summary(params: Params, fields: tuple[str, ...]) -> tuple[str, ...] | None:
    """Fields of the summary. `summary=true`, which SDKs add to any list, means those of the rows (M)."""
    asked = params.get("summary", "").strip()
    if asked.lower() in _TRUE:
        return fields
    names = () if asked.lower() in {"false", "0"} else _names(params, "summary")
    if names:
        check_fields(names, "summary")
        return names
    return fields if params.get("default_summary", "").lower() in _TRUE else None


def _read(text: str, param: str) -> Any:
    try:
        return read_value(text)
    except ValueError as error:
        raise bad_parameter(f"Param {param} must be valid JSON.") from error
