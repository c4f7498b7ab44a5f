"""Deliveries that a platform pushes: nothing gets past the signature, nothing absurd breaks the reader."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from libs.platforms.base import AccountType, Headers, SignatureVerdict, UnknownShape, Webhooks

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
