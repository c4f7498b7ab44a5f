"""What an HTTP call asks for, whatever way it is written."""

import pytest

from services.sandbox.exchange import Answer, Call
from services.sandbox.meta.incoming import header_token, read_call, wrap


def call(
    method: str, query: dict[str, str], body: bytes = b"", host: str = "graph.facebook.com", **headers: str
) -> Call:
    listed = {name: [value] for name, value in query.items()}
    return Call("prefix", method, host, "/me", listed, headers, body, "http://sandbox.test")


@pytest.mark.parametrize(
    ("method", "word", "meant"),
    [("GET", "delete", "DELETE"), ("POST", "DELETE", "DELETE"), ("POST", "get", "GET"), ("DELETE", "get", "DELETE"),
     ("GET", "brew", "GET")],
)  # fmt: skip
def test_a_client_without_all_methods_names_one_in_a_parameter(method: str, word: str, meant: str) -> None:
    assert read_call(call(method, {"method": word})).method == meant


def test_the_body_of_an_upload_host_is_never_read_as_a_form() -> None:
    asked = read_call(call("POST", {"a": "1"}, b"b=2", host="rupload.facebook.com"))
    assert asked.params == {"a": "1"}


def test_a_callback_wraps_the_answer_into_a_script_with_status_200() -> None:
    assert read_call(call("GET", {"callback": "a.b_1"})).callback == "a.b_1"
    answer = wrap(Answer(400, b'{"error":{}}'), "a.b_1")
    assert (answer.status, answer.body) == (200, b'/**/ a.b_1({"error":{}});')
    assert answer.content_type == "text/javascript; charset=UTF-8"


@pytest.mark.parametrize("name", ["alert(1)", "1a", "", "a b", "x" * 200])
def test_a_callback_that_is_no_name_is_ignored(name: str) -> None:
    assert read_call(call("GET", {"callback": name})).callback is None
    assert wrap(Answer(200, b"{}"), None).content_type.startswith("application/json")


def test_a_gap_of_the_sandbox_is_never_wrapped() -> None:
    assert wrap(Answer(501, b"{}"), "f").status == 501


def test_what_is_no_json_is_never_wrapped() -> None:
    for answer in (Answer(302, b"", content_type="image/jpeg"), Answer(0, b"", cut=True)):
        assert wrap(answer, "f").body == b""


@pytest.mark.parametrize(
    ("value", "token"), [("Bearer t", "t"), ("OAuth t", "t"), ("bearer  t ", "t"), ("Basic t", None), ("", None)]
)
def test_a_token_may_stand_in_the_header(value: str, token: str | None) -> None:
    assert header_token(value) == token
