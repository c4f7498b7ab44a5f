"""One request for several connections: every item with its own credential, every item with exactly one outcome."""

from collections.abc import Sequence
from typing import Literal, get_args

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.platforms.base import BatchOutcome, Credential, ItemDone, ItemFailed, Outcome, OwnedCall
from libs.platforms.errors import AuthExpired, AuthRevoked, ContractBroken, PlatformError, RateLimited, Unavailable
from tests.libs.platforms.conformance.batching import BatchingHooks
from tests.libs.platforms.conformance.errors import APP_SECRET, Handler, assert_silent
from tests.support.fuzzing import FUZZ_EXAMPLES

Fate = Literal["done", "refused", "not_done", "aborted", "odd", "throttled", "expired", "unreadable"]
"""What can become of an item: see `SharingConformance.answer_mixed`."""
OUTCOMES: dict[Fate, Outcome] = {
    "done": "done",
    "refused": "rejected",
    "not_done": "not_attempted",
    "aborted": "not_attempted",
    "odd": "rejected",
    "throttled": "not_attempted",
    "expired": "rejected",
    "unreadable": "not_attempted",
}
ONE, OTHER = Credential("token-of-one", "4711", APP_SECRET), Credential("token-of-the-other", "4711", APP_SECRET)


class SharingConformance(BatchingHooks):
    """Inherited beside `BatchingConformance`."""

    def refusal(self, error: type[PlatformError]) -> httpx.Response:
        """As in `ErrorsConformance`."""
        raise NotImplementedError

    def tokens_of(self, request: httpx.Request) -> Sequence[str]:
        """Give the token that each item of the request is asked with, in order."""
        raise NotImplementedError

    def answer_mixed(self, request: httpx.Request, fates: Sequence[Fate]) -> httpx.Response:
        """Answer each item by its fate.

        `refused` for what was asked, `not_done` and `aborted` in the platform's ways to say that it did not happen,
        `odd` in no documented shape, `throttled`, `expired` for its token, `unreadable` as text that is no JSON.
        """
        raise NotImplementedError

    async def each(self, handler: Handler, credentials: Sequence[Credential]) -> BatchOutcome:
        batching = self.batching(handler)
        calls = self.calls(batching, len(credentials))
        return await batching.execute_each([OwnedCall(*pair) for pair in zip(credentials, calls, strict=True)])

    async def test_every_item_is_asked_with_its_own_token(self) -> None:
        asked: list[str] = []

        def handler(request: httpx.Request) -> httpx.Response:
            asked.extend(self.tokens_of(request))
            return self.answer_of(request)

        owners = [ONE, OTHER, OTHER, ONE]
        outcome = await self.each(handler, owners)
        assert asked == [owner.access_token for owner in owners]
        assert [item.outcome for item in outcome.items] == ["done"] * 4
        assert outcome.http_calls == 1
        assert outcome.refusal is None

    @settings(deadline=None, max_examples=FUZZ_EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(mix=st.lists(st.tuples(st.sampled_from(get_args(Fate)), st.booleans()), min_size=1, max_size=50))
    async def test_any_mix_of_fates_gives_each_item_its_own_outcome_in_order(
        self, mix: list[tuple[Fate, bool]]
    ) -> None:
        fates = [fate for fate, _ in mix]
        owners = [ONE if first else OTHER for _, first in mix]
        outcome = await self.each(lambda request: self.answer_mixed(request, fates), owners)
        assert [item.outcome for item in outcome.items] == [OUTCOMES[fate] for fate in fates]
        batching = self.batching(self.answer_of)
        for call, item, fate in zip(self.calls(batching, len(mix)), outcome.items, fates, strict=True):
            if isinstance(item, ItemDone):
                assert self.is_answer_to(call, item)
                continue
            expected = {"throttled": RateLimited, "expired": AuthExpired, "odd": ContractBroken}
            assert isinstance(item.error, expected.get(fate, PlatformError))
            assert item.error.operation == call.request_type

    @pytest.mark.parametrize("error", [AuthExpired, AuthRevoked])
    async def test_when_the_requests_own_token_is_refused_nobody_elses_is_blamed(
        self, error: type[PlatformError]
    ) -> None:
        own = Credential(ONE.access_token, "4711", APP_SECRET)
        stranger = Credential("token-in-another-app", "4712", APP_SECRET)
        outcome = await self.each(lambda _: self.refusal(error), [own, stranger])
        assert isinstance(outcome.refusal, error)
        first, second = outcome.items
        assert isinstance(first, ItemFailed)
        assert isinstance(second, ItemFailed)
        assert isinstance(first.error, error)
        assert isinstance(second.error, Unavailable)
        assert second.outcome == "not_attempted"
        assert_silent(second.error)

    async def test_no_answer_is_an_outcome_too(self) -> None:
        def away(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        def cut(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadError("gone", request=request)

        assert [item.outcome for item in (await self.each(away, [ONE, OTHER])).items] == ["not_attempted"] * 2
        assert [item.outcome for item in (await self.each(cut, [ONE, OTHER])).items] == ["unknown"] * 2
