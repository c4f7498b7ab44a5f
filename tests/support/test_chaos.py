"""The plan of faults: data, told by the seed alone."""

from collections import Counter

from tests.support.chaos import Menu, make_plan

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
