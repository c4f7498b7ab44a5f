"""What statuses of several levels come to."""

import pytest

from services.sandbox.meta.ad_writes.statuses import effective_status


@pytest.mark.parametrize(
    ("kind", "own", "above", "found"),
    [
        ("campaign", "ACTIVE", None, "ACTIVE"),
        ("campaign", "PAUSED", None, "PAUSED"),
        ("adset", "ACTIVE", "ACTIVE", "ACTIVE"),
        ("adset", "ACTIVE", "PAUSED", "CAMPAIGN_PAUSED"),
        ("adset", "PAUSED", "PAUSED", "PAUSED"),
        ("adset", "ACTIVE", "ARCHIVED", "ARCHIVED"),
        ("ad", "ACTIVE", "PAUSED", "ADSET_PAUSED"),
        ("ad", "ACTIVE", "CAMPAIGN_PAUSED", "CAMPAIGN_PAUSED"),
        ("ad", "PAUSED", "CAMPAIGN_PAUSED", "PAUSED"),
        ("ad", "ARCHIVED", "DELETED", "ARCHIVED"),
        ("ad", "PAUSED", "DELETED", "DELETED"),
    ],
)
def test_what_is_gone_wins_then_the_own_pause_then_the_one_above(
    kind: str, own: str, above: str | None, found: str
) -> None:
    assert effective_status(kind, own, above) == found


def test_an_ad_under_review_is_told_so_until_it_is_gone() -> None:
    assert effective_status("ad", "ACTIVE", "ADSET_PAUSED", reviewing=True) == "PENDING_REVIEW"
    assert effective_status("ad", "DELETED", "ACTIVE", reviewing=True) == "DELETED"
