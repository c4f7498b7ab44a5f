"""Which rows of an edge a call asks for: statuses, `filtering`, times.

Parameters of ad lists S (facebook-business 26: `get_campaigns`, `get_ad_sets`, `get_ads`). `date_preset` and
`time_range` choose no rows: they say which days nested insights count (O, reference/ad-account/campaigns). Operators
of `filtering` S (AdsInsights, AdRuleFilters), its samples O (marketing-api/insights). Texts of refusals M.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.sandbox.meta import delivery
from services.sandbox.meta.briefs import Row
from services.sandbox.meta.catalog import known_fields
from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.insights.days import PRESETS
from services.sandbox.meta.listing import Keep, Selection
from services.sandbox.meta.listings import Listing
from services.sandbox.meta.loose import read_value
from services.sandbox.meta.moments import parse_moment, read_moment
from services.sandbox.meta.params import Params
from services.sandbox.meta.world import World

MAX_FILTERS = 50
MAX_VALUES = 1000
MAX_NUMBER_CHARS = 15
STATUSES = (
    "ACTIVE", "PAUSED", "DELETED", "PENDING_REVIEW", "DISAPPROVED", "PREAPPROVED", "PENDING_BILLING_INFO",
    "CAMPAIGN_PAUSED", "ARCHIVED", "ADSET_PAUSED", "IN_PROCESS", "WITH_ISSUES",
)  # fmt: skip
"""S: every word that `effective_status` takes on some level; lists take all of them."""
_LEVELS: Mapping[str, Mapping[str, str]] = {
    "campaign": {"campaign": ""},
    "adset": {"adset": "", "campaign": "campaign_id"},
    "ad": {"ad": "", "adset": "adset_id", "campaign": "campaign_id"},
}
"""Kind -> levels that a filter may speak of -> the field that leads there; nothing for the row itself."""
_OTHER_NAMES: Mapping[tuple[str, str], str] = {("lead", "time_created"): "created_time"}
"""Kind and field of a filter -> the field that it speaks of (O, marketing-api/guides/lead-ads/retrieving)."""
_LONG = 2_000
_STATUS_FIELDS = {"effective_status", "status", "configured_status"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows a call asks for. `shows_hidden`: also among archived and deleted objects."""

    tests: tuple[Keep, ...] = ()
    shows_hidden: bool = False
    since: datetime | None = None
    until: datetime | None = None

    def is_older(self, node: Row) -> bool:
        return self.since is not None and node.created_at < self.since

    def keeps(self, node: Row) -> bool:
        return all(keep(node) for keep in self.tests)


def read_choice(world: World, kind: str, params: Params, now: datetime, as_of: datetime | None = None) -> Choice:
    """For a list of one kind. Raises: GraphError 100 for a parameter that cannot be read.

    `as_of`: what is above the rows counts as it was at that moment.
    """
    tests = list(_tests(world, kind, params, now, as_of))
    since, until = read_moment(params, "since", now), read_moment(params, "until", now)
    return Choice(tuple(keep for keep, _ in tests), any(unlocks for _, unlocks in tests), since, until)


def parent_ids(kind: str, params: Params) -> list[str] | None:
    """The campaigns or ad sets that a filter names, one of which is above every row; None: it names none.

    Who knows them need not look at a whole account.
    """
    for given in _filters(params):
        field, wanted = str(given["field"]), given["value"]
        level, _, name = field.rpartition(".")
        if name == "id" and level != kind and level in _LEVELS.get(kind, {}):
            if str(given["operator"]).upper() == "IN" and isinstance(wanted, list):
                return list(dict.fromkeys(str(one) for one in wanted))
            if str(given["operator"]).upper() == "EQUAL" and isinstance(wanted, str | int):
                return [str(wanted)]
    return None


def by_time(rows: Listing, choice: Choice) -> Selection:
    """Of a list that shows the newest first: it ends at `since`, and a long one is not looked at before `until`."""
    until, begin = choice.until, 0
    if until is not None and len(rows) > _LONG:
        begin = bisect_left(rows, True, key=lambda row: row.created_at <= until)
    keep = choice.keeps if choice.tests else None
    return Selection(rows, keep, choice.is_older if choice.since else None, begin)


def _tests(
    world: World, kind: str, params: Params, now: datetime, as_of: datetime | None
) -> Iterable[tuple[Keep, bool]]:
    """What each parameter keeps, and whether it asks for archived and deleted objects."""
    wanted = _statuses(params)
    if wanted is not None:
        yield lambda node: _status(node) in wanted, True
    if "is_completed" in params:
        completed = params["is_completed"].lower() in {"true", "1"}
        yield lambda node: _is_completed(node, now) is completed, False
    changed, since, until = (read_moment(params, name, now) for name in ("updated_since", "since", "until"))
    if changed is not None:
        yield lambda node: node.updated_at >= changed, False
    if since is not None:
        yield lambda node: node.created_at >= since, False
    if until is not None:
        yield lambda node: node.created_at <= until, False
    for name, field in (("name_filter", "name"), ("id_filter", "id")):  # S, adspixels
        if text := params.get(name, "").lower():
            yield lambda node, text=text, field=field: text in str(node.values.get(field, "")).lower(), False  # type: ignore[misc]
    for given in _filters(params):
        yield _filter(world, kind, given, now, as_of)


def _status(node: Row) -> str:
    found = node.values.get("effective_status")
    return str(node.status if found is None else found)


def _statuses(params: Params) -> set[str] | None:
    text = params.get("effective_status")
    if text is None:
        return None
    wanted = _list(text, "effective_status")
    for index, status in enumerate(wanted):
        if status not in STATUSES:
            words = ", ".join(STATUSES)
            raise bad_parameter(f"Param effective_status[{index}] must be one of {{{words}}} - got {status!r}.")
    return set(wanted)


def _list(text: str, name: str) -> list[Any]:
    try:
        given = read_value(text)
    except ValueError as error:
        raise bad_parameter(f"Param {name} must be an array.") from error
    if not isinstance(given, list) or len(given) > MAX_VALUES:
        raise bad_parameter(f"Param {name} must be an array.")
    return given


def _is_completed(node: Row, now: datetime) -> bool:
    """An ad object is completed once its end has come."""
    end = node.values.get("stop_time") or node.values.get("end_time")
    return isinstance(end, datetime) and end <= now


def check_days(params: Params) -> None:
    """Raises: GraphError 100 for days that cannot be read."""
    preset = params.get("date_preset")
    if preset is not None and preset.strip('"') not in PRESETS:
        raise bad_parameter(f"Param date_preset must be one of {{{', '.join(PRESETS)}}}")
    if "time_range" in params:
        try:
            given = read_value(params["time_range"])
            since, until = (datetime.fromisoformat(str(given[name])) for name in ("since", "until"))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise bad_parameter("Must be a date representation in the format YYYY-MM-DD") from error
        if since > until:
            raise bad_parameter("time_range: since must not be after until")


def _filters(params: Params) -> list[Mapping[str, Any]]:
    text = params.get("filtering")
    if text is None:
        return []
    given = _list(text, "filtering")
    if len(given) > MAX_FILTERS:
        raise bad_parameter("Param filtering has too many conditions")
    for index, condition in enumerate(given):
        if not isinstance(condition, dict) or not isinstance(condition.get("field"), str):
            raise bad_parameter(f"Param filtering[{index}] must have a field, an operator and a value")
        if not isinstance(condition.get("operator"), str) or "value" not in condition:
            raise bad_parameter(f"Param filtering[{index}] must have a field, an operator and a value")
    return given


def _filter(
    world: World, kind: str, condition: Mapping[str, Any], now: datetime, as_of: datetime | None
) -> tuple[Keep, bool]:
    field, operator = str(condition["field"]), str(condition["operator"]).upper()
    wanted = condition["value"]
    level, _, name = field.rpartition(".")
    levels = _LEVELS.get(kind, {})
    spoken_of = level or kind
    name = _OTHER_NAMES.get((spoken_of, name), name)
    if operator not in OPERATORS or (level and level not in levels):
        raise _unsupported(field, operator)
    by_delivery = name == "delivery_info" and spoken_of in _LEVELS and operator in delivery.OPERATORS
    if name not in known_fields().get(spoken_of, ()) and not by_delivery:
        raise _unsupported(field, operator)
    if (operator in _LISTS) != isinstance(wanted, list) or isinstance(wanted, dict):
        raise bad_parameter(f"Filtering field {field} with operation {operator.lower()} got a value of a wrong type")
    if operator.endswith("IN_RANGE") and len(wanted) != 2:
        raise bad_parameter(f"Filtering field {field} with operation {operator.lower()} needs two values")
    above = levels.get(level, "")
    is_delivered = delivery.keeper(operator, wanted, now) if by_delivery else None

    def keep(node: Row) -> bool:
        found = world.glance(str(node.values.get(above, "")), as_of) if above else node
        if is_delivered:
            return found is not None and is_delivered(found)
        actual = None if found is None else found.values.get(name, found.id if name == "id" else None)
        if actual is None:
            return operator.startswith("NOT_") or operator == "NONE"
        return bool(OPERATORS[operator](*_alike(actual, wanted, now)))

    return keep, (by_delivery or name in _STATUS_FIELDS) and operator in {"IN", "EQUAL", "ANY"}


def _unsupported(field: str, operator: str) -> GraphError:
    return bad_parameter(f"Filtering field {field} with operation {operator.lower()} is not supported")


def _alike(actual: Any, wanted: Any, now: datetime) -> tuple[Any, Any]:
    """Both sides as the same sort of thing: numbers, moments as Unix seconds, or texts."""
    if isinstance(wanted, list):
        pairs = [_alike(actual, one, now) for one in wanted]
        return (pairs[0][0] if pairs else actual), [one for _, one in pairs]
    if isinstance(actual, datetime):
        try:
            return actual.timestamp(), parse_moment(str(wanted), now).timestamp()
        except (ValueError, OverflowError):
            return actual.isoformat(), str(wanted)
    if isinstance(actual, bool):
        return str(actual).lower(), str(wanted).lower()
    number, other = _number(actual), _number(wanted)
    return (number, other) if number is not None and other is not None else (str(actual), str(wanted))


def _number(value: Any) -> float | None:
    """None for what is no number, and for ids: as numbers they would lose their last digits."""
    if isinstance(value, str) and len(value) > MAX_NUMBER_CHARS:
        return None
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _less(actual: Any, wanted: Any) -> bool:
    return type(actual) is type(wanted) and bool(actual < wanted)


def _contains(actual: Any, wanted: Any) -> bool:
    return str(wanted).lower() in str(actual).lower()


def _within(actual: Any, wanted: Any) -> bool:
    return not _less(actual, wanted[0]) and not _less(wanted[1], actual)


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQUAL": lambda actual, wanted: actual == wanted,
    "NOT_EQUAL": lambda actual, wanted: actual != wanted,
    "GREATER_THAN": lambda actual, wanted: _less(wanted, actual),
    "GREATER_THAN_OR_EQUAL": lambda actual, wanted: not _less(actual, wanted),
    "LESS_THAN": _less,
    "LESS_THAN_OR_EQUAL": lambda actual, wanted: not _less(wanted, actual),
    "IN_RANGE": _within,
    "NOT_IN_RANGE": lambda actual, wanted: not _within(actual, wanted),
    "CONTAIN": _contains,
    "NOT_CONTAIN": lambda actual, wanted: not _contains(actual, wanted),
    "STARTS_WITH": lambda actual, wanted: str(actual).lower().startswith(str(wanted).lower()),
    "ENDS_WITH": lambda actual, wanted: str(actual).lower().endswith(str(wanted).lower()),
    "IN": lambda actual, wanted: actual in wanted,
    "NOT_IN": lambda actual, wanted: actual not in wanted,
    "ANY": lambda actual, wanted: actual in wanted,
    "ALL": lambda actual, wanted: all(actual == one for one in wanted),
    "NONE": lambda actual, wanted: actual not in wanted,
    "AFTER": lambda actual, wanted: _less(wanted, actual),
    "BEFORE": _less,
    "ON_OR_AFTER": lambda actual, wanted: not _less(actual, wanted),
    "ON_OR_BEFORE": lambda actual, wanted: not _less(wanted, actual),
}  # fmt: skip
_LISTS = {"IN", "NOT_IN", "ANY", "ALL", "NONE", "IN_RANGE", "NOT_IN_RANGE"}
