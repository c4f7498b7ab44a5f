"""The plan of faults is data, told by the seed alone; what carries it out hits whom it means."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tests.support.chaos import Fault, Menu, Nemesis, make_plan
from tests.support.holders import Lease

_MENU = Menu(
    kills=["a-http", "a-relay"],
    freezes=[("holder of a", 10.0)],
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


def test_freezes_come_while_there_is_work_in_flight_and_time_to_try_again() -> None:
    plans = [make_plan(_MENU, seed, seconds=60, rounds=2) for seed in range(50)]
    frozen = [fault.at_seconds for plan in plans for fault in plan if fault.kind == "freeze"]
    assert len(frozen) == 2 * len(plans)
    assert max(frozen) <= 20 + 60 / 16
    assert min(fault.at_seconds for plan in plans for fault in plan if fault.kind != "freeze") < 10


def test_a_plan_reads_as_what_happens_to_whom_and_when() -> None:
    (text,) = [str(fault) for fault in make_plan(_MENU, 7, seconds=60) if fault.kind == "black hole"]
    assert "black hole services~kafka for" in text


@dataclass(slots=True)
class _Process:
    """One of several that hold a lease."""

    number: int
    frozen: int = 0
    is_frozen: bool = False

    def pid(self) -> int:
        return self.number

    def freeze(self) -> None:
        self.is_frozen = True
        self.frozen += 1

    def thaw(self) -> None:
        self.is_frozen = False


@dataclass(slots=True)
class _System:
    """Two processes and a lease, which the second holds; the first takes it from a frozen one unless it is struck."""

    fleet: dict[str, _Process] = field(default_factory=lambda: {"a": _Process(71), "a-2": _Process(72)})
    epoch: int = 1
    takes_over: bool = True

    async def rows(self, query: str, *arguments: object) -> Sequence[Mapping[str, Any]]:
        if arguments and self.takes_over and self.fleet["a-2"].is_frozen:
            self.epoch += 1
        return [{"id": "lease", "owner": "service-host-72-0123abcd", "epoch": self.epoch}]


def _nemesis(system: _System, cluster: object = None) -> Nemesis:
    lease = Lease(("a", "a-2"), 0.01, "SELECT the places")
    return Nemesis(cast(Any, system), cast(Any, cluster), {"holder of a": lease}, try_seconds=1.0, take_seconds=0.1)


async def test_a_freeze_hits_the_process_that_holds_the_lease_and_counts_when_another_took_it() -> None:
    system = _System()
    nemesis = _nemesis(system)
    await nemesis.run([Fault(0.0, "freeze", "holder of a", 0.01)])
    assert {name: process.frozen for name, process in system.fleet.items()} == {"a": 0, "a-2": 1}
    assert not system.fleet["a-2"].is_frozen
    assert nemesis.done() == {"freeze": 1}
    assert nemesis.leases_kept() == set()


async def test_a_freeze_that_took_nothing_from_its_holder_is_tried_again_and_does_not_count() -> None:
    system = _System(takes_over=False)
    nemesis = _nemesis(system)
    await nemesis.run([Fault(0.0, "freeze", "holder of a", 0.01)])
    assert system.fleet["a-2"].frozen > 1
    assert not system.fleet["a-2"].is_frozen
    assert nemesis.done() == {}
    assert nemesis.leases_kept() == {"holder of a"}


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
    await _nemesis(_System(), brokers).run(plan)
    assert brokers.killed == ["kafka-1", "kafka-2", "kafka-1"]
