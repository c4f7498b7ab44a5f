"""Which breakdowns may be asked for together, and which fields not beside them.

An allow-list, as the page gives it (O, marketing-api/insights/breakdowns, stored copies up to June 2026: "only some
permutations of breakdowns are available"). Beside it, from what connectors ask for in production (T, airbyte's
source-facebook-marketing): `device_platform` alone and under `publisher_platform` or `publisher_platform,
platform_position`, `dma` and `comscore_market`. A breakdown that Meta lists as available and the table does not have
is not refused as part of a wrong combination where all others go together: the sandbox lacks it.
"""

from collections.abc import Iterable, Sequence

from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.insights.names import known
from services.sandbox.meta.listing import NotCovered

HOURLY = frozenset({"hourly_stats_aggregated_by_advertiser_time_zone", "hourly_stats_aggregated_by_audience_time_zone"})
OFF_META_HIDDEN = HOURLY | {"region", "dma", "comscore_market"}
"""Beside these, actions off Meta are not returned (O, type 1; M for the markets of Comscore, which follow the DMAs)."""
DEFAULT_FOR_ACTIONS = ("action_type",)
"""Added implicitly (O)."""
JOINABLE = frozenset({"action_type", "action_target_id", "action_destination"})
"""May join every permutation that the page marks with an asterisk."""
COVERED_FOR_ACTIONS = JOINABLE | {"action_device", "action_reaction"}
_STARRED = [
    "",
    "action_device",
    "action_device impression_device",
    "action_device publisher_platform",
    "action_device publisher_platform impression_device",
    "action_device publisher_platform platform_position",
    "action_device publisher_platform platform_position impression_device",
    "age",
    "gender",
    "age gender",
    "country",
    "region",
    "publisher_platform",
    "publisher_platform impression_device",
    "publisher_platform platform_position",
    "publisher_platform platform_position impression_device",
    "product_id",
    *HOURLY,
    # T, see above.
    "device_platform",
    "publisher_platform device_platform",
    "publisher_platform platform_position device_platform",
    "dma",
    "comscore_market",
    "frequency_value",
    "place_page_id",
]
_PLAIN = ["action_reaction", "action_type action_reaction", "app_id skan_conversion_id"]
_OF_ASSETS = ("", "age", "gender", "age gender")
"""What the asset of a dynamic creative may join (O, ad-creative/asset-feed-spec/insights)."""
_CARD = ("", "impression_device", "country", "age", "gender", "age gender")
_ALLOWED_JOINED = frozenset(frozenset(words.split()) for words in _STARRED)
_ALLOWED_ALONE = frozenset(frozenset(words.split()) for words in _PLAIN)
_ALLOWED_WITH_ASSETS = frozenset(frozenset(words.split()) for words in _OF_ASSETS)
_CARDS = frozenset({"action_carousel_card_id", "action_carousel_card_name"})
_ALLOWED_WITH_CARDS = frozenset(frozenset(words.split()) for words in _CARD)


def check_breakdowns(breakdowns: Sequence[str], asked_of_actions: Sequence[str], fields: Iterable[str]) -> None:
    """Raises: GraphError 100 for a combination that is not served, 2/1504041 for fields that have no such numbers.

    NotCovered for breakdowns that Meta has and the world has no numbers for.
    """
    action_breakdowns = asked_of_actions or DEFAULT_FOR_ACTIONS
    columns = frozenset((*breakdowns, *action_breakdowns))
    lacking = sorted((set(breakdowns) - known("covered_breakdowns")) | (set(action_breakdowns) - COVERED_FOR_ACTIONS))
    is_gap = bool(lacking) and _is_allowed(columns - set(lacking))
    if not is_gap and not _is_allowed(columns) and (asked_of_actions or frozenset(breakdowns) not in _ALLOWED_ALONE):
        # Text T: issue 132 of daroczig/fbRads.
        listed = ", ".join((*action_breakdowns, *breakdowns))
        raise bad_parameter(f"Current combination of data breakdown columns ({listed}) is invalid")
    for name in lacking:
        raise NotCovered(f"breakdown {name} of ads insights")
    for field in fields:
        if _has_no_numbers(field, breakdowns):
            raise no_such_numbers()


def no_such_numbers() -> GraphError:
    """Code, subcode, title and text O (marketing-api/insights/error-codes); status M."""
    text = (
        "No data is available for the requested metrics and breakdowns. Please try different metrics or breakdowns. "
        "See Breakdowns Documentation."
    )
    return GraphError(400, 2, f"(#2) {text}", subcode=1504041, title="Invalid Breakdowns", text=text)


def _is_allowed(columns: frozenset[str]) -> bool:
    if columns in _ALLOWED_ALONE or (columns - JOINABLE) in _ALLOWED_JOINED:
        return True
    assets = columns & known("asset_breakdowns")
    if len(assets) == 1 and (columns - assets - JOINABLE) in _ALLOWED_WITH_ASSETS:
        return True
    cards = columns & _CARDS
    return bool(cards) and (columns - cards - {"action_type"}) in _ALLOWED_WITH_CARDS


def _has_no_numbers(field: str, breakdowns: Sequence[str]) -> bool:
    """`video_*` with hours, quartiles by region, recall and thruplays by DMA; by frequency only reach has (O)."""
    asked = set(breakdowns)
    if "frequency_value" in asked and field != "reach" and field not in known("words"):
        return True
    if field.startswith("video_") and asked & HOURLY:
        return True
    if field in known("not_by_region") and "region" in asked:
        return True
    return field in known("not_by_dma") and "dma" in asked
