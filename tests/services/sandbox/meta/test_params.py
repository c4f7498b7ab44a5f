"""Parameters of a call, wherever they stand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.params import files_from_body, from_body, from_query, from_text

BOUNDARY = "multipart/form-data; boundary=x"


def form(*parts: tuple[str, str]) -> bytes:
    return "".join(f"--x\r\n{head}\r\n\r\n{body}\r\n" for head, body in parts).encode() + b"--x--\r\n"


def test_the_last_of_equal_names_wins() -> None:
    assert from_text("a=1&a=2&b=") == {"a": "2", "b": ""}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("s[]=A&s[]=B", "s", ["A", "B"]),
        ("s[0]=A&s[1]=B", "s", ["A", "B"]),
        ("time_range[since]=2026-01-01&time_range[until]=2026-01-31", "time_range",
         {"since": "2026-01-01", "until": "2026-01-31"}),
        ("filtering[0][field]=a.id&filtering[0][value][]=1&filtering[0][value][]=2", "filtering",
         [{"field": "a.id", "value": ["1", "2"]}]),
        ("a[b]=1&a[b][c]=2", "a", {"b": "1"}),
    ],
)  # fmt: skip
def test_brackets_gather_lists_and_objects(text: str, name: str, value: object) -> None:
    assert json.loads(from_text(text)[name]) == value


def test_a_json_body_gives_texts_and_what_is_no_text_as_json() -> None:
    body = b'{"a": "x", "b": [1, "2"], "c": true, "d": null}'
    assert from_body(body, "application/json; charset=utf-8") == {"a": "x", "b": '[1,"2"]', "c": "true"}


def test_bytes_that_are_uploaded_are_no_form() -> None:
    for kind in ("application/octet-stream", "video/mp4", "image/jpeg"):
        assert from_body(b"a=1", kind) == {}


def test_files_of_a_multipart_body_stand_beside_its_texts() -> None:
    body = form(
        ('Content-Disposition: form-data; name="caption"', "Hello"),
        ('Content-Disposition: form-data; name="source"; filename="a.jpg"\r\nContent-Type: image/jpeg', "\x00bytes"),
    )
    assert from_body(body, BOUNDARY) == {"caption": "Hello"}
    files = files_from_body(body, BOUNDARY)
    assert list(files) == ["source"]
    found = files["source"]
    assert (found.filename, found.content_type, found.content) == ("a.jpg", "image/jpeg", b"\x00bytes")
    assert files_from_body(b"a=1", "application/x-www-form-urlencoded") == {}


def test_a_file_without_a_content_type_is_no_text() -> None:
    body = form(('Content-Disposition: form-data; name="source"; filename="a"', "x"))
    assert files_from_body(body, BOUNDARY)["source"].content_type == "application/octet-stream"


@pytest.mark.parametrize(
    ("written", "boundary"),
    [('boundary="x y"', "x y"), ("BOUNDARY=**x**", "**x**"), ("charset=utf-8;boundary=x*'y; a=b", "x*'y")],
)
def test_a_boundary_may_be_any_that_clients_send(written: str, boundary: str) -> None:
    text = form(('Content-Disposition: form-data; name="caption"', "Hello")).replace(b"--x", f"--{boundary}".encode())
    assert from_body(text, f"multipart/form-data;{written}") == {"caption": "Hello"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"{", "application/json"), (b"[1]", "application/json"), (b"x", "multipart/form-data"), (b"a&" * 1500, "")],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(GraphError) as caught:
        from_body(body, kind)
    assert caught.value.code == 100


@given(st.dictionaries(st.text(alphabet="ab[]01", min_size=1, max_size=12), st.lists(st.text(), min_size=1)))
def test_any_query_gives_texts(query: dict[str, list[str]]) -> None:
    assert all(isinstance(value, str) for value in from_query(query).values())
