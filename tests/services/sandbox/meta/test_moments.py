"""Moments as clients write them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.moments import parse_moment, read_moment

NOW = datetime(2026, 11, 21, 15, 30, 12, tzinfo=UTC)
"""A Saturday."""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1795272612", "2026-11-21T14:50:12+00:00"),
        ("@1795272612", "2026-11-21T14:50:12+00:00"),
        ("0", "1970-01-01T00:00:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ('"2026-11-01T10:00:00+0200"', "2026-11-01T10:00:00+02:00"),
        ("now", "2026-11-21T15:30:12+00:00"),
        ("today", "2026-11-21T00:00:00+00:00"),
        ("Yesterday 10:30", "2026-11-20T10:30:00+00:00"),
        ("tomorrow noon", "2026-11-22T12:00:00+00:00"),
        ("-1 week", "2026-11-14T15:30:12+00:00"),
        ("3 days ago", "2026-11-18T15:30:12+00:00"),
        ("30 seconds ago", "2026-11-21T15:29:42+00:00"),
        ("2 weeks ago midnight", "2026-11-07T00:00:00+00:00"),
        ("saturday", "2026-11-21T00:00:00+00:00"),
        ("monday", "2026-11-23T00:00:00+00:00"),
        ("last monday", "2026-11-16T00:00:00+00:00"),
        ("last saturday", "2026-11-14T00:00:00+00:00"),
        ("next friday", "2026-11-27T00:00:00+00:00"),
        ("first day of last month", "2026-10-01T15:30:12+00:00"),
        ("last day of this month", "2026-11-30T15:30:12+00:00"),
        ("21 November 2025", "2025-11-21T00:00:00+00:00"),
        ("November 3, 2025", "2025-11-03T00:00:00+00:00"),
        ("10 sep", "2026-09-10T00:00:00+00:00"),
        ("last year", "2025-11-21T15:30:12+00:00"),
        ("11/03/2026", "2026-11-03T00:00:00+00:00"),
    ],
)
def test_moments_are_read_in_every_form_that_clients_write(text: str, moment: str) -> None:
    assert parse_moment(text, NOW).isoformat() == moment


@pytest.mark.parametrize(
    "text", ["", "soon", "5 parsecs", "1/2", "2026-13-01", "-", "last", "10:99", "9" * 30, "99999999 days", "a" * 200]
)
def test_what_names_no_moment_is_refused(text: str) -> None:
    with pytest.raises(GraphError) as caught:
        read_moment({"since": text}, "since", NOW)
    assert caught.value.code == 100


def test_a_moment_that_is_not_asked_for_is_none() -> None:
    assert read_moment({}, "since", NOW) is None


@given(st.text(alphabet="0123456789 -+:/@dayweksmonthlstaurifjno,", max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert read_moment({"since": text}, "since", NOW) is not None
    except GraphError as error:
        assert error.code == 100
