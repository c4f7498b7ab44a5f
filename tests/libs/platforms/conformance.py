"""What every platform's abilities must do, whatever their wire: classes that each platform's tests inherit."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from libs.platforms.base import (
    AccountType,
    Batching,
    Credential,
    Headers,
    InvalidParams,
    ItemDone,
    ItemFailed,
    PlannedCall,
    Platform,
    SignatureVerdict,
    UnknownShape,
    Webhooks,
)
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    Blocked,
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    PlatformError,
    RateLimited,
    Rejected,
    Retryable,
    Unavailable,
)

Handler = Callable[[httpx.Request], httpx.Response]
TOKEN = "conformance-token-that-must-stay-secret"
APP_SECRET = "conformance-app-secret-that-must-stay-secret"


def always(response: httpx.Response) -> Handler:
    return lambda _: response


class BatchingConformance:
    """Subclasses say how the platform writes things; the tests here say what must follow."""

    def build(self, handler: Handler) -> Platform:
        """Give the platform over a stand-in for its host."""
        raise NotImplementedError

    def read(self, index: int) -> tuple[str, dict[str, Any]]:
        """Give request type and params of the n-th of many distinct reads."""
        raise NotImplementedError

    def same_read_written_otherwise(self) -> tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]:
        """Give two spellings of one read."""
        raise NotImplementedError

    def wrong_reads(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """Give reads that must be refused before any call."""
        raise NotImplementedError

    def answer_of(self, request: httpx.Request) -> httpx.Response:
        """Answer every read of the request, each with a body that tells the reads apart."""
        raise NotImplementedError

    def answer_short_by_one(self, request: httpx.Request) -> httpx.Response:
        """Answer like `answer_of`, with the last read's answer left out."""
        raise NotImplementedError

    def answer_with_first_not_done(self, request: httpx.Request) -> httpx.Response:
        """Answer like `answer_of`, but say that the first read was not done."""
        raise NotImplementedError

    def is_answer_to(self, call: PlannedCall, done: ItemDone) -> bool:
        """Tell whether the answer belongs to the read."""
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

    def refusal(self, error: type[PlatformError]) -> httpx.Response:
        """Refuse the whole call for the given reason, repeating the token in the message as platforms do."""
        raise NotImplementedError

    def credential(self) -> Credential:
        return Credential(access_token=TOKEN, app_id="4711", app_secret=APP_SECRET)

    def batching(self, handler: Handler) -> Batching:
        batching = self.build(handler).batching
        assert batching is not None
        return batching

    def calls(self, batching: Batching, count: int) -> list[PlannedCall]:
        return [batching.plan(*self.read(index)) for index in range(count)]

    async def failure(self, handler: Handler) -> PlatformError:
        batching = self.batching(handler)
        with pytest.raises(PlatformError) as caught:
            await batching.execute(self.credential(), self.calls(batching, 3))
        return caught.value

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
            assert self.is_answer_to(call, item)

    async def test_an_answer_of_the_wrong_length_is_trusted_for_no_item(self) -> None:
        assert isinstance(await self.failure(self.answer_short_by_one), OutcomeUnknown)

    async def test_an_item_that_was_not_done_can_be_tried_again_and_the_others_count(self) -> None:
        batching = self.batching(self.answer_with_first_not_done)
        calls = self.calls(batching, 3)
        first, *others = (await batching.execute(self.credential(), calls)).items
        assert isinstance(first, ItemFailed)
        assert isinstance(first.error, Retryable)
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
        def handler(request: httpx.Request) -> httpx.Response:
            raise AssertionError(f"sent {request.method}")

        batching = self.batching(handler)
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

    @pytest.mark.parametrize("error", [RateLimited, AuthExpired, AuthRevoked, Unavailable])
    async def test_a_refused_call_raises_the_error_that_decides_what_is_next(self, error: type[PlatformError]) -> None:
        raised = await self.failure(lambda _: self.refusal(error))
        assert type(raised) is error
        if isinstance(raised, RateLimited):
            assert raised.retry_after_seconds > 0
            assert raised.scope is not None

    @pytest.mark.parametrize("error", [RateLimited, AuthExpired, AuthRevoked, Unavailable])
    async def test_no_error_shows_a_secret(self, error: type[PlatformError]) -> None:
        raised = await self.failure(lambda _: self.refusal(error))
        for text in (str(raised), repr(raised), repr(raised.__cause__), repr(raised.__context__), repr(vars(raised))):
            assert TOKEN not in text
            assert APP_SECRET not in text

    async def test_a_refused_connection_proves_that_nothing_was_done(self) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        assert isinstance(await self.failure(handler), Unavailable)

    @pytest.mark.parametrize("cut", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError])
    async def test_an_answer_that_is_cut_off_leaves_the_outcome_unknown(self, cut: type[httpx.TransportError]) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            raise cut("gone", request=request)

        raised = await self.failure(handler)
        assert isinstance(raised, OutcomeUnknown)
        assert raised.__cause__ is None

    @pytest.mark.parametrize("status", [500, 502, 503])
    async def test_a_broken_server_can_be_tried_again(self, status: int) -> None:
        raised = await self.failure(lambda _: httpx.Response(status, text="<html>bad gateway</html>"))
        assert isinstance(raised, Unavailable)

    @pytest.mark.parametrize("body", [b"", b"null", b"42", b'"text"', b"[", b"\xff\xfe", b"[" * 100_000, b'[1,"x"]'])
    async def test_an_absurd_answer_is_an_error_of_the_tree(self, body: bytes) -> None:
        assert isinstance(await self.failure(lambda _: httpx.Response(200, content=body)), PlatformError)

    async def test_planning_needs_no_http_client(self) -> None:
        batching = self.batching(self.answer_of)
        assert self.calls(batching, 1)[0].request_key


SECRET, OTHER_SECRET, TOKEN_OF_HANDSHAKE = b"conformance-secret", b"the-one-before", b"conformance-verify-token"
KEY_LETTERS = 200


class WebhooksConformance:
    """What every platform's webhooks must do: nothing gets past the signature, nothing absurd breaks the reader."""

    def webhooks(self) -> Webhooks:
        """Give the platform's ability."""
        raise NotImplementedError

    def account_types(self) -> Mapping[str, AccountType]:
        """Give the platform's kinds of accounts."""
        raise NotImplementedError

    def sign(self, body: bytes, secret: bytes) -> Headers:
        """Give the headers with which the platform would deliver the body."""
        raise NotImplementedError

    def deliveries(self) -> Sequence[bytes]:
        """Give bodies of every shape that the platform sends."""
        raise NotImplementedError

    def malformed_headers(self) -> Sequence[tuple[Headers, SignatureVerdict]]:
        """Give headers that need no body to be refused, and the verdict."""
        raise NotImplementedError

    def unknown_shapes(self) -> Sequence[bytes]:
        """Give JSON that is no delivery."""
        raise NotImplementedError

    def handshake(self, token: bytes, challenge: bytes) -> bytes:
        """Give the query with which the platform asks whether we are expected."""
        raise NotImplementedError

    def test_a_true_signature_is_valid_and_kept(self) -> None:
        for body in (*self.deliveries(), b"", b"\x00\xff"):
            headers = self.sign(body, SECRET)
            assert self.webhooks().needs_body(headers) is None
            verdict, text = self.webhooks().check_signature(headers, body, [SECRET])
            assert verdict == "valid"
            assert text
            assert SECRET.decode() not in text

    def test_while_a_secret_is_rotated_both_are_good_and_then_only_the_new_one(self) -> None:
        body = self.deliveries()[0]
        for used in (SECRET, OTHER_SECRET):
            headers = self.sign(body, used)
            assert self.webhooks().check_signature(headers, body, [SECRET, OTHER_SECRET])[0] == "valid"
            assert self.webhooks().check_signature(headers, body, [OTHER_SECRET, SECRET])[0] == "valid"
        assert self.webhooks().check_signature(self.sign(body, OTHER_SECRET), body, [SECRET])[0] == "wrong"

    def test_any_other_byte_of_the_body_makes_the_signature_wrong(self) -> None:
        body = self.deliveries()[0]
        headers = self.sign(body, SECRET)
        for changed in (body + b" ", body[:-1], b" " + body, body.replace(b'"', b"'", 1), b""):
            assert self.webhooks().check_signature(headers, changed, [SECRET])[0] == "wrong"

    def test_without_a_secret_nothing_is_valid_and_an_empty_one_is_none(self) -> None:
        body = self.deliveries()[0]
        assert self.webhooks().check_signature(self.sign(body, SECRET), body, [])[0] == "wrong"
        assert self.webhooks().check_signature(self.sign(body, b""), body, [b""])[0] == "wrong"

    def test_what_the_headers_alone_tell_is_told_before_a_body_and_after_it(self) -> None:
        assert self.webhooks().needs_body([(b"host", b"example.com")]) == "missing"
        for headers, verdict in self.malformed_headers():
            assert self.webhooks().needs_body(headers) == verdict
            assert self.webhooks().check_signature(headers, b"{}", [SECRET])[0] == verdict

    def test_every_shape_splits_into_changes_with_keys_that_tell_them_apart_and_stay(self) -> None:
        for body in self.deliveries():
            changes = self.webhooks().split(body)
            assert changes
            assert self.webhooks().split(body) == changes
            for change in changes:
                key = change.external_event_id
                assert 0 < len(key) <= KEY_LETTERS
                assert key.isascii() and key.isprintable()
                assert change.object and change.field and change.change_type and change.account_id
                assert change.occurred_at is None or change.occurred_at.utcoffset() == timedelta(0)

    def test_accounts_are_in_our_words_and_ids_in_their_form(self) -> None:
        for body in self.deliveries():
            for change in self.webhooks().split(body):
                pattern = self.account_types()[change.account_type].id_pattern
                assert re.fullmatch(pattern, change.account_id)

    def test_what_is_no_delivery_is_an_unknown_shape_that_says_why(self) -> None:
        absurd = (b"", b"null", b"42", b'"text"', b"[", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"NaN")
        for body in (*absurd, *self.unknown_shapes()):
            with pytest.raises(UnknownShape) as caught:
                self.webhooks().split(body)
            assert 10 < len(str(caught.value)) < 500

    def test_a_handshake_with_a_known_token_gets_its_challenge_back(self) -> None:
        query = self.handshake(TOKEN_OF_HANDSHAKE, b"1158201444")
        assert self.webhooks().answer_handshake(query, [TOKEN_OF_HANDSHAKE]) == b"1158201444"
        assert self.webhooks().answer_handshake(query, [b"another", TOKEN_OF_HANDSHAKE]) == b"1158201444"

    def test_any_other_handshake_is_refused(self) -> None:
        query = self.handshake(TOKEN_OF_HANDSHAKE, b"1158201444")
        for tokens in ([], [b"another"], [b""], [TOKEN_OF_HANDSHAKE[:-1]]):
            assert self.webhooks().answer_handshake(query, tokens) is None
        for asked in (b"", query + b"&" + query, b"&" * 100, b"%", b"\xff=\xfe", b"a=" + b"x" * 10_000):
            assert self.webhooks().answer_handshake(asked, [TOKEN_OF_HANDSHAKE]) is None
        assert self.webhooks().answer_handshake(self.handshake(b"", b"1"), [b""]) is None
        for challenge in (b"", b"<script>", b"a b", b"x" * 1000):
            assert (
                self.webhooks().answer_handshake(self.handshake(TOKEN_OF_HANDSHAKE, challenge), [TOKEN_OF_HANDSHAKE])
                is None
            )
