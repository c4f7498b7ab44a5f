"""Pages of a list: by cursor in both directions, by offset, and what they tell of the whole."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.meta.briefs import Row
from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.listing import Page, Selection, paging_of, summary_of, take_page
from services.sandbox.meta.listings import written_listing
from services.sandbox.meta.node import Node

NOW = datetime(2026, 11, 21, tzinfo=UTC)
URL = "https://graph.facebook.com/v26.0/1/ads"


def rows(count: int, *, every: int = 1) -> Selection:
    """Rows `0` to below `count`, of which those that `every` divides count."""
    listed = written_listing(Node(str(number), "ad", "act_1", {}, NOW, NOW) for number in range(count))
    return Selection(listed, None if every == 1 else lambda node: int(node.id) % every == 0)


def ids(page: Page) -> list[int]:
    return [int(node.id) for node in page.rows]


def params_of(url: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}


@given(st.integers(1, 40), st.integers(1, 15), st.integers(1, 5))
def test_following_the_links_gives_every_row_once_and_back_again(count: int, limit: int, every: int) -> None:
    listed, seen, wanted = rows(count, every=every), [], list(range(0, count, every))
    params = {"limit": str(limit)}
    last: dict[str, Any] = {}
    while True:
        page = take_page(listed, "ad", params)
        seen += ids(page)
        last = paging_of(page, URL, params) or {}
        if "next" not in last:
            break
        params = params_of(last["next"])
    assert seen == wanted
    back = ids(page)
    while "previous" in last:
        params = params_of(last["previous"])
        page = take_page(listed, "ad", params)
        back = ids(page) + back
        last = paging_of(page, URL, params) or {}
    assert back == wanted


def test_links_keep_what_was_asked_and_name_one_cursor() -> None:
    asked = {"limit": "2", "fields": "id", "since": "2026-01-01", "before": "MQ", "access_token": "t"}
    paging = paging_of(take_page(rows(9), "ad", {"limit": "2", "after": "MQ"}), URL, asked)
    assert paging is not None
    assert params_of(paging["next"]) == {
        "limit": "2", "fields": "id", "since": "2026-01-01", "access_token": "t", "after": paging["cursors"]["after"],
    }  # fmt: skip
    assert set(params_of(paging["previous"])) == {"limit", "fields", "since", "access_token", "before"}


def test_an_offset_moves_the_start_and_needs_no_cursors() -> None:
    page = take_page(rows(10), "post", {"offset": "4", "limit": "3"})
    paging = paging_of(page, URL, {"offset": "4", "limit": "3"})
    assert ids(page) == [4, 5, 6]
    assert paging is not None
    assert "cursors" not in paging
    assert (params_of(paging["next"])["offset"], params_of(paging["previous"])["offset"]) == ("7", "1")
    assert ids(take_page(rows(10), "post", {"offset": "99"})) == []
    some = take_page(rows(30, every=3), "post", {"offset": "4", "limit": "3"})
    assert (ids(some), some.has_next) == ([12, 15, 18], True)


@pytest.mark.parametrize(
    ("kind", "limit", "shown"),
    [
        ("post", "1000", 100),
        ("media", "101", 100),
        ("phone_number", "500", 100),
        ("ig_comment", "99", 50),
        ("ad", "150", 150),
    ],
)
def test_a_limit_that_is_too_large_for_an_edge_is_lowered(kind: str, limit: str, shown: int) -> None:
    page = take_page(rows(200), kind, {"limit": limit})
    paging = paging_of(page, URL, {})
    assert len(page.rows) == shown
    assert paging is not None
    assert params_of(paging["next"])["limit"] == str(shown)


def test_a_cursor_behind_the_deepest_row_of_an_edge_is_refused_in_the_documents_words() -> None:
    listed = rows(10_002)
    deepest, beyond = (
        paging_of(Page([listed.rows[place]], 1, has_previous=True, has_next=True), URL, {}) for place in (9_999, 10_000)
    )
    assert deepest is not None
    assert beyond is not None
    assert ids(take_page(listed, "comment", params_of(deepest["next"]))) == [10_000]
    with pytest.raises(GraphError) as caught:
        take_page(listed, "comment", params_of(beyond["next"]))
    assert (caught.value.status, caught.value.code) == (400, 100)
    assert "The After Cursor specified exceeds the max limit supported by this endpoint" in caught.value.message
    assert ids(take_page(listed, "ad", params_of(beyond["next"]))) == [10_001]


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"limit": "0"}, 400, 100),
        ({"limit": "-1"}, 400, 100),
        ({"limit": "ten"}, 400, 100),
        ({"limit": "٣"}, 400, 100),
        ({"limit": "5001"}, 500, 1),
        ({"offset": "-1"}, 400, 100),
        ({"after": "nonsense"}, 400, 100),
        ({"after": "OTk"}, 400, 100),
        ({"before": "é"}, 400, 100),
    ],
)
def test_a_bad_place_in_the_list_is_refused(params: dict[str, str], status: int, code: int) -> None:
    with pytest.raises(GraphError) as caught:
        take_page(rows(30), "ad", params)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_list_counts_what_is_chosen_and_looks_at_no_more_rows_than_a_page_needs() -> None:
    looked: list[str] = []

    def keep(node: Row) -> bool:
        looked.append(node.id)
        return int(node.id) % 2 == 0

    listed = Selection(rows(2_000).rows, keep)
    assert ids(take_page(listed, "ad", {"limit": "3"})) == [0, 2, 4]
    assert len(looked) < 10
    assert len(listed) == 1_000
    ended = Selection(listed.rows, None, lambda node: int(node.id) == 5)
    assert ids(take_page(ended, "ad", {"after": "Mg"})) == [3, 4]
    assert len(ended) == 5


def test_a_page_without_rows_has_no_paging() -> None:
    assert paging_of(take_page(rows(0), "ad", {}), URL, {}) is None
    assert paging_of(take_page(rows(3), "comment", {"limit": "0"}), URL, {}) is None


@pytest.mark.parametrize(
    ("kind", "text", "summary"),
    [
        ("ad", "true", {"total_count": 7}),
        ("ad", "total_count", {"total_count": 7}),
        ("ad", "['total_count']", {"total_count": 7}),
        ("ad", "insights", {}),
        ("comment", "1", {"order": "ranked", "can_comment": True, "total_count": 7}),
        ("comment", '["total_count","can_comment"]', {"total_count": 7, "can_comment": True}),
        ("like", "true", {"can_like": True, "has_liked": False, "total_count": 7}),
        ("ad", "false", None),
        ("ad", "", None),
    ],
)
def test_a_summary_tells_what_it_is_asked_for(kind: str, text: str, summary: dict[str, Any] | None) -> None:
    assert summary_of(kind, lambda: 7, {"summary": text}) == summary
