"""Families: ids, ages and places of members by arithmetic agree with a list that is written down."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.meta.families import GONE_EVERY, Family, below, rank_above, whole

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make_family(shown: int, *, has_gone: bool = True, seed: int = 5) -> Family:
    return Family("ad", "act_1", shown, seed, START, 50, 300, 120_000_000_000_000_000, has_gone=has_gone)


def shown_indexes(family: Family) -> list[int]:
    return [index for index in range(family.total) if not family.is_gone(index)]


@given(shown=st.integers(0, 400), has_gone=st.booleans())
def test_a_list_shows_as_many_as_it_promises(shown: int, has_gone: bool) -> None:
    family = make_family(shown, has_gone=has_gone)
    assert len(shown_indexes(family)) == shown == whole(family).count(everything=False)
    assert whole(family).count(everything=True) == family.total
    assert [family.at_rank(rank) for rank in range(shown)] == shown_indexes(family)


def test_every_twelfth_is_gone_at_the_start() -> None:
    family = make_family(130)
    assert family.total == 130 + 11
    assert [index for index in range(30) if family.is_gone(index)] == [GONE_EVERY - 1, 2 * GONE_EVERY - 1]


@given(shown=st.integers(1, 3_000_000), place=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 2**63 - 1))
def test_an_id_leads_back_to_its_place(shown: int, place: float, seed: int) -> None:
    family = make_family(shown, seed=seed)
    index = int(place * family.total)
    assert family.index_of(family.node_id(index)) == index


@pytest.mark.parametrize("text", ["", "x", "120", "-120000000000000001", "9" * 40, "١٢٣", "120000000000000000 "])
def test_what_is_no_id_of_a_member_is_known_as_none(text: str) -> None:
    assert make_family(50).index_of(text) is None


def test_ids_grow_with_the_moment_of_creation_and_are_unique() -> None:
    family = make_family(500)
    ids = [int(family.node_id(index)) for index in range(family.total)]
    assert ids == sorted(set(ids), reverse=True)
    ages = [family.created_at(index) for index in range(family.total)]
    assert ages == sorted(ages, reverse=True)
    assert START - timedelta(days=300) <= ages[-1]
    assert ages[0] <= START - timedelta(days=50)


def test_two_of_three_were_changed_within_two_days_and_none_before_it_was_made() -> None:
    family = make_family(300)
    changed = [family.updated_at(index) for index in range(family.total)]
    assert sum(at >= START - timedelta(days=2) for at in changed) * 3 >= 2 * family.total
    assert all(family.created_at(index) <= at <= START for index, at in enumerate(changed))


@given(parents=st.integers(1, 60), children=st.integers(0, 200))
def test_every_child_hangs_below_one_parent_and_no_parent_goes_without_if_there_are_enough(
    parents: int, children: int
) -> None:
    family = make_family(children)
    runs = [below(family, parents, rank) for rank in range(parents)]
    indexes = [index for run in runs for index in range(run.low, run.high)]
    assert indexes == list(range(family.total))
    for rank, run in enumerate(runs):
        assert all(rank_above(family, index, parents) == rank for index in range(run.low, run.high))
    if children >= parents:
        assert all(run.count(everything=False) for run in runs)


@given(
    shown=st.integers(0, 120),
    changes=st.lists(st.tuples(st.integers(0, 140), st.sampled_from(["hide", "show", "remove"])), max_size=30),
    low=st.integers(0, 60),
    start=st.integers(0, 130),
)
def test_pages_of_any_part_agree_with_a_list_that_is_written_down(
    shown: int, changes: list[tuple[int, str]], low: int, start: int
) -> None:
    family = make_family(shown)
    listed = {index: not family.is_gone(index) for index in range(family.total)}
    for index, act in changes:
        if index not in listed:
            continue
        if act == "remove":
            del listed[index]
            family.remove(index)
        else:
            listed[index] = act == "show"
            family.set_hidden(index, hidden=act == "hide")
    run = whole(family)
    part = type(run)(family, min(low, family.total), family.total)
    for everything in (True, False):
        expected = [
            family.node_id(index) for index, shows in listed.items() if index >= part.low and (shows or everything)
        ]
        assert part.count(everything=everything) == len(expected)
        assert list(part.ids(start, everything=everything)) == expected[start:]
        for place, node_id in enumerate(expected):
            assert part.position(node_id, everything=everything) == place
        gone = [family.node_id(i) for i in range(family.total) if family.node_id(i) not in expected]
        assert all(part.position(node_id, everything=everything) is None for node_id in gone)


def test_who_existed_by_a_moment_is_found_without_looking_at_all() -> None:
    family = make_family(200)
    for moment in (START, START - timedelta(days=100), START - timedelta(days=299), START - timedelta(days=400)):
        expected = next(
            (rank for rank in range(200) if family.created_at(family.at_rank(rank)) < moment),
            200,
        )
        assert family.first_rank_created_by(moment) == expected


@given(removed=st.sets(st.integers(0, 30)), low=st.integers(0, 30), length=st.integers(0, 30))
def test_what_is_left_of_a_stretch_has_every_member_but_the_removed(removed: set[int], low: int, length: int) -> None:
    family = make_family(60, has_gone=False)
    for index in sorted(removed):
        family.remove(index)
    left = list(family.left_of(low, low + length))
    assert [index for begin, end in left for index in range(begin, end)] == [
        index for index in range(low, low + length) if index not in removed
    ]
    assert all(begin < end for begin, end in left)
