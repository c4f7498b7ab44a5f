"""How old the first unhandled record of a partition is, from what a consumer sees."""

import time
from dataclasses import dataclass

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from prometheus_client import REGISTRY

from libs.messaging import metrics
from libs.messaging.consumer.lag import LagAges, LagWatch
from libs.messaging.consumer.partitions import Assignment


@dataclass
class Record:
    offset: int
    timestamp: int


class Client:
    def __init__(self, highwater: int | None) -> None:
        self._highwater = highwater

    def highwater(self, _: TopicPartition) -> int | None:
        return self._highwater


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_polled_record_ages_until_it_is_handled() -> None:
    clock, here = Clock(), TopicPartition("lag-polled", 3)
    ages = LagAges(clock)
    ages.begin({here: [Record(7, 990_000), Record(8, 995_000)]})
    clock.now = 1_005.0
    assert ages.of(here) == 15.0
    assert REGISTRY.get_sample_value("consumer_lag_seconds", {"topic": "lag-polled", "partition": "3"}) == 15.0
    ages.end(Client(highwater=9), {here: [Record(7, 990_000), Record(8, 995_000)]})
    assert ages.of(here) == 0.0


def test_what_follows_a_handled_record_is_at_most_as_old_as_that() -> None:
    clock, here = Clock(), TopicPartition("lag-follows", 0)
    ages = LagAges(clock)
    ages.begin({here: [Record(1, 900_000)]})
    ages.end(Client(highwater=50), {here: [Record(1, 900_000), Record(2, 970_000)]})
    assert ages.of(here) == 30.0


def test_what_came_unseen_is_at_most_as_old_as_the_last_look_at_an_empty_partition() -> None:
    clock, here = Clock(), TopicPartition("lag-unseen", 0)
    ages = LagAges(clock)
    ages.see_empty(here)
    clock.now = 1_020.0
    ages.see_waiting(here)
    clock.now = 1_030.0
    ages.see_waiting(here)
    assert ages.of(here) == 30.0


def test_a_partition_that_went_to_another_waits_for_nobody_here() -> None:
    clock, mine, gone = Clock(), TopicPartition("lag-mine", 0), TopicPartition("lag-mine", 1)
    ages = LagAges(clock)
    ages.begin({mine: [Record(1, 999_000)], gone: [Record(1, 999_000)]})
    ages.keep({mine})
    assert (ages.of(mine), ages.of(gone)) == (1.0, 0.0)


async def test_a_consumer_that_is_built_anew_does_not_go_on_telling_of_what_another_has_now() -> None:
    """Its last client went without a word about its partitions; the alert ConsumerStalled would never end."""
    ages, gone = LagAges(Clock()), TopicPartition("lag-rebuilt", 1)
    watch = LagWatch(0.0, ages)
    await watch.is_stuck(Assigned(gone, end=9), brought=True, settled=True)
    assert _messages(gone) == 5.0
    await Assignment(1.0, ages).on_partitions_assigned({TopicPartition("lag-rebuilt", 0)})
    assert _messages(gone) == 0.0


async def test_only_the_brokers_own_answer_about_partitions_that_are_ours_makes_the_measurement_new() -> None:
    """Of a consumer that is cut off, has no partition or joins for ever, every other number stays as it was: at 0."""
    watch, here = LagWatch(0.0, LagAges(Clock())), TopicPartition("lag-measured", 0)
    for client, settled, news in [
        (Assigned(here, end=9, is_cut_off=True), True, False),
        (Assigned(None, end=9), True, False),
        (Assigned(here, end=9), False, False),
        (Assigned(here, end=9), True, True),
    ]:
        metrics.LAG_MEASURED.set(0)
        await watch.is_stuck(client, brought=False, settled=settled)
        measured_at = REGISTRY.get_sample_value("consumer_lag_measured_timestamp_seconds")
        assert measured_at == (pytest.approx(time.time(), abs=60) if news else 0)


def _messages(partition: TopicPartition) -> float | None:
    labels = {"topic": partition.topic, "partition": str(partition.partition)}
    return REGISTRY.get_sample_value("consumer_lag_messages", labels)


@dataclass
class Assigned:
    """A client that has one partition, at the fifth record before its end, or none."""

    partition: TopicPartition | None
    end: int
    is_cut_off: bool = False

    def paused(self) -> set[TopicPartition]:
        return set()

    def assignment(self) -> set[TopicPartition]:
        return {self.partition} if self.partition else set()

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.is_cut_off:
            raise KafkaConnectionError
        return dict.fromkeys(partitions, self.end)

    async def position(self, _: TopicPartition) -> int:
        return self.end - 5
