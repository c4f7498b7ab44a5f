"""API keys: recognisable, checked for typos, and stored only as a hash."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from libs.security.api_keys import hash_key, looks_like_key, new_api_key, same_hash
from libs.telemetry.redaction import redact_text


def test_a_new_key_has_its_form_hash_and_hint() -> None:
    key = new_api_key()
    assert len(key.text) == 54
    assert key.text.startswith("pbk_")
    assert looks_like_key(key.text)
    assert key.key_hash == hash_key(key.text) == hashlib.sha256(key.text.encode()).hexdigest()
    assert key.hint == key.text[-4:]
    assert key.text not in repr(key)


def test_no_two_keys_are_equal() -> None:
    assert len({new_api_key().text for _ in range(500)}) == 500


@given(place=st.integers(0, 53), character=st.characters())
def test_one_wrong_character_is_noticed(place: int, character: str) -> None:
    text = new_api_key().text
    changed = text[:place] + character + text[place + 1 :]
    assert looks_like_key(changed) == (changed == text)


@given(st.text(st.characters(), max_size=80))
def test_any_other_text_is_no_key_and_can_still_be_hashed(text: str) -> None:
    assert not looks_like_key(text)
    assert len(hash_key(text)) == 64


def test_a_key_is_hidden_in_any_text() -> None:
    text = new_api_key().text
    assert text not in redact_text(f"refused {text}, try again")


def test_hashes_are_compared_whole() -> None:
    assert same_hash("ab", "ab")
    assert not same_hash("ab", "ac")
    assert not same_hash("ab", "abc")
