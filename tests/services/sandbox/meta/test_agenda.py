"""What happens later by itself."""

from datetime import UTC, datetime, timedelta

from services.sandbox.meta.agenda import Agenda

START = datetime(2026, 11, 21, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_acts_are_done_in_the_order_of_their_moments_and_once() -> None:
    agenda, done = Agenda(), []
    for hours in (3, 1, 2, 1):
        agenda.at(START + hours * HOUR, lambda moment: done.append(moment))
    agenda.settle(START)
    assert done == []
    agenda.settle(START + 2 * HOUR)
    assert done == [START + HOUR, START + HOUR, START + 2 * HOUR]
    agenda.settle(START + 9 * HOUR)
    agenda.settle(START + 9 * HOUR)
    assert len(done) == 4


def test_an_act_may_plan_another_that_is_due_already() -> None:
    agenda, done = Agenda(), []

    def first(moment: datetime) -> None:
        done.append("first")
        agenda.at(moment + HOUR, lambda _: done.append("second"))
        agenda.at(moment + 9 * HOUR, lambda _: done.append("third"))

    agenda.at(START, first)
    agenda.settle(START + 2 * HOUR)
    assert done == ["first", "second"]
