"""Multipart bodies, byte for byte."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.meta.multipart import MAX_PARTS, Part, read_parts

DISPOSITION = b'Content-Disposition: form-data; name="%b"'


def body(*parts: bytes, boundary: bytes = b"x") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


@given(content=st.binary(max_size=300))
def test_content_comes_out_as_it_went_in(content: bytes) -> None:
    boundary = b"a-boundary-that-is-not-in-it"
    head = DISPOSITION % b"f" + b'; filename="a b.bin"\r\nContent-Type: video/mp4\r\n\r\n'
    assert read_parts(body(head + content, boundary=boundary), boundary) == [Part("f", "a b.bin", "video/mp4", content)]


@pytest.mark.parametrize("kind", [b"multipart/form-data", b"multipart/mixed; boundary=y", b"message/rfc822"])
def test_a_part_that_calls_itself_a_form_is_read_as_bytes(kind: bytes) -> None:
    head = DISPOSITION % b"video_file_chunk" + b'; filename="a.mp4"\r\nContent-Type: ' + kind + b"\r\n\r\n"
    (part,) = read_parts(body(head + b"\r\n--y\r\n\0bytes"), b"x")
    assert (part.filename, part.content) == ("a.mp4", b"\r\n--y\r\n\0bytes")


def test_a_line_that_only_begins_like_the_boundary_is_content() -> None:
    (part,) = read_parts(body(DISPOSITION % b"a" + b"\r\n\r\none\r\n--xylophone\r\ntwo"), b"x")
    assert part.content == b"one\r\n--xylophone\r\ntwo"


def test_what_stands_around_the_form_and_parts_without_a_name_are_left_out() -> None:
    form = body(b"\r\nnameless", DISPOSITION % b"a" + b"\r\n\r\n1")
    assert [part.name for part in read_parts(b"preamble\r\n" + form + b"epilogue", b"x")] == ["a"]


@pytest.mark.parametrize(
    "broken", [b"", b"x", b"--x", b"--x\r\n", b"--x\r\nno end", body(b"a").removesuffix(b"--\r\n"), b"--y\r\n\r\n--y--"]
)
def test_half_a_form_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError):
        read_parts(broken, b"x")


def test_too_many_parts_and_too_long_heads_are_refused() -> None:
    part = DISPOSITION % b"a" + b"\r\n\r\n1"
    with pytest.raises(ValueError, match="too many"):
        read_parts(body(*[part] * (MAX_PARTS + 1)), b"x")
    with pytest.raises(ValueError, match="too long"):
        read_parts(body(b"X: " + b"y" * 20_000 + b"\r\n\r\n1"), b"x")


@given(
    head=st.binary(max_size=120),
    begins=st.sampled_from([b"", b"Content-Disposition: form-data; name", b"Content-Type: "]),
)
def test_no_head_of_a_part_brings_it_down(head: bytes, begins: bytes) -> None:
    with suppress(ValueError):
        parts = read_parts(body(begins + head + b"\r\n\r\n1"), b"x")
        assert all(part.name is not None and part.content_type for part in parts)
