"""Lanes: priorities map to them in order, and each leaves more to those before it."""

from libs.quota.lanes import CEILINGS, Lane, lane_of


def test_priorities_map_to_lanes_in_order() -> None:
    assert [lane_of(priority).value[:2] for priority in range(1, 11)] == [
        *("in", "in", "sc", "sc", "sc", "sy", "sy", "sy", "ba", "ba")
    ]


def test_each_lane_may_use_more_than_the_one_after_it() -> None:
    ceilings = [CEILINGS[lane] for lane in Lane]
    assert ceilings == sorted(ceilings, reverse=True)
    assert ceilings[0] == 1.0
