import math

import pytest
from rich.console import Console

from deploy.local.demo.faults import Killed
from deploy.local.demo.report import Numbers, Stretch, percentile, show
from deploy.local.demo.stored import PlatformCalls


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_nothing_measured_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


def test_one_wrong_number_makes_the_whole_wrong() -> None:
    numbers = Numbers()
    assert not numbers.all_right
    numbers.must_equal("requests ended", 5, 5)
    assert numbers.all_right
    numbers.must_equal("ended twice", 0, 1)
    assert not numbers.all_right


def test_the_report_shows_every_number() -> None:
    numbers = Numbers(
        over_http=12,
        over_kafka=34,
        duplicates_dropped=5,
        outcomes={"completed": 41},
        pushed=7,
        pushed_again=2,
        push_tries=11,
        forged_refused=3,
        replayed=1,
        published={"the first organization": 6},
        killed=[Killed("postgres", 1.25)],
        queued=PlatformCalls(3, 120, 120),
        queued_asks=200,
        stretches={"paging": Stretch(16, 8, 3, 8) + Stretch(8, 4, 2, 4)},
        steady_times=[0.1, 0.2],
        rows={"ingest": {"requests": 400}},
        records={"requests": 210, "ingest.dead_letters": 0},
    )
    numbers.must_equal("requests ended", 400, 399)
    console = Console(record=True, width=140, file=None, quiet=False)
    with console.capture() as captured:
        show(console, numbers)
    text = captured.get()
    for part in ("12 over HTTP, 34 over Kafka", "41 completed", "120 reads made in 3 HTTP calls", "p99 200 ms", "NO"):
        assert part in text
    for part in (
        "7 signed, 2 of them repeated, in 11 tries",
        "3 with a wrong signature",
        "24 calls asked, 5 HTTP calls made, 12 quota units spent: two systems asked for each of 12 reads",
        "postgres (SIGKILL, back",
    ):
        assert part in text
    assert "SEE BELOW" in text, "what is wrong is not called all right"
    assert "requests 400" in text
    assert "ingest.dead_letters" not in text
