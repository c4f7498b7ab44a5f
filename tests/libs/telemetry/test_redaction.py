import json
import time
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from libs.telemetry.redaction import (
    MARK,
    MAX_TEXT_CHARS,
    is_secret_name,
    redact,
    redact_text,
    register_secret,
    safe_error,
)

SECRET_NAMES = [
    "access_token",
    "client_secret",
    "appsecret_proof",
    "password",
    "refresh_token",
    "input_token",
    "fb_exchange_token",
    "api_key",
    "app_secret",
    "meta_app_secret",
    "clientSecret",
    "X-Api-Key",
]
# With an end that no text around them has: else a word such as `Authorizatio` is found in the name of its header.
WORDS = st.text(
    alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=9, max_size=77
).map(lambda word: f"{word}Zq0")
NAMES = st.sampled_from(SECRET_NAMES)


@given(name=NAMES, secret=WORDS)
def test_a_secret_in_a_query_is_hidden_and_the_rest_stays(name: str, secret: str) -> None:
    text = redact_text(f"GET https://graph.facebook.com/v23.0/me?fields=id&{name}={secret}&limit=5 -> 200")
    assert secret not in text
    assert text.endswith(f"{name}={MARK}&limit=5 -> 200")


@given(name=NAMES, secret=st.text(min_size=12, max_size=60, alphabet=st.characters(exclude_categories=["Cs", "Zs"])))
@example(name="password", secret='with "quotes", commas & a \\ back')
def test_a_secret_in_json_is_hidden_whatever_its_characters(name: str, secret: str) -> None:
    text = redact_text(json.dumps({"before": 1, name: secret, "after": "stays"}))
    assert json.loads(text) == {"before": 1, name: MARK, "after": "stays"}


@given(name=NAMES, secret=WORDS)
def test_a_secret_in_json_inside_json_is_hidden(name: str, secret: str) -> None:
    for depth in range(1, 4):
        text = json.dumps({name: secret, "after": "stays"})
        for _ in range(depth):
            text = json.dumps({"body": text})
        assert secret not in redact_text(text)
        assert "stays" in redact_text(text)


@given(name=NAMES, secret=WORDS)
def test_a_secret_in_an_encoded_form_is_hidden(name: str, secret: str) -> None:
    inner = urlencode({name: secret, "fields": "id"})
    assert secret not in redact_text(inner)
    assert secret not in redact_text("relative_url=" + quote("me?" + inner, safe=""))
    assert secret not in redact_text("batch=" + quote(json.dumps([{"method": "GET", name: secret}])))


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer {}",
        "authorization: bearer {}",
        "{{'Authorization': 'Bearer {}'}}",
        "[(b'authorization', b'Bearer {}')]",
        'headers=[("Authorization", "Bearer {}")]',
        "Proxy-Authorization: Basic {}",
        "sent Bearer {} and failed",
        "Cookie: session={}; theme=dark",
        "set-cookie: {}",
    ],
)
@given(secret=WORDS)
def test_a_credential_in_a_header_is_hidden(line: str, secret: str) -> None:
    assert secret not in redact_text(line.format(secret))


@given(password=st.text(alphabet="abcdefXYZ0123456789!$%^&*()_+@:;,.=-", min_size=8, max_size=40))
def test_the_password_of_a_dsn_is_hidden(password: str) -> None:
    for scheme in ("postgresql", "postgres", "valkey", "rediss", "amqp"):
        text = redact_text(f"could not connect to {scheme}://ingest_worker:{password}@127.0.0.1:5432/platformbus")
        assert text == f"could not connect to {scheme}://ingest_worker:{MARK}@127.0.0.1:5432/platformbus"


@pytest.mark.parametrize(
    "secret",
    [
        "EAAGm0PX4ZCpsBAKZBZCxyz0123456789",
        "pbk_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ_a1B2c3",
        "1234567890123456|AbCdEfGhIjKlMnOpQrStUvWx",
        "1234567890123456%7CAbCdEfGhIjKlMnOpQrStUvWx",
        "IGQVJXabcdefghijklmnopqrstuvwxyz",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIExample\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMHcCAQEEIExample that was cut",
    ],
)
def test_a_secret_known_by_its_shape_is_hidden_anywhere(secret: str) -> None:
    text = redact_text(f"the answer was <{secret}> today")
    assert secret not in text
    assert "MHcCAQEEIExample" not in text
    assert MARK in text


def test_a_registered_secret_is_hidden_though_nothing_gives_it_away() -> None:
    register_secret("plain-words-of-a-vault")
    register_secret("short")
    assert redact_text("say plain-words-of-a-vault, in short") == f"say {MARK}, in short"


@pytest.mark.parametrize(
    "text",
    [
        "the token is old; ask for a new one",
        "tokens: 5, token_count=5, secretary: Ann",
        "a key of 43 characters",
        "Error validating access token: Session has expired on Friday",
        "Error validating access token: The session has been invalidated",
        "Invalid OAuth access token - Cannot parse access token",
        "http://127.0.0.1:8080/v1/requests?limit=5",
        "2026-11-21T11:00:00Z 123456|789",
        "",
    ],
)
def test_words_about_secrets_stay(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "access token: abcdefgh is old",
        "access token: abcdefg",
        "access token: abc4efg is old",
        "access token: bearer abcdefgh and so on",
        "OAuth accesstoken",
        "Authorization: OAuth access-token-x",
        "access_token: session is old",
        "password: session is old",
    ],
)
def test_what_may_be_a_secret_among_words_is_hidden(text: str) -> None:
    assert MARK in redact_text(text)


@pytest.mark.parametrize(
    "word", ["EAA" + "x" * 20, "bearer abcdefgh", f"{MARK} x", "is token: abc", "12345678|" + "x" * 20]
)
def test_words_about_a_token_are_redacted_once(word: str) -> None:
    once = redact_text(f"access token: Session {word}")
    assert redact_text(once) == once


@given(st.text(max_size=400))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@given(st.text(alphabet="tokensecretpassword:='\"\\%22{}[]&, \n", max_size=300))
def test_redacting_twice_changes_nothing_more_near_the_patterns(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


def test_long_text_is_cut_and_says_so() -> None:
    text = redact_text("x" * (MAX_TEXT_CHARS + 7))
    assert text.endswith("... [7 more characters]")
    assert len(text) < MAX_TEXT_CHARS + 40


@pytest.mark.parametrize(
    "unit",
    [
        "eyJ",
        '"token',
        "token=",
        "://",
        "EAA",
        "cookie:",
        "1",
        "12345678|",
        "bearer ",
        "a.",
        "%22",
        "token='",
        "\\",
        "-",
        "token=%22",
        "b'",
        "pbk_",
        'token\\\\"=\\\\"',
        "-----BEGIN PRIVATE KEY-----",
        "authorization',",
        "http",
        "password ",
    ],
)
def test_no_input_makes_redaction_slow(unit: str) -> None:
    def seconds(size: int) -> float:
        text = (unit * size)[:size]
        started = time.process_time()
        redact_text(text)
        return time.process_time() - started

    # Quadratic time would need 64 times as long for 8 times the text; noise of a busy machine does not reach that.
    small = min(seconds(8_000) for _ in range(3))
    large = min(seconds(64_000) for _ in range(3))
    assert large < 0.1 + 20 * small


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=20),
        lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
        max_leaves=20,
    )
)
def test_any_value_becomes_something_json_can_hold(value: object) -> None:
    json.dumps(redact(value))


def test_fields_of_secret_names_are_hidden_at_any_depth() -> None:
    value = {
        "connection": [{"access_token": "EAAx", "app": {"appSecret": b"12345", "name": "demo"}}],
        "headers": {"Authorization": "Bearer x", "accept": "json"},
        "password": SecretStr("x"),
        "note": "client_secret=abc&x=1",
        "has_token": True,
        "token": None,
    }
    assert redact(value) == {
        "connection": [{"access_token": MARK, "app": {"appSecret": MARK, "name": "demo"}}],
        "headers": {"Authorization": MARK, "accept": "json"},
        "password": MARK,
        "note": f"client_secret={MARK}&x=1",
        "has_token": True,
        "token": None,
    }


def test_large_values_are_bounded() -> None:
    deep: object = "bottom"
    for _ in range(20):
        deep = [deep]
    assert "too deep" in json.dumps(redact(deep))
    assert len(redact(list(range(1_000)))) == 101
    assert len(redact({str(n): n for n in range(1_000)})) == 101


@pytest.mark.parametrize("name", ["access_token", "X-Api-Key", "clientSecret", "META_APP_SECRET", "password", "Cookie"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["token_type", "secretary", "object_key", "idempotency_key", "key_hash", "tokens_used"]
)
def test_names_near_those_of_secrets_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_a_stored_error_is_short_and_clean() -> None:
    error = ValueError("GET /me?access_token=EAAGm0PX4ZCpsBAKZBZC failed " + "x" * 5_000)
    text = safe_error(error)
    assert text.startswith(f"ValueError: GET /me?access_token={MARK} failed xxx")
    assert len(text) < 2_100
    assert safe_error(TimeoutError()) == "TimeoutError"
