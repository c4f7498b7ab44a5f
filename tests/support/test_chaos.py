"""The plan of faults is data, told by the seed alone; what carries it out hits whom it means."""

from collections import Counter
from typing import Any, cast

from tests.support.chaos import Fault, Menu, Nemesis, make_plan

_MENU = Menu(
    kills=["a-http", "a-relay"],
    freezes=[("a-workers", 10.0)],
    servers=["postgres"],
    frozen_servers=[("kafka", 10.0)],
    leaders=["requests/0"],
    cuts=["a~postgres"],
    black_holes=["services~kafka"],
)


def test_a_seed_gives_the_same_plan_again_and_another_seed_another() -> None:
    plan = make_plan(_MENU, 7, seconds=60, rounds=2)
    assert plan == make_plan(_MENU, 7, seconds=60, rounds=2)
    assert plan != make_plan(_MENU, 8, seconds=60, rounds=2)


def test_everything_on_the_menu_comes_once_per_round_within_the_time() -> None:
    plan = make_plan(_MENU, 7, seconds=60, rounds=3)
    assert set(Counter((fault.kind, fault.target) for fault in plan).values()) == {3}
    assert len(plan) == 3 * 8
    assert plan == sorted(plan)
    assert 0 <= plan[0].at_seconds <= plan[-1].at_seconds <= 60


def test_what_stands_still_does_so_for_longer_than_others_wait_for_it() -> None:
    plans = [make_plan(_MENU, seed, seconds=60) for seed in range(50)]
    frozen = [fault for plan in plans for fault in plan if fault.kind in ("freeze", "freeze server")]
    assert len(frozen) == 2 * len(plans)
    assert min(fault.seconds for fault in frozen) > 10.0


def test_a_plan_reads_as_what_happens_to_whom_and_when() -> None:
    (text,) = [str(fault) for fault in make_plan(_MENU, 7, seconds=60) if fault.kind == "black hole"]
    assert "black hole services~kafka for" in text


class _Brokers:
    """Whoever leads and is killed, the other leads from then on."""

    brokers = ("kafka-1", "kafka-2")

    def __init__(self) -> None:
        self.leader = "kafka-1"
        self.down: set[str] = set()
        self.killed: list[str] = []

    async def leader_of(self, place: str) -> str:
        return self.leader

    async def kill(self, name: str) -> None:
        self.killed.append(name)
        self.down.add(name)
        self.leader = next(other for other in self.brokers if other != name)

    async def restart(self, name: str) -> None:
        self.down.remove(name)


async def test_who_leads_is_asked_when_the_fault_before_is_over() -> None:
    brokers = _Brokers()
    plan = [Fault(number / 1000, "kill leader", f"requests/{number}", 0.05) for number in range(3)]
    await Nemesis(cast(Any, None), cast(Any, brokers)).run(plan)
    assert brokers.killed == ["kafka-1", "kafka-2", "kafka-1"]
