"""The `fields` language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.fields import MAX_DEPTH, parse_fields, write_fields


def test_names_modifiers_aliases_and_nesting_are_read() -> None:
    text = 'id, posts.limit(5).as(latest).effective_status(["A)","B"]){message,comments.limit(2){from}}, name'
    first, posts, last = parse_fields(text)
    assert (first.name, last.name) == ("id", "name")
    assert (posts.name, posts.alias) == ("posts", "latest")
    assert posts.modifiers == {"limit": "5", "effective_status": '["A)","B"]'}
    assert posts.children is not None
    assert [child.name for child in posts.children] == ["message", "comments"]
    assert posts.children[1].children is not None


def test_what_was_read_can_be_written_again() -> None:
    text = "id,posts.limit(5).as(latest){message,comments.limit(2){from}},name"
    assert write_fields(parse_fields(text)) == text


def test_the_older_way_to_write_braces_is_read() -> None:
    assert parse_fields("albums.limit(5).fields(photos.fields(id),name)") == parse_fields(
        "albums.limit(5){photos{id},name}"
    )
    with pytest.raises(GraphError):
        parse_fields("a.fields(" * (MAX_DEPTH + 1) + "id" + ")" * (MAX_DEPTH + 1))


def test_a_list_of_names_is_read_like_one_text() -> None:
    assert parse_fields("['id', \"posts.limit(5){message,from}\"]") == parse_fields("id,posts.limit(5){message,from}")
    for text in ("[", "[]", "[1]", "[{}]"):
        with pytest.raises(GraphError):
            parse_fields(text)


@pytest.mark.parametrize("text", ["", ",", "id,", "id{", "id{}", "id}", "a.b", "a.limit(", "a b", "a.limit(1"])
def test_what_cannot_be_read_is_a_syntax_error(text: str) -> None:
    with pytest.raises(GraphError) as caught:
        parse_fields(text)
    assert caught.value.code == 2500


def test_nesting_and_length_are_bounded() -> None:
    with pytest.raises(GraphError):
        parse_fields("a{" * (MAX_DEPTH + 1) + "id" + "}" * (MAX_DEPTH + 1))
    with pytest.raises(GraphError):
        parse_fields("a," * 40_000 + "a")


@given(st.text(alphabet="ab,.(){}[]\"' 0_é", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_fields(text)
    except GraphError as error:
        assert error.code in {100, 2500}
    else:
        assert found
