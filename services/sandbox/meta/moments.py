"""Moments and days as Meta takes them: Unix seconds, ISO 8601, or PHP's strtotime text (O, docs/graph-api/results).

Of strtotime the forms that clients write: names of days, `-1 week`, `3 days ago`, `last monday`, `first day of last
month`, `21 November 2026`, each with a time of day beside it. Without a zone UTC is meant (M).
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.params import Params

MAX_CHARS = 100
MAX_UNITS = 100_000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"sec": 1, "second": 1, "min": 60, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_COUNTS = {"last": -1, "previous": -1, "this": 0, "next": 1, "a": 1, "an": 1}
_TOKEN = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}/\d{1,2}/\d{4}"  # days
    r"|\d{1,2}:\d{2}(?::\d{2})?|[+-]?\d+|[a-z]+"
)
_PARTS = re.compile(r"[\s,]*(?:" + _TOKEN.pattern + r")")


def read_moment(params: Params, name: str, now: datetime) -> datetime | None:
    """A parameter as a moment; None without it. Raises: GraphError 100 for text that names no moment."""
    text = params.get(name)
    if text is None:
        return None
    try:
        return parse_moment(text, now)
    except (ValueError, OverflowError) as error:
        raise bad_parameter(f"Param {name} must be a valid date/time string or Unix timestamp") from error  # M


def parse_moment(text: str, now: datetime) -> datetime:
    """Raises: ValueError for text that names no moment, OverflowError for one out of all calendars."""
    text = text.strip().strip("\"'")
    if not text or len(text) > MAX_CHARS:
        raise ValueError("no moment")
    number = text.removeprefix("@")
    if re.fullmatch(r"-?\d{1,12}", number, re.ASCII):
        return datetime.fromtimestamp(int(number), UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _Words(text.lower(), now.astimezone(UTC)).read()
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Words:
    """Reads one text word by word, moving the moment as each says."""

    def __init__(self, text: str, now: datetime) -> None:
        if "".join(_PARTS.findall(text)).strip(" ,\t") != text.strip(" ,\t"):
            raise ValueError("words that are none of a moment")
        self._words: Sequence[str] = _TOKEN.findall(text)
        self._at = 0
        self._moment = now.replace(microsecond=0)
        if not self._words:
            raise ValueError("no words")

    def read(self) -> datetime:
        while self._at < len(self._words):
            self._read_one()
        return self._moment

    def _next(self) -> str:
        word = self._words[self._at] if self._at < len(self._words) else ""
        self._at += 1
        return word

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _read_one(self) -> None:
        word = self._next()
        named = {"now": None, "today": 0, "midnight": 0, "yesterday": -1, "tomorrow": 1}
        if word in named:
            days = named[word]
            if days is not None:
                self._moment = _midnight(self._moment) + timedelta(days=days)
        elif word == "noon":
            self._moment = _midnight(self._moment) + timedelta(hours=12)
        elif ":" in word:
            self._set_time(word)
        elif "-" in word[1:] or "/" in word:
            self._set_numbers(word)
        elif word in {"first", "last"} and self._peek() == "day":
            self._set_edge_of_month(word)
        elif word in _COUNTS:
            self._move(_COUNTS[word], self._next(), named=True)
        elif word[:3] in _WEEKDAYS and word.isalpha():
            self._move(0, word, named=True)
        elif _names_month(word):
            self._set_date(self._next(), word)
        elif word.lstrip("+-").isdigit():
            self._read_number(word)
        elif word not in {"utc", "gmt", "z", "at", "of", "and"}:
            raise ValueError(word)

    def _read_number(self, word: str) -> None:
        """`21 November`, or a count of units."""
        if (
            self._peek()[:3] in _MONTHS
            and word.isdigit()
            and self._peek().rstrip("s") not in {"month", "sec", "second"}
        ):
            self._set_date(word, self._next())
            return
        count, unit = int(word), self._next()
        if self._peek() == "ago":
            self._next()
            count = -count
        self._move(count, unit, named=False)

    def _move(self, count: int, unit: str, *, named: bool) -> None:
        if abs(count) > MAX_UNITS:
            raise ValueError("too far")
        single = unit.removesuffix("s") if unit not in _WEEKDAYS else unit
        if single in _UNITS:
            self._moment += timedelta(seconds=count * _UNITS[single])
        elif single == "fortnight":
            self._moment += timedelta(days=14 * count)
        elif single in {"month", "year"}:
            self._moment = _plus_months(self._moment, count * (12 if single == "year" else 1))
        elif named and unit[:3] in _WEEKDAYS:
            self._move_to_weekday(count, _WEEKDAYS.index(unit[:3]))
        else:
            raise ValueError(unit)

    def _move_to_weekday(self, count: int, weekday: int) -> None:
        """The bare name is today or to come, `next` and `last` are never today (PHP's manual)."""
        day = _midnight(self._moment)
        ahead = (weekday - day.weekday()) % 7
        if count < 0:
            self._moment = day - timedelta(days=(7 - ahead) % 7 or 7)
        else:
            self._moment = day + timedelta(days=(ahead or 7) if count else ahead)

    def _set_edge_of_month(self, edge: str) -> None:
        """`first day of last month`; `last day` without `of` is yesterday's time."""
        self._next()
        if self._peek() != "of":
            self._move(-1 if edge == "last" else 1, "day", named=True)
            return
        self._next()
        if self._peek() in _COUNTS:
            count = _COUNTS[self._next()]
            self._move(count, self._next(), named=True)
        elif _names_month(self._peek()):
            self._set_date("1", self._next())
        first = self._moment.replace(day=1)
        self._moment = first if edge == "first" else _plus_months(first, 1) - timedelta(days=1)

    def _set_date(self, day: str, month: str) -> None:
        if not day.isdigit():
            raise ValueError(f"{day} {month}")
        year = self._moment.year
        if re.fullmatch(r"\d{4}", self._peek()):
            year = int(self._next())
        self._moment = datetime(year, _MONTHS.index(month[:3]) + 1, int(day), tzinfo=UTC)

    def _set_numbers(self, word: str) -> None:
        numbers = [int(part) for part in re.split(r"[-/]", word)]
        if "/" in word and numbers[0] <= 31 and len(word.split("/")[0]) < 4:
            month, day, year = numbers  # American order (PHP's manual)
        else:
            year, month, day = numbers
        self._moment = datetime(year, month, day, tzinfo=UTC)

    def _set_time(self, word: str) -> None:
        numbers = [int(part) for part in word.split(":")]
        self._moment = _midnight(self._moment).replace(
            hour=numbers[0], minute=numbers[1], second=numbers[2] if len(numbers) > 2 else 0
        )


def _names_month(word: str) -> bool:
    return word[:3] in _MONTHS and word.isalpha()


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _plus_months(moment: datetime, months: int) -> datetime:
    """PHP's way: the day of the month is kept, and runs over into the month after a short one."""
    whole = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(whole, 12)
    first = moment.replace(year=year, month=month + 1, day=1)
    return first + timedelta(days=moment.day - 1)
