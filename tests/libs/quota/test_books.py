"""A replica's own books: whatever happens, no more than its share and what was known free."""

from hypothesis import given
from hypothesis import strategies as st

from libs.quota.books import Books
from libs.vocabulary import PlatformName, QuotaScope, QuotaUse

SCOPE = QuotaScope(PlatformName.META, "app", "1", 100, 60)
STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 20)), max_size=60)


@given(steps=STEPS, share=st.floats(0, 1), ceiling=st.floats(0, 1))
def test_no_rolling_window_holds_more_than_this_replicas_share(
    steps: list[tuple[float, int]], share: float, ceiling: float
) -> None:
    books, now = Books(local_share=share), 0.0
    grants: list[tuple[float, int]] = []
    for pause, units in steps:
        now += pause
        if books.take([QuotaUse(SCOPE, units)], ceiling=ceiling, now=now) is None:
            grants.append((now, units))
    for start, _ in grants:
        assert sum(units for at, units in grants if start <= at < start + 60) <= 100 * share * ceiling


@given(known=st.floats(0, 200), steps=STEPS)
def test_what_is_known_to_be_used_is_not_granted_again(known: float, steps: list[tuple[float, int]]) -> None:
    books = Books(local_share=1.0)
    books.learn(SCOPE, known, now=0.0)
    granted = 0
    for _, units in steps:
        refusal = books.take([QuotaUse(SCOPE, units)], ceiling=1.0, now=0.0)
        if refusal is None:
            granted += units
        else:
            assert refusal.free_units < units
            assert refusal.retry_after_seconds > 0
    assert granted <= max(0.0, 100 - known)


@given(steps=STEPS)
def test_what_is_owed_is_what_was_granted_and_not_yet_told(steps: list[tuple[float, int]]) -> None:
    books, granted = Books(local_share=1.0), 0
    for _, units in steps:
        granted += units if books.take([QuotaUse(SCOPE, units)], ceiling=1.0, now=5.0) is None else 0
    told = granted // 2
    books.settle(SCOPE, units=told, now=5.0)
    owed = books.owed(5.0)
    assert sum(units for _, units, _ in owed) == granted - told


def test_units_come_back_after_the_window() -> None:
    books = Books(local_share=0.5)
    assert books.take([QuotaUse(SCOPE, 50)], ceiling=1.0, now=0.0) is None
    assert books.take([QuotaUse(SCOPE, 1)], ceiling=1.0, now=60.0) is not None
    assert books.take([QuotaUse(SCOPE, 50)], ceiling=1.0, now=61.0) is None


def test_a_block_is_owed_until_it_was_told() -> None:
    books = Books(local_share=1.0)
    books.block(SCOPE, until=30.0, owed=True)
    assert books.owed(10.0) == [(SCOPE, 0, 20.0)]
    books.settle(SCOPE, units=0, now=10.0)
    assert books.owed(10.0) == []
    assert books.take([QuotaUse(SCOPE, 1)], ceiling=1.0, now=10.0) is not None


def test_a_use_of_nothing_is_refused_only_while_its_scope_is_blocked() -> None:
    books = Books(local_share=0.5)
    assert books.take([QuotaUse(SCOPE, 50)], ceiling=1.0, now=0.0) is None
    assert books.take([QuotaUse(SCOPE, 0)], ceiling=0.1, now=0.0) is None
    books.block(SCOPE, until=30.0, owed=False)
    refusal = books.take([QuotaUse(SCOPE, 0)], ceiling=1.0, now=10.0)
    assert refusal is not None
    assert refusal.reason == "blocked"
