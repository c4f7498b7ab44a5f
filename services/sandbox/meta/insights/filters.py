"""`filtering` of ads insights: which objects count, which rows are shown, which parts of a breakdown.

Form and operators O (reference/adgroup/insights, v25.0); a field in dots names the object that it belongs to
(O, insights/best-practices). Texts of refusals T: issue 370 and issue 379 of facebook-php-business-sdk.
That deleted and archived objects are left out of lists of objects unless a filter asks for their status is O
(marketing-api/insights, "Deleted and Archived Objects").
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from services.sandbox.meta import delivery
from services.sandbox.meta.briefs import Row
from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.filters import OPERATORS
from services.sandbox.meta.insights.names import LEVELS, known, not_one_of
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.loose import read_value
from services.sandbox.meta.moments import parse_moment

_STATUSES = frozenset({"status", "configured_status", "effective_status"})
_TIMES = frozenset({"created_time", "updated_time", "start_time", "stop_time", "end_time"})
_ATTRIBUTES = _STATUSES | {"id", "name", "objective", "buying_type", "optimization_goal"}
_OLD_NAMES = {f"{level}_{attribute}" for level in LEVELS for attribute in ("id", "name")}
MAX_FILTERS = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """One rule. `level` is the object that an attribute belongs to, None for numbers and parts of a breakdown."""

    level: str | None
    name: str
    operator: str
    value: Any
    is_number: bool = False
    is_delivered: Callable[[Row], bool] | None = field(default=None, compare=False)
    """Instead of a comparison: what the object's delivery has to be."""

    def passes(self, found: Any) -> bool:
        """Whether what an object or a row has satisfies the rule; what it does not have satisfies none."""
        if found is None or isinstance(found, list):
            return False
        try:
            # An id is a text: as a number it would lose its last digits.
            actual = float(found) if self.is_number else str(found)
        except ValueError:
            return False
        return bool(_COMPARE[self.operator](actual, self.value))

    @property
    def asks_for_status(self) -> bool:
        return self.level is not None and self.name in _STATUSES | {"delivery_info"}


def read_filters(text: str, today: date) -> tuple[Filter, ...]:
    """`today` judges what is over. Raises: GraphError 100; NotCovered for operators that no document explains."""
    try:
        given = read_value(text)
    except ValueError as error:
        raise bad_parameter("Param filtering must be an array of filter objects.") from error
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list) or len(given) > MAX_FILTERS:
        raise bad_parameter("Param filtering must be an array of filter objects.")
    return tuple(_read(index, rule, today) for index, rule in enumerate(given))


def chosen(node: Row, level: str, filters: Sequence[Filter]) -> bool:
    """Whether an object of a level takes part."""
    mine = [rule for rule in filters if rule.level == level]
    if node.hidden and not any(rule.asks_for_status for rule in mine):
        return False
    return all(passes(node, rule) for rule in mine)


def passes(node: Row, rule: Filter) -> bool:
    """Whether an object has what a rule about its level wants."""
    if rule.is_delivered:
        return rule.is_delivered(node)
    if rule.name == "id":
        return rule.passes(node.values.get("account_id") if node.kind == "ad_account" else node.id)
    found = node.values.get(rule.name)
    return rule.passes(found.timestamp() if isinstance(found, datetime) else found)


def _read(index: int, rule: object, today: date) -> Filter:
    where = f"filtering[{index}]"
    if not isinstance(rule, dict) or not {"field", "operator"} <= rule.keys():
        raise bad_parameter(f"Param {where} must have the keys field, operator and value.")
    field, operator, value = str(rule["field"]), str(rule["operator"]).upper(), rule.get("value")
    if operator not in known("operators"):
        raise not_one_of(f"{where}['operator']", known("operators"))
    if field in _OLD_NAMES:
        level, _, attribute = field.partition("_")
        raise bad_parameter(f"Filter {field} is not valid any more, please use {level}.{attribute} instead")
    level, dot, name = field.rpartition(".")
    named_level = level if dot and level in LEVELS else None
    name = name if named_level else field
    if operator not in _COMPARE:
        raise NotCovered(f"operator {operator} of filtering")
    if named_level in LEVELS[1:] and name == "delivery_info" and operator in delivery.OPERATORS:
        wanted = _for_attribute(where, operator, value)
        now = datetime.combine(today, time(), UTC)
        return Filter(named_level, name, operator, wanted, is_delivered=delivery.keeper(operator, wanted, now))
    if named_level and name in _TIMES:
        return Filter(named_level, name, operator, _for_time(where, operator, value, today), is_number=True)
    if named_level and name in _ATTRIBUTES:
        return Filter(named_level, name, operator, _for_attribute(where, operator, value))
    if name in known("breakdowns") or name in known("words") or name == "action_type":
        return Filter(None, name, operator, _for_attribute(where, operator, value))
    if name in known("fields"):
        return Filter(None, name, operator, _for_number(where, operator, value), is_number=True)
    raise bad_parameter(f"Filtering field {field} is invalid")


_LISTS = {"IN", "NOT_IN", "ANY", "ALL", "NONE", "CONTAINS_ANY", "CONTAINS_ALL", "NOT_CONTAINS_ANY"}
_RANGES = {"IN_RANGE", "NOT_IN_RANGE"}


def _for_attribute(where: str, operator: str, value: Any) -> str | tuple[Any, ...]:
    if operator in _LISTS:
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, list):
            raise bad_parameter(f"Param {where}['value'] must be an array.")
        return tuple(str(part) for part in value)
    if operator in _RANGES:
        return _range(where, value)
    return str(value)


def _for_number(where: str, operator: str, value: Any) -> float | tuple[Any, ...]:
    if operator in _RANGES:
        return _range(where, value)
    if operator in _LISTS:
        parts = value if isinstance(value, list) else str(value).split(",")
        return tuple(_number(where, part) for part in parts)
    return _number(where, value)


def _for_time(where: str, operator: str, value: Any, today: date) -> float | tuple[float, ...]:
    """Unix seconds, of anything that names a moment."""
    now = datetime.combine(today, time(), UTC)
    given = value if isinstance(value, list) else [value]
    try:
        moments = tuple(parse_moment(str(part), now).timestamp() for part in given)
    except (ValueError, OverflowError) as error:
        raise bad_parameter(f"Param {where}['value'] must be a valid date/time string or Unix timestamp") from error
    if len(moments) != (2 if operator in _RANGES else 1) and operator not in _LISTS:
        raise bad_parameter(f"Param {where}['value'] has another number of values than {operator} takes.")
    return moments if operator in _RANGES | _LISTS else moments[0]


def _range(where: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != 2:
        raise bad_parameter(f"Param {where}['value'] must be an array of two numbers.")
    return tuple(_number(where, part) for part in value)


def _number(where: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError("no number")
        number = float(value)
    except (TypeError, ValueError) as error:
        raise bad_parameter(f"Param {where}['value'] must be a number.") from error
    return number


def _holds(found: Any, part: Any) -> bool:
    return OPERATORS["CONTAIN"](found, part)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    **OPERATORS,
    "CONTAINS_ANY": lambda found, wanted: any(_holds(found, part) for part in wanted),
    "CONTAINS_ALL": lambda found, wanted: all(_holds(found, part) for part in wanted),
    "NOT_CONTAINS_ANY": lambda found, wanted: not any(_holds(found, part) for part in wanted),
}
