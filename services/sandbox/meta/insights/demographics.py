"""Who the people behind a number are, as insights of Instagram and Threads give it: `dimension_keys` and `results`.

Shape O (instagram-platform insights). Followers are in no row of the world: their shares are those of the people who
see the posts, and add up to the followers exactly.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from services.sandbox.meta.patterns import PERIOD, pattern
from services.sandbox.meta.statistics import Numbers, Row, split

BREAKDOWNS = ("age", "city", "country", "gender")  # O
LEAST_FOLLOWERS = 100  # O
_SEXES = {"female": "F", "male": "M", "unknown": "U"}
Part = tuple[tuple[str, ...], int]


def of_followers(followers: int, names: Sequence[str]) -> list[Part]:
    """Parts of all followers."""
    parts = pattern("posts").parts(tuple(names))
    shares = [(_shown(names, values), len(events.get("impressions", ()))) for values, events in parts.items()]
    exact = [(values, *divmod(followers * share, PERIOD)) for values, share in shares]
    missing = followers - sum(whole for _, whole, _ in exact)
    # What rounding leaves over goes to the largest remainders, so that the parts are all of them.
    ranked = sorted(range(len(exact)), key=lambda index: -exact[index][2])
    more = set(ranked[:missing])
    return [(values, whole + (index in more)) for index, (values, whole, _) in enumerate(exact)]


def of_row(row: Row, names: Sequence[str], counted: Iterable[str]) -> list[Part]:
    """Parts of numbers of a row, added up."""
    wanted = tuple(counted)
    return [(_shown(names, values), _sum(part, wanted)) for values, part in split(row, *names)]


def breakdown(names: Sequence[str], parts: Iterable[Part]) -> list[dict[str, Any]]:
    """As the API writes it; empty parts are left out."""
    results = [{"dimension_values": list(values), "value": count} for values, count in parts if count]
    return [{"dimension_keys": list(names), "results": results}]


def _sum(numbers: Numbers, names: Iterable[str]) -> int:
    return sum(int(getattr(numbers, name)) for name in names)


def _shown(names: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    pairs = zip(names, values, strict=True)
    return tuple(_SEXES[value] if name == "gender" else value for name, value in pairs)
