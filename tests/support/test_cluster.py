"""Who leads a partition, as a cluster tells it."""

from tests.support.cluster import NO_LEADER, leader_in


def test_a_partition_without_a_leader_is_led_by_nobody() -> None:
    told = [{"topic": "t", "partitions": [{"partition": 0, "leader": 3}, {"partition": 1, "leader": -1}]}]
    assert leader_in(told, 0) == 3
    assert leader_in(told, 1) == NO_LEADER
    assert leader_in(told, 2) == NO_LEADER
    assert leader_in([], 0) == NO_LEADER
