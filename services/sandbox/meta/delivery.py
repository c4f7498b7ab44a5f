"""How an ad object is being delivered, in the words that `delivery_info` of a filter takes.

No document of Meta lists the words: connectors send them in production (T, airbyte's source-facebook-marketing and
issue 33 of singer-io/tap-facebook). Which status means which word is M, after Ads Manager's column of that name.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from services.sandbox.meta.briefs import Row

WORDS = frozenset({
    "active", "archived", "completed", "deleted", "inactive", "limited", "not_delivering", "not_published",
    "pending_review", "permanently_deleted", "recently_completed", "recently_rejected", "rejected", "scheduled",
})  # fmt: skip
_RECENTLY = timedelta(days=3)
_OF_STATUS: Mapping[str, frozenset[str]] = {
    "ACTIVE": frozenset({"active"}),
    "PAUSED": frozenset({"inactive"}),
    "CAMPAIGN_PAUSED": frozenset({"inactive"}),
    "ADSET_PAUSED": frozenset({"inactive"}),
    "ARCHIVED": frozenset({"archived"}),
    "DELETED": frozenset({"deleted", "permanently_deleted"}),
    "DISAPPROVED": frozenset({"rejected"}),
    "PENDING_REVIEW": frozenset({"pending_review"}),
    "IN_PROCESS": frozenset({"pending_review"}),
    "PREAPPROVED": frozenset({"pending_review"}),
}
_OTHERWISE = frozenset({"not_delivering"})
_WANTS_NONE: Mapping[str, bool] = {
    "IN": False, "ANY": False, "EQUAL": False, "NOT_IN": True, "NONE": True, "NOT_EQUAL": True
}  # fmt: skip
OPERATORS = frozenset(_WANTS_NONE)


def keeper(operator: str, wanted: object, now: datetime) -> Callable[[Row], bool]:
    """Whether an object's delivery is one of the words that are wanted, or none of them. `operator`: of OPERATORS."""
    given = wanted if isinstance(wanted, list | tuple) else [wanted]
    words = {str(word).lower() for word in given}
    return lambda node: bool(words & delivery_of(node, now)) is not _WANTS_NONE[operator]


def delivery_of(node: Row, now: datetime) -> frozenset[str]:
    """Of a campaign, ad set or ad; more than one word where one of them says the same of a shorter time."""
    status = str(node.values.get("effective_status", node.status))
    start, end = node.values.get("start_time"), node.values.get("stop_time") or node.values.get("end_time")
    if status == "ACTIVE" and isinstance(end, datetime) and end <= now:
        return frozenset({"completed", "recently_completed"} if now - end < _RECENTLY else {"completed"})
    if status == "ACTIVE" and isinstance(start, datetime) and start > now:
        return frozenset({"scheduled"})
    return _OF_STATUS.get(status, _OTHERWISE)
