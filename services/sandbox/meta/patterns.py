"""What happens along a row of impressions: who saw them and where, and which of them were clicked.

A day of an account is a row of impressions, and every object has a stretch of that row of its own. What becomes of an
impression follows from its place, again and again every `PERIOD` places. So numbers of any objects, days and parts of
an audience are counts of places in stretches, and add up exactly however they are cut. The shares are made up.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from services.sandbox.meta.dice import mix

PERIOD = 4096
Places = tuple[int, ...]
"""Sorted places below PERIOD."""
Values = tuple[str, ...]

_ADS = {
    # Event: what must have happened before it, and how often it then happens, in 1/1000.
    "reach": ("impressions", 710),
    "clicks": ("impressions", 24),
    "link_clicks": ("clicks", 720),
    "landing_page_views": ("link_clicks", 800),
    "leads": ("landing_page_views", 45),
    "purchases": ("landing_page_views", 40),
    "video_views": ("impressions", 160),
    "video_p25": ("video_views", 700),
    "video_p50": ("video_p25", 650),
    "video_p75": ("video_p50", 650),
    "video_p95": ("video_p75", 700),
    "video_p100": ("video_p95", 850),
    "thruplays": ("video_p25", 500),
    "likes": ("impressions", 11),
    "comments": ("likes", 90),
    "shares": ("likes", 110),
    "saves": ("likes", 80),
    "charged": ("impressions", 560),
}
_POSTS = {
    "reach": ("impressions", 780),
    "likes": ("impressions", 38),
    "comments": ("likes", 110),
    "shares": ("likes", 130),
    "saves": ("likes", 90),
    "reposts": ("likes", 60),
    "quotes": ("likes", 25),
    "clicks": ("impressions", 26),
    "link_clicks": ("clicks", 500),
    "profile_visits": ("impressions", 18),
    "follows": ("profile_visits", 140),
}
_RATES: Mapping[str, Mapping[str, tuple[str, int]]] = {"ads": _ADS, "posts": _POSTS}

_SHARES: Mapping[str, Mapping[str, int]] = {
    "age": {"13-17": 2, "18-24": 18, "25-34": 29, "35-44": 22, "45-54": 14, "55-64": 9, "65+": 6},
    "gender": {"female": 51, "male": 45, "unknown": 4},
    "region": {
        "US/California": 14, "US/Texas": 11, "US/New York": 10, "US/Florida": 8, "US/Illinois": 6, "US/Washington": 5,
        "DE/Berlin": 7, "DE/Bavaria": 6, "DE/Hamburg": 3, "GB/England": 11, "GB/Scotland": 3,
        "FR/Île-de-France": 6, "FR/Occitanie": 2, "BR/São Paulo (state)": 5, "BR/Rio de Janeiro (state)": 3,
    },
    "publisher_platform/platform_position": {
        "facebook/feed": 30, "facebook/facebook_reels": 9, "facebook/marketplace": 5, "facebook/facebook_stories": 5,
        "facebook/right_hand_column": 2, "instagram/feed": 17, "instagram/instagram_stories": 13,
        "instagram/instagram_reels": 12, "instagram/instagram_explore": 3, "audience_network/an_classic": 3,
        "messenger/messenger_stories": 1,
    },
    "impression_device": {
        "iphone": 41, "android_smartphone": 39, "desktop": 12, "ipad": 5, "android_tablet": 3,
    },
}  # fmt: skip
_DMAS = {
    "California": "Los Angeles", "Texas": "Dallas-Ft. Worth", "New York": "New York", "Florida": "Miami-Ft. Lauderdale",
    "Illinois": "Chicago", "Washington": "Seattle-Tacoma",
}  # fmt: skip
_CITIES = {
    "California": "Los Angeles, California", "Texas": "Houston, Texas", "New York": "New York, New York",
    "Florida": "Miami, Florida", "Illinois": "Chicago, Illinois", "Washington": "Seattle, Washington",
    "Berlin": "Berlin, Berlin", "Bavaria": "Munich, Bavaria", "Hamburg": "Hamburg, Hamburg",
    "England": "London, England", "Scotland": "Glasgow, Scotland", "Île-de-France": "Paris, Île-de-France",
    "Occitanie": "Toulouse, Occitanie", "São Paulo (state)": "São Paulo, São Paulo (state)",
    "Rio de Janeiro (state)": "Rio de Janeiro, Rio de Janeiro (state)",
}  # fmt: skip
"""One of each region, followed by it (M)."""
_DEVICES = {"desktop": "desktop"}
_HOURS = ("hourly_stats_aggregated_by_advertiser_time_zone", "hourly_stats_aggregated_by_audience_time_zone")
DIMENSIONS = (
    "age", "gender", "country", "region", "dma", "publisher_platform", "platform_position", "device_platform",
    "impression_device", "frequency_value", "city", "comscore_market", *_HOURS,
)  # fmt: skip
"""What an audience can be cut by; names as Meta's breakdowns (S)."""
_FREQUENCIES = {"1": 58, "2": 22, "3": 9, "4": 5, "5": 3, "6-10": 3}


@dataclass(frozen=True, slots=True)
class Pattern:
    """What happens where, for one sort of account. Each event -> its places."""

    events: Mapping[str, Places]
    names: tuple[str, ...]
    """Of the events, in the order of `between`."""
    _before: tuple[tuple[int, ...], ...]
    """At each place, how often each event happens before it; one more for the whole period."""
    _parts: dict[Values, dict[Values, dict[str, Places]]] = field(default_factory=dict)

    def between(self, low: int, high: int) -> list[int]:
        """How often each event happens in `[low, high)`."""
        rounds_low, rest_low = divmod(low, PERIOD)
        rounds_high, rest_high = divmod(high, PERIOD)
        rounds = rounds_high - rounds_low
        ends = zip(self._before[PERIOD], self._before[rest_low], self._before[rest_high], strict=True)
        return [rounds * every + after - before for every, before, after in ends]

    def parts(self, dimensions: Values) -> Mapping[Values, Mapping[str, Places]]:
        """The same, cut by what an audience is: values of the dimensions -> event -> places. Raises: KeyError."""
        found = self._parts.get(dimensions)
        if found is None:
            found = self._parts[dimensions] = self._cut(dimensions)
        return found

    def _cut(self, dimensions: Values) -> dict[Values, dict[str, Places]]:
        columns = [_column(name) for name in dimensions]
        values = [tuple(column[place] for column in columns) for place in range(PERIOD)]
        cut: dict[Values, dict[str, list[int]]] = {key: {} for key in sorted(set(values))}
        for event, places in self.events.items():
            for place in places:
                cut[values[place]].setdefault(event, []).append(place)
        return {key: {event: tuple(places) for event, places in events.items()} for key, events in cut.items()}


def count(places: Sequence[int], low: int, high: int) -> int:
    """How many of the places lie in `[low, high)`, when they come again every PERIOD."""
    rounds_low, rest_low = divmod(low, PERIOD)
    rounds_high, rest_high = divmod(high, PERIOD)
    more = bisect_left(places, rest_high) - bisect_left(places, rest_low)
    return (rounds_high - rounds_low) * len(places) + more


def counts_of(events: Mapping[str, Sequence[int]], low: int, high: int) -> dict[str, int]:
    """The same for each event."""
    rounds_low, rest_low = divmod(low, PERIOD)
    rounds_high, rest_high = divmod(high, PERIOD)
    rounds = rounds_high - rounds_low
    return {
        event: rounds * len(places) + bisect_left(places, rest_high) - bisect_left(places, rest_low)
        for event, places in events.items()
    }


@cache
def pattern(sort: str) -> Pattern:
    """`sort`: ads or posts."""
    events: dict[str, Places] = {"impressions": tuple(range(PERIOD))}
    for number, (event, (before, rate)) in enumerate(_RATES[sort].items()):
        # Some stretches go better than others: between half and one and a half times as often.
        events[event] = tuple(
            place for place in events[before] if mix(number, place, len(sort)) % 1_000_000 < rate * _favour(place)
        )
    return Pattern(events, tuple(events), tuple(_running(events)))


def _running(events: Mapping[str, Places]) -> Iterator[tuple[int, ...]]:
    """Sums of what happens before each place."""
    columns = [[0] * PERIOD for _ in events]
    for column, places in zip(columns, events.values(), strict=True):
        for place in places:
            column[place] = 1
    return zip(*(accumulate(column, initial=0) for column in columns), strict=True)


def _favour(place: int) -> int:
    """500 to 1500, rising and falling twice in a period."""
    half = PERIOD // 4
    way = place % (2 * half)
    return 500 + 1000 * (way if way < half else 2 * half - way) // half


@cache
def _column(dimension: str) -> Values:
    """The value of a dimension at every place."""
    if dimension in {"age", "gender", "impression_device"}:
        return _drawn(dimension, _SHARES[dimension])
    if dimension == "frequency_value":
        return _drawn(dimension, _FREQUENCIES)
    if dimension in {"publisher_platform", "platform_position"}:
        name = "publisher_platform/platform_position"
        return tuple(value.split("/")[name.split("/").index(dimension)] for value in _drawn(name, _SHARES[name]))
    if dimension == "device_platform":
        return tuple(_DEVICES.get(device, "mobile_app") for device in _column("impression_device"))
    if dimension in _HOURS:
        shift = _HOURS.index(dimension)
        hours = {f"{hour:02}:00:00 - {hour:02}:59:59": 2 + min(hour, 24 - hour) for hour in range(24)}
        return _drawn(str(shift), hours)
    if dimension == "city":
        return tuple(_CITIES[region] for region in _column("region"))
    if dimension == "comscore_market":
        # What came in the place of DMAs (S): the same markets here (M).
        return _column("dma")
    place = {"country": 0, "region": 1, "dma": 1}[dimension]
    names = tuple(value.split("/")[place] for value in _drawn("region", _SHARES["region"]))
    return tuple(_DMAS.get(name, "Unknown") for name in names) if dimension == "dma" else names


def _drawn(name: str, shares: Mapping[str, int]) -> Values:
    """A value for each place, by its share."""
    wheel = [value for value, share in shares.items() for _ in range(share)]
    salt = int.from_bytes(name.encode()[:16], "big")
    return tuple(wheel[mix(salt, place) % len(wheel)] for place in range(PERIOD))
