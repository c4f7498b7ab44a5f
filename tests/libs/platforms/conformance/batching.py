"""Reads in bulk: every read gets exactly one outcome, whatever its neighbours and the answer are."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from libs.platforms.base import (
    Batching,
    BatchOutcome,
    InvalidParams,
    ItemDone,
    ItemFailed,
    PlannedCall,
    Platform,
)
from libs.platforms.errors import (
    Blocked,
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Retryable,
)
from tests.libs.platforms.conformance.errors import TOKEN, Asker, ErrorsConformance, Handler, always, no_call


class BatchingHooks(Asker):
    """How a platform's reads in bulk are made; no tests."""

    def build(self, handler: Handler) -> Platform:
        """Give the platform over a stand-in for its host."""
        raise NotImplementedError

    def read(self, index: int) -> tuple[str, dict[str, Any]]:
        """Give request type and params of the n-th of many distinct reads."""
        raise NotImplementedError

    def answer_of(self, request: httpx.Request) -> httpx.Response:
        """Answer every read of the request, each with a body that tells the reads apart."""
        raise NotImplementedError

    def is_answer_to(self, call: PlannedCall, done: ItemDone) -> bool:
        """Tell whether the answer belongs to the read."""
        raise NotImplementedError

    def batching(self, handler: Handler) -> Batching:
        batching = self.build(handler).batching
        assert batching is not None
        return batching

    def calls(self, batching: Batching, count: int) -> list[PlannedCall]:
        return [batching.plan(*self.read(index)) for index in range(count)]


class BatchingConformance(BatchingHooks, ErrorsConformance):
    """Reads of one connection in one call."""

    def same_read_written_otherwise(self) -> tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]:
        """Give two spellings of one read."""
        raise NotImplementedError

    def wrong_reads(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """Give reads that must be refused before any call."""
        raise NotImplementedError

    def answer_short_by_one(self, request: httpx.Request) -> httpx.Response:
        """Answer like `answer_of`, with the last read's answer left out."""
        raise NotImplementedError

    def answer_with_first_not_done(self, request: httpx.Request) -> httpx.Response:
        """Answer like `answer_of`, but say that the first read was not done."""
        raise NotImplementedError

    def answer_with_first_odd(self, request: httpx.Request) -> httpx.Response:
        """Answer like `answer_of`, but with a first answer of a shape that the platform does not document."""
        raise NotImplementedError

    def answer_with_first_refused_as_unreadable(self, request: httpx.Request) -> httpx.Response:
        """Answer like `answer_of`, but refuse the first read for how it is written."""
        raise NotImplementedError

    def throttles_of_unknown_budgets(self) -> Sequence[httpx.Response]:
        """Refuse the whole call, each time for a budget that the answer does not name."""
        raise NotImplementedError

    def refusals_of_our_settings(self) -> Sequence[httpx.Response]:
        """Refuse the whole call, each time for what an operator set wrong."""
        raise NotImplementedError

    async def ask(self, handler: Handler) -> BatchOutcome:
        batching = self.batching(handler)
        return await batching.execute(self.credential(), self.calls(batching, 3))

    async def test_a_full_batch_is_one_call_and_answers_keep_their_order(self) -> None:
        requests: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return self.answer_of(request)

        batching = self.batching(handler)
        calls = self.calls(batching, batching.max_items)
        outcome = await batching.execute(self.credential(), calls)
        assert len(requests) == outcome.http_calls == 1
        assert len(outcome.items) == len(calls)
        for call, item in zip(calls, outcome.items, strict=True):
            assert isinstance(item, ItemDone)
            assert item.outcome == "done"
            assert self.is_answer_to(call, item)

    async def test_an_answer_of_the_wrong_length_is_trusted_for_no_item(self) -> None:
        assert isinstance(await self.failure(self.answer_short_by_one), OutcomeUnknown)

    async def test_an_item_that_was_not_done_can_be_tried_again_and_the_others_count(self) -> None:
        batching = self.batching(self.answer_with_first_not_done)
        calls = self.calls(batching, 3)
        first, *others = (await batching.execute(self.credential(), calls)).items
        assert isinstance(first, ItemFailed)
        assert isinstance(first.error, Retryable)
        assert first.outcome == "not_attempted"
        assert all(isinstance(item, ItemDone) for item in others)

    async def test_an_odd_item_breaks_the_contract_alone(self) -> None:
        batching = self.batching(self.answer_with_first_odd)
        first, *others = (await batching.execute(self.credential(), self.calls(batching, 3))).items
        assert isinstance(first, ItemFailed)
        assert isinstance(first.error, ContractBroken)
        assert all(isinstance(item, ItemDone) for item in others)

    async def test_a_read_that_cannot_be_understood_blames_no_token(self) -> None:
        batching = self.batching(self.answer_with_first_refused_as_unreadable)
        first, *others = (await batching.execute(self.credential(), self.calls(batching, 3))).items
        assert isinstance(first, ItemFailed)
        assert isinstance(first.error, Rejected)
        assert first.outcome == "rejected"
        assert all(isinstance(item, ItemDone) for item in others)

    async def test_a_throttle_closes_no_budget_that_it_does_not_name(self) -> None:
        for response in self.throttles_of_unknown_budgets():
            raised = await self.failure(always(response))
            assert isinstance(raised, RateLimited)
            assert raised.scope is None

    async def test_a_throttle_closes_only_what_its_reads_ask_for(self) -> None:
        raised = await self.failure(lambda _: self.refusal(RateLimited))
        assert isinstance(raised, RateLimited)
        batching = self.batching(self.answer_of)
        uses = batching.quota_uses(self.credential(), self.calls(batching, 1))
        assert raised.scope in {use.scope for use in uses}

    async def test_wrong_settings_of_ours_are_not_the_requests_fault(self) -> None:
        for response in self.refusals_of_our_settings():
            raised = await self.failure(always(response))
            assert isinstance(raised, Misconfigured)
            assert isinstance(raised, Blocked)

    async def test_more_than_the_largest_batch_is_never_sent(self) -> None:
        batching = self.batching(no_call)
        for count in (0, batching.max_items + 1):
            with pytest.raises(ValueError, match="batch"):
                await batching.execute(self.credential(), self.calls(batching, count))

    def test_equal_reads_have_equal_keys_and_different_reads_different_ones(self) -> None:
        batching = self.batching(self.answer_of)
        one, other = self.same_read_written_otherwise()
        assert batching.plan(*one) == batching.plan(*other)
        keys = {call.request_key for call in self.calls(batching, 20)}
        assert len(keys) == 20
        assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)

    def test_canonical_params_plan_to_themselves(self) -> None:
        batching = self.batching(self.answer_of)
        for call in self.calls(batching, 3):
            assert batching.plan(call.request_type, call.params) == call

    def test_wrong_reads_are_refused_with_place_fault_and_remedy(self) -> None:
        batching = self.batching(self.answer_of)
        for request_type, params in self.wrong_reads():
            with pytest.raises(InvalidParams) as caught:
                batching.plan(request_type, params)
            for where, what, how in caught.value.errors:
                assert where.startswith("/")
                assert what
                assert how

    def test_an_unknown_request_type_is_refused_with_the_known_ones(self) -> None:
        batching = self.batching(self.answer_of)
        with pytest.raises(InvalidParams) as caught:
            batching.plan("no_such_read", {})
        where, _, how = caught.value.errors[0]
        assert where == "/request_type"
        assert all(name in how for name in batching.request_types)
        assert list(batching.request_types) == sorted(batching.request_types)

    def test_quota_is_counted_per_read_without_a_call(self) -> None:
        batching = self.batching(self.answer_of)
        calls = self.calls(batching, 7)
        uses = batching.quota_uses(self.credential(), calls)
        assert sum(use.units for use in uses) == 7
        assert len({use.scope for use in uses}) == len(uses)
        assert all(TOKEN not in repr(use) for use in uses)

    async def test_planning_needs_no_http_client(self) -> None:
        batching = self.batching(self.answer_of)
        assert self.calls(batching, 1)[0].request_key
