"""What answers say of budgets: one neutral reading per budget, whatever the headers look like."""

import math
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from libs.platforms.base import BatchOutcome, ItemFailed
from libs.platforms.errors import RateLimited
from libs.vocabulary import UsageReading
from tests.libs.platforms.conformance.batching import BatchingHooks
from tests.libs.platforms.conformance.errors import TOKEN, Handler

USED, REGAIN_SECONDS = 0.75, 180
ABSURD_USAGE = (
    "",
    "no json",
    "[]",
    "{}",
    "null",
    "NaN",
    "-1",
    "1e400",
    '"text"',
    "[[[[",
    "{" * 10_000,
    "\x00",
    "9" * 5_000,
)


class LimitsConformance(BatchingHooks):
    """Inherited beside `BatchingConformance`."""

    def answer_with_usage(self, request: httpx.Request, used: float, regain_seconds: int) -> httpx.Response:
        """Answer like `answer_of`; tell of the budget that the first read costs: its use, when access is back."""
        raise NotImplementedError

    def answer_with_usage_written(self, request: httpx.Request, text: str) -> httpx.Response:
        """Answer like `answer_of`, with the text in place of everything that tells of budgets."""
        raise NotImplementedError

    def answer_with_first_throttled(self, request: httpx.Request, regain_seconds: int) -> httpx.Response:
        """Answer like `answer_of`, but refuse the first read for its budget, and say when access is back."""
        raise NotImplementedError

    async def outcome(self, handler: Handler) -> BatchOutcome:
        batching = self.batching(handler)
        return await batching.execute(self.credential(), self.calls(batching, 2))

    async def test_an_answers_notes_on_budgets_become_one_reading_of_what_the_reads_cost(self) -> None:
        before = datetime.now(UTC)
        outcome = await self.outcome(lambda request: self.answer_with_usage(request, USED, REGAIN_SECONDS))
        told = [reading for reading in outcome.usage if math.isclose(reading.used_fraction, USED)]
        assert len(told) == 1
        (reading,) = told
        assert reading.regain_after_seconds == REGAIN_SECONDS
        assert reading.resets_at is not None
        late = reading.resets_at - before - timedelta(seconds=REGAIN_SECONDS)
        assert timedelta(0) <= late < timedelta(seconds=60)
        assert len({each.scope for each in outcome.usage}) == len(outcome.usage), "one reading per budget"

    async def test_an_answer_that_tells_no_end_of_a_block_tells_no_time(self) -> None:
        outcome = await self.outcome(lambda request: self.answer_with_usage(request, USED, 0))
        (reading,) = [each for each in outcome.usage if math.isclose(each.used_fraction, USED)]
        assert reading.regain_after_seconds == 0

    @pytest.mark.parametrize("text", ABSURD_USAGE, ids=range(len(ABSURD_USAGE)))
    async def test_absurd_notes_on_budgets_spoil_no_answer(self, text: str) -> None:
        outcome = await self.outcome(lambda request: self.answer_with_usage_written(request, text))
        assert [item.outcome for item in outcome.items] == ["done", "done"]
        assert all(_is_sound(reading) for reading in outcome.usage)

    @pytest.mark.parametrize(("used", "regain_seconds"), [(1e300, 10**15), (-5.0, -60), (1e-300, 0)])
    async def test_absurd_numbers_stay_within_reason(self, used: float, regain_seconds: int) -> None:
        outcome = await self.outcome(lambda request: self.answer_with_usage(request, used, regain_seconds))
        assert all(_is_sound(reading) for reading in outcome.usage)

    async def test_a_throttled_read_waits_as_long_as_its_answer_says_and_its_neighbour_counts(self) -> None:
        handler: Handler = lambda request: self.answer_with_first_throttled(request, REGAIN_SECONDS)  # noqa: E731
        first, second = (await self.outcome(handler)).items
        assert isinstance(first, ItemFailed)
        assert isinstance(first.error, RateLimited)
        assert first.error.retry_after_seconds == REGAIN_SECONDS
        assert first.outcome == "not_attempted"
        assert second.outcome == "done"

    def test_quota_is_counted_per_read_without_a_call(self) -> None:
        batching = self.batching(self.answer_of)
        uses = batching.quota_uses(self.credential(), self.calls(batching, 7))
        assert sum(use.units for use in uses) == 7
        assert len({use.scope for use in uses}) == len(uses)
        assert all(TOKEN not in repr(use) for use in uses)


def _is_sound(reading: UsageReading) -> bool:
    return (
        0 <= reading.used_fraction < 1_000
        and 0 <= reading.regain_after_seconds <= 31 * 86_400
        and (reading.resets_at is None or reading.resets_at.utcoffset() == timedelta(0))
        and TOKEN not in repr(reading)
    )
