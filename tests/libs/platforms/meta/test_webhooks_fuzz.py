"""Whatever arrives: changes or UnknownShape, keys that tell changes apart, and no signature valid but a true one."""

import hashlib
import hmac
import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from libs.platforms.base import Change, UnknownShape, Webhooks
from libs.platforms.meta import build_platform
from libs.platforms.meta.settings import MetaSettings
from tests.support.fuzzing import FUZZ_EXAMPLES
from tests.support.meta_told import JSON, KINDS, TOLD, Told, ad_accounts, mutated

FUZZ = settings(max_examples=FUZZ_EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
SENT = 1_763_700_000
HEADER = b"x-hub-signature-256"


def webhooks() -> Webhooks:
    found = build_platform(None, MetaSettings()).webhooks
    assert found is not None
    return found


META = webhooks()


def written(document: Any, **more: Any) -> bytes:
    return json.dumps(document, **more).encode("utf-8", "surrogatepass")


def changes_of(body: bytes) -> list[Change] | None:
    """None: the shape is not known. Any other exception is what these tests look for."""
    try:
        changes = META.split(body)
    except UnknownShape as error:
        assert str(error)
        return None
    for change in changes:
        texts = (change.object, change.field, change.change_type, change.account_type, change.account_id)
        assert all(isinstance(text, str) and "\x00" not in text for text in texts)
        key = change.external_event_id
        assert 0 < len(key) <= 200
        assert key.isascii()
        assert key.isprintable()
        assert change.occurred_at is None or change.occurred_at.tzinfo is not None
        assert b"\\u0000" not in written(change.value)
    return changes


def key_of(told: Told, time: int = SENT, **more: Any) -> str:
    changes = META.split(written(told.envelope(time), **more))
    assert len(changes) == 1
    return changes[0].external_event_id


@FUZZ
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b'{"object":"page","object":"instagram","entry":[]}')
@example(b'{"object":"page","entry":[{"id":"1","time":1e999,"changes":[]}]}')
@example(b'{"object":"page","entry":[{"id":"1","time":99999999999999999999,"changes":[{"field":"feed","value":{}}]}]}')
@example(b'{"object":"page","entry":[{"id":"1","time":"\\ud800","changes":[{"field":"x","value":{}}]}]}')
@example(b"[" * 100_000)
@example(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
@example(b"\x1f\x8b\x08\x00")
@example(b"NaN")
def test_any_bytes_are_changes_or_an_unknown_shape(body: bytes) -> None:
    changes_of(body)


@FUZZ
@given(JSON)
def test_any_json_is_changes_or_an_unknown_shape(document: Any) -> None:
    changes_of(written(document))


@FUZZ
@given(mutated())
def test_a_changed_sample_is_changes_or_an_unknown_shape(document: Any) -> None:
    changes_of(written(document))


@FUZZ
@given(TOLD, st.data())
def test_a_cut_or_flipped_sample_is_changes_or_an_unknown_shape(told: Told, data: st.DataObject) -> None:
    body = bytearray(written(told.envelope(SENT)))
    if data.draw(st.booleans()):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changes_of(bytes(body))
    changes_of(bytes(body[: data.draw(st.integers(0, len(body)))]))


@st.composite
def told_of_one_object(draw: Any) -> list[Told]:
    """Changes that Meta could send in one delivery: of one object, in entries (Threads has none)."""
    of_one: dict[str, list[Told]] = {}
    for told in draw(st.lists(TOLD, min_size=1, max_size=12)):
        envelope = told.envelope(SENT)
        if "entry" in envelope:
            of_one.setdefault(envelope["object"], []).append(told)
    return max(of_one.values(), key=len, default=[])


@FUZZ
@given(told_of_one_object())
def test_no_change_of_a_delivery_is_lost(several: list[Told]) -> None:
    envelopes = [told.envelope(SENT) for told in several]
    entries = [entry for envelope in envelopes for entry in envelope["entry"]]
    together = {"object": envelopes[0]["object"] if envelopes else "page", "entry": entries}
    changes = META.split(written(together))
    assert [change.external_event_id for change in changes] == [key_of(told) for told in several]
    assert META.split(written(envelopes)) == changes  # as the samples wrap it at times


@FUZZ
@given(TOLD, st.integers(0, 2**32), st.integers(1, 10_000_000))
def test_a_repeated_delivery_has_the_same_keys_however_it_is_written(told: Told, seed: int, later: int) -> None:
    again = SENT if told.time_is_part else SENT + later
    document = _reordered(told.envelope(again), random.Random(seed))
    assert key_of(told) == key_of(told)
    for options in ({}, {"indent": 1}, {"ensure_ascii": False}, {"separators": (",", ":")}):
        changes = META.split(written(document, **options))
        assert [change.external_event_id for change in changes] == [key_of(told)]


@FUZZ
@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(kind(), kind())))
def test_changes_that_differ_have_keys_that_differ(pair: tuple[Told, Told]) -> None:
    one, other = pair
    assert (key_of(one) == key_of(other)) == (one.identity == other.identity)


@FUZZ
@given(ad_accounts(), st.integers(1, 1_000))
def test_the_same_words_about_an_ad_account_later_are_another_change(told: Told, later: int) -> None:
    assert key_of(told) != key_of(told, SENT + later)


def signature(secret: bytes, body: bytes) -> bytes:
    return b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


def verdict(body: bytes, header: bytes, *secrets: bytes) -> str:
    return META.check_signature([(b"host", b"bus"), (HEADER, header)], body, secrets)[0]


_SECRETS = st.binary(min_size=1, max_size=80)


@FUZZ
@given(st.binary(max_size=200), _SECRETS, st.lists(_SECRETS, max_size=2), st.data())
def test_only_the_signed_bytes_under_an_active_secret_are_valid(
    body: bytes, secret: bytes, others: list[bytes], data: st.DataObject
) -> None:
    true = signature(secret, body)
    place = data.draw(st.integers(0, len(others)))
    assert verdict(body, true, *others[:place], secret, *others[place:]) == "valid"
    if not any(signature(other, body) == true for other in others):
        assert verdict(body, true, *others) == "wrong"
    changed = bytearray(body or b"\0")
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for touched in (bytes(changed), body + b"\n", b" " + body, body + body + b"x"):
        assert verdict(touched, true, secret) != "valid" or touched == body
    flipped = bytearray(true)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if bytes(flipped).lower() != true:
        assert verdict(body, bytes(flipped), secret) != "valid"


@FUZZ
@given(
    st.binary(max_size=120)
    | st.binary(max_size=80).map(lambda rest: b"sha256=" + rest)
    | st.from_regex(rb"sha(1|256|512)=[0-9a-fA-F]{0,130}", fullmatch=True)
)
@example(b"")
@example(b"sha256=")
@example(b"sha1=" + b"a" * 40)
@example(b"sha256=" + b"\xff" * 64)
@example(b"sha256=" + "\N{FULLWIDTH DIGIT ONE}".encode() * 64)
def test_no_made_up_header_is_valid(header: bytes) -> None:
    assert verdict(b"{}", header, b"secret") in ("missing", "malformed", "wrong_kind", "wrong")


@FUZZ
@given(st.lists(st.tuples(st.sampled_from([HEADER, b"x-hub-signature", b"host"]), st.binary(max_size=90)), max_size=4))
def test_what_the_headers_alone_refuse_is_refused_with_the_body_too(headers: list[tuple[bytes, bytes]]) -> None:
    early = META.needs_body(headers)
    late = META.check_signature(headers, b"{}", [b"secret"])[0]
    assert late != "valid"
    if early is not None:
        assert late == early


@pytest.mark.parametrize("doubled", [True, False])
def test_two_signatures_do_not_let_one_choose(doubled: bool) -> None:
    true = signature(b"secret", b"{}")
    headers = [(HEADER, true), (HEADER, b"sha256=" + b"0" * 64)]
    found = META.check_signature(headers if doubled else headers[::-1], b"{}", [b"secret"])[0]
    assert found != "valid"


@FUZZ
@given(
    st.binary(max_size=120)
    | st.from_regex(rb"(hub\.(mode|challenge|verify_token)=[a-z0-9%+]{0,12}&?){0,5}", fullmatch=True)
)
@example(b"hub.mode=subscribe&hub.challenge=1&hub.verify_token=")
@example(b"hub.mode=subscribe&hub.challenge=1")
@example(b"hub.mode=subscribe&hub.challenge=1&hub.verify_token=%ff%fe")
@example(b"hub.mode=subscribe&hub.challenge=" + b"1" * 5_000 + b"&hub.verify_token=x")
def test_a_handshake_without_the_token_is_refused(query: bytes) -> None:
    assert META.answer_handshake(query, [b"a-token-that-nobody-guesses"]) is None
    assert META.answer_handshake(query, []) is None


def _reordered(node: Any, dice: random.Random) -> Any:
    """The same value with the keys of each object in another order."""
    if isinstance(node, dict):
        items = list(node.items())
        dice.shuffle(items)
        return {key: _reordered(value, dice) for key, value in items}
    return [_reordered(item, dice) for item in node] if isinstance(node, list) else node
