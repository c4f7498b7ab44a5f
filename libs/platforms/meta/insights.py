"""Reads of ads insights: what can be asked for, checked and made canonical.

Source: `AdAccount.get_insights` and `AdsInsights` of the Python business SDK (names, types and words), "Insights API
best practices" (limits), read 2026-11; what is from memory says so. Only what is answered at once: reports take long.
Numbers come as text, and money in the account's currency (from memory: `spend` in whole units of it).
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from libs.platforms.meta.fields import Errors, as_json, read_fields, read_filtering, read_page_params, read_words

MAX_PAGE_SIZE = 500
"""Our own bound: the largest page is not documented."""
LONGEST_INCREMENT_DAYS = 90
"""Source: the Python business SDK for the type; the number is from memory."""
LEVELS = ("account", "campaign", "adset", "ad")
DATE_PRESETS = frozenset(
    {
        *("today", "yesterday", "last_3d", "last_7d", "last_14d", "last_28d", "last_30d", "last_90d"),
        *("this_week_mon_today", "this_week_sun_today", "last_week_mon_sun", "last_week_sun_sat"),
        *("this_month", "last_month", "this_quarter", "last_quarter", "this_year", "last_year"),
        *("maximum", "data_maximum"),
    }
)
WORD_LISTS = ("breakdowns", "action_breakdowns", "action_attribution_windows")
"""Lists of words whose order says nothing; Meta itself refuses words and combinations that it does not know."""
PARAMS = (
    *("fields", "level", "date_preset", "time_range", "time_increment", "filtering", "sort", "limit", "after"),
    *WORD_LISTS,
)

_SORT_KEY = re.compile(r"[A-Za-z0-9_.:]{1,180}_(?:a|de)scending")
"""A field, or an action's `field:action_type`; dots are parts of some action types, e.g. `onsite_conversion.lead`."""


def read_params(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """Check a read's params and give their canonical form; what is wrong is added to the errors."""
    read: dict[str, Any] = {"fields": read_fields(params, errors), **_times(params, errors)}
    read |= read_page_params(params, errors, largest=MAX_PAGE_SIZE)
    if "level" in params:
        if params["level"] not in LEVELS:
            errors.append(("/params/level", "it is no level", f"use one of: {', '.join(LEVELS)}"))
        read["level"] = params["level"]
    for name in WORD_LISTS:
        if name in params:
            read[name] = read_words(name, params, errors)
    if "filtering" in params:
        read["filtering"] = read_filtering(params, errors)
    if "sort" in params:
        read["sort"] = _sort(params, errors)
    return read


def query_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Give the query of canonical params: lists and maps as JSON, as the SDK writes them."""
    query = {"fields": ",".join(params["fields"]), "limit": str(params["limit"])}
    for name in ("level", "date_preset", "after"):
        if name in params:
            query[name] = params[name]
    if "time_increment" in params:
        query["time_increment"] = str(params["time_increment"])
    for name in ("time_range", "filtering", "sort", *WORD_LISTS):
        if name in params:
            query[name] = as_json(params[name])
    return query


def _times(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    read: dict[str, Any] = {}
    preset, span = params.get("date_preset"), params.get("time_range")
    if (preset is None) == (span is None):
        errors.append(("/params", "the days are not clear", "give either date_preset or time_range"))
    if preset is not None:
        if not isinstance(preset, str) or preset not in DATE_PRESETS:
            errors.append(("/params/date_preset", "it is no preset", f"use one of: {', '.join(sorted(DATE_PRESETS))}"))
        read["date_preset"] = preset
    if span is not None:
        read["time_range"] = _time_range(span, errors)
    increment = params.get("time_increment")
    if increment is not None:
        days = increment if isinstance(increment, int) and not isinstance(increment, bool) else 0
        if increment not in ("monthly", "all_days") and not 1 <= days <= LONGEST_INCREMENT_DAYS:
            how = f"give a number of days from 1 to {LONGEST_INCREMENT_DAYS}, 'monthly' or 'all_days'"
            errors.append(("/params/time_increment", "it is no step of time", how))
        read["time_increment"] = increment
    return read


def _time_range(span: Any, errors: Errors) -> dict[str, str]:
    """Read the first and last day, both inclusive, in the ad account's time zone (the zone is from memory)."""
    wrong = ("/params/time_range", "it is no span of days", "give {'since', 'until'} as YYYY-MM-DD, in this order")
    if not isinstance(span, Mapping) or set(span) != {"since", "until"}:
        errors.append(wrong)
        return {}
    try:
        since, until = (date.fromisoformat(str(span[name])).isoformat() for name in ("since", "until"))
    except ValueError:
        errors.append(wrong)
        return {}
    if since > until:
        errors.append(wrong)
    return {"since": since, "until": until}


def _sort(params: Mapping[str, Any], errors: Errors) -> list[str]:
    """Read the keys to sort by, most important first, e.g. `spend_descending`."""
    words = params["sort"]
    fits = isinstance(words, list) and 1 <= len(words) <= 10
    if not fits or not all(isinstance(word, str) and _SORT_KEY.fullmatch(word) for word in words):
        errors.append(("/params/sort", "it is no list of keys", "give fields ending in '_ascending' or '_descending'"))
        return []
    return [str(word) for word in words]
